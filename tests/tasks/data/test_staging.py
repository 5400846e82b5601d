import pytest

from models.errors import DataError
from tasks.data import staging, versions
from tests.tasks.data.test_decoding import write_video
from tests.tasks.pictures import picture, write_clips, write_stills


def test_a_scratch_folder_is_gone_afterwards_whatever_happens(repository):
    def fail():
        with staging.scratch() as scratch:
            (scratch / "half").mkdir()
            assert scratch.parent == versions.folder()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(versions.folder().iterdir()) == []


def test_what_a_killed_ingest_has_left_is_removed_by_the_next(repository):
    left = versions.folder() / f"{staging.PREFIX}killed" / "half"
    left.mkdir(parents=True)
    (versions.folder() / "mine").mkdir()
    with staging.scratch() as scratch:
        assert sorted(versions.folder().iterdir()) == sorted([scratch, versions.folder() / "mine"])


def test_a_folder_is_moved_into_the_place_of_another_at_once(repository):
    write_stills(versions.folder() / "set", seed=0)
    with staging.scratch() as scratch:
        write_clips(scratch / "new")
        staging.move_in(scratch / "new", "set")
    assert (versions.folder() / "set" / "train" / "good" / "01").is_dir()
    assert not (versions.folder() / "set" / "test" / "scratch").exists()
    assert [path.name for path in versions.folder().iterdir()] == ["set"]


def test_a_disk_that_cannot_be_written_is_a_clear_error(repository):
    versions.folder().write_text("a file in the way")
    with pytest.raises(DataError, match="writable"), staging.scratch():
        pass


@pytest.mark.parametrize("write", [write_stills, write_clips])
def test_the_canonical_layouts_are_accepted(tmp_path, write):
    staging.check_layout(write(tmp_path))


def test_video_files_are_accepted(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "good").mkdir(parents=True)
        write_video(tmp_path / split / "good" / "01.avi", [picture(0, (16, 32))])
    staging.check_layout(tmp_path)


@pytest.mark.parametrize("lacking", ["train/good", "test"])
def test_a_missing_split_is_named_with_the_layout(tmp_path, lacking):
    write_stills(tmp_path)
    (tmp_path / lacking).rename(tmp_path / "elsewhere")
    with pytest.raises(
        DataError, match=rf"train/good/ and test/<kind>/.*in {lacking}/; the folder"
    ):
        staging.check_layout(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds: nothing"):
        staging.check_layout(tmp_path)


def test_hidden_files_are_left_behind(repository, tmp_path):
    source = write_stills(tmp_path / "source")
    (source / ".DS_Store").write_bytes(b"x")
    (source / "train" / ".cache").mkdir()
    (source / "train" / ".cache" / "a.png").write_bytes(b"x")
    (source / "test" / "Thumbs.db").write_bytes(b"x")
    staging.copy(source, tmp_path / "copy")
    assert versions.hash_folder(tmp_path / "copy") == staging.visible_files(source)
    assert len(staging.visible_files(source)) == 8
