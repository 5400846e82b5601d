import contextlib

from tasks.platform import files


def test_a_file_is_as_it_was_until_it_is_complete(tmp_path):
    path = tmp_path / "state.json"
    files.write(path, "before")
    with files.whole(path) as partial:
        partial.write_text("half")
        assert path.read_text() == "before"
        partial.write_text("whole")
    assert path.read_text() == "whole"
    with contextlib.suppress(ZeroDivisionError), files.whole(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_it_may_be_written_elsewhere_and_be_private(tmp_path):
    aside = tmp_path / "aside"
    aside.mkdir()
    with files.whole(tmp_path / "keys", folder=aside, mode=0o600) as partial:
        partial.write_text("secret")
        assert partial.parent == aside
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600
    assert not list(aside.iterdir())


def test_a_scratch_folder_is_gone_afterwards_whatever_happens(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(ZeroDivisionError), files.scratch("trial") as folder:
        (folder / "file").write_text("x")
        assert folder.parent == tmp_path / ".unseen" / files.SCRATCH
        raise ZeroDivisionError
    assert not folder.exists()
