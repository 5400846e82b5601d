from tasks.platform.progress import bar


def test_hands_on_every_element_and_writes_nothing_into_a_pipe(capfd):
    assert list(bar(range(3), total=3, description="counting")) == [0, 1, 2]
    assert capfd.readouterr().err == ""
