import contextlib

from tasks.platform.scratch_folder import FOLDER, scratch


def test_a_scratch_folder_is_gone_afterwards_whatever_happens(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(ZeroDivisionError), scratch("trial") as folder:
        (folder / "file").write_text("x")
        assert folder.parent == tmp_path / ".unseen" / FOLDER
        raise ZeroDivisionError
    assert not folder.exists()
