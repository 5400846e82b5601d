from models.contracts import silent


def test_silent_hands_on_every_step():
    assert list(silent(range(3), total=3, description="steps")) == [0, 1, 2]
