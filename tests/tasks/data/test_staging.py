import os
import shutil

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


def test_a_missing_split_is_named_with_the_layout(tmp_path):
    write_stills(tmp_path)
    (tmp_path / "train/good").rename(tmp_path / "train/Good")
    with pytest.raises(
        DataError, match=r"train/good/ and.*test/<kind>/.*in train/good/;.*train/Good"
    ):
        staging.check_layout(tmp_path)


def test_a_set_without_a_test_split_may_be_brought_in(tmp_path):
    write_stills(tmp_path)
    shutil.rmtree(tmp_path / "test")
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


def test_links_are_followed(tmp_path):
    source = write_stills(tmp_path / "source")
    (source / "train/good").rename(tmp_path / "images")
    (source / "train/good").symlink_to(tmp_path / "images")
    (source / "test/good/link.png").symlink_to(tmp_path / "images/000.png")
    staging.copy(source, tmp_path / "copy")
    staging.check_layout(tmp_path / "copy")
    assert len(staging.files_of(tmp_path / "copy")) == 9
    assert not any(path.is_symlink() for path in (tmp_path / "copy").rglob("*"))


def test_a_loop_of_links_and_a_broken_one_are_named(tmp_path):
    source = write_stills(tmp_path / "source")
    (source / "train/again").symlink_to(source)
    with pytest.raises(DataError, match=r"train/again leads to"):
        staging.copy(source, tmp_path / "copy")
    (source / "train/again").unlink()
    (source / "test/good/gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"gone.png is a broken link"):
        staging.copy(source, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("name", [b"\xff.png", b"a\nb.png", b"a\x1b.png"])
def test_a_name_that_tools_would_change_is_refused_before_anything_is_copied(tmp_path, name):
    source = write_stills(tmp_path / "source")
    (source / "train/good/000.png").rename(source / "train/good" / os.fsdecode(name))
    with pytest.raises(DataError, match="Names of files must be printable UTF-8"):
        staging.copy(source, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("name", ["[bold].png", "$a^b$.png", "ä ü.png", f"{'x' * 251}.png"])
def test_odd_names_are_kept(tmp_path, name):
    source = write_stills(tmp_path / "source")
    (source / "train/good/000.png").rename(source / "train/good" / name)
    staging.copy(source, tmp_path / "copy")
    assert f"train/good/{name}" in staging.files_of(tmp_path / "copy")


def test_links_in_the_working_copy_become_copies(repository, tmp_path, caplog):
    folder = write_stills(versions.folder() / "set")
    (folder / "train/good").rename(tmp_path / "images")
    (folder / "train/good").symlink_to(tmp_path / "images")
    staging.copy_links(folder)
    assert not (folder / "train/good").is_symlink()
    assert len(list((folder / "train/good").iterdir())) == 5
    assert "was a link to" in caplog.text


def test_what_was_there_is_back_if_no_version_can_be_made(repository):
    write_stills(versions.folder() / "set", seed=0)
    before = versions.hash_folder(versions.folder() / "set")

    def fail():
        with staging.scratch() as scratch:
            write_clips(scratch / "new")
            with staging.moved_in(scratch / "new", "set"):
                raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert versions.hash_folder(versions.folder() / "set") == before


def test_a_folder_of_images_alone_holds_normal_ones(tmp_path):
    images = write_stills(tmp_path / "source") / "train/good"
    (images / "readme.txt").write_text("Taken on Monday.")
    (images / "roi.png").write_bytes((images / "000.png").read_bytes())
    (images / "ROI2.JPG").write_bytes(b"")
    staging.check_layout(images, staging.incoming(images))
    staging.copy(images, tmp_path / "copy", staging.incoming(images))
    entries = staging.visible_files(images)
    assert entries == versions.hash_folder(tmp_path / "copy")
    assert {each.relpath for each in entries} == {
        "readme.txt",
        "roi.png",
        "train/good/ROI2.JPG",
        *(f"train/good/00{number}.png" for number in range(5)),
    }
    with pytest.raises(DataError, match="a folder that holds normal images"):
        staging.check_layout(images)  # a working copy has the layout
    (images / "more").mkdir()
    (images / "more" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="no other folder of images"):
        staging.check_layout(images, staging.incoming(images))
