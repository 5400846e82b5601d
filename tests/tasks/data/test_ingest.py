import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from models.errors import DataError, InvalidInputError, NotFoundError
from tasks.data import dvc_cache, snapshots, staging, versions
from tasks.data.ingest import available, describe_changes, ingest, ingest_folder
from tasks.platform import events
from tests.tasks.data.sources.test_torchvision_sets import write_idx
from tests.tasks.pictures import picture, save, write_clips, write_stills


@pytest.fixture
def source(tmp_path):
    return write_stills(tmp_path / "source")


def state(repository):
    """Everything that a refused ingest must leave as it was."""
    dvc = repository / "data.dvc"
    files = sorted((repository / "data").rglob("*")) if (repository / "data").exists() else []
    return dvc.read_bytes() if dvc.exists() else None, [(f, f.stat().st_mtime_ns) for f in files]


def test_a_folder_becomes_a_version_and_is_left_as_it_is(repository, source):
    before = versions_of(source)
    version, changes = ingest_folder(str(source), name="mine")
    assert (version.name, version.num_files) == ("mine", 8)
    assert versions.current("mine") == version
    assert len(changes.added) == 8
    assert not changes.removed + changes.changed
    assert versions_of(source) == before == versions_of(repository / "data" / "mine")
    assert len(snapshots.open_version(version).clips("train")) == 5


def versions_of(folder):
    return [(p.relative_to(folder), p.read_bytes()) for p in sorted(folder.rglob("*.png"))]


def test_what_changed_is_told(repository, source):
    first, _ = ingest_folder(str(source), name="mine")
    save(source / "test" / "good" / "001.png", picture(50))
    save(source / "test" / "good" / "000.png", picture(51))
    (source / "train" / "good" / "000.png").unlink()
    second, changes = ingest_folder(str(source), name="mine")
    assert changes.added == ("test/good/001.png",)
    assert changes.changed == ("test/good/000.png",)
    assert changes.removed == ("train/good/000.png",)
    assert describe_changes(first, second) == changes
    assert describe_changes(None, first).added == tuple(
        entry.relpath for entry in versions.entries(first)
    )
    assert not (repository / "data" / "mine" / "train" / "good" / "000.png").exists()


def test_the_version_before_stays_readable(repository, source):
    first, _ = ingest_folder(str(source), name="mine")
    expected = picture((0, 1))
    save(source / "test" / "good" / "000.png", picture(51))
    ingest_folder(str(source), name="mine")
    old = snapshots.open_version(first)
    clip = next(clip for clip in old.clips("test") if clip.kind == "good")
    assert (old.read_clip(clip, None, 1)[0] == expected).all()


def test_unchanged_data_make_no_version_and_touch_no_file(repository, source):
    version = ingest.fn("mine", source)
    before = state(repository)
    listings = list(dvc_cache.cached_listings())
    assert ingest.fn("mine") == version
    assert ingest.fn("mine", source) == version
    assert ingest.fn("mine", repository / "data" / "mine") == version
    assert state(repository) == before
    assert list(dvc_cache.cached_listings()) == listings


def test_only_a_new_version_is_told(repository, source, monkeypatch):
    told = []
    monkeypatch.setattr(events, "emit", lambda *about: told.append(about[1:]))
    ingest.fn("mine", source)
    ingest.fn("mine")
    ingest_folder(str(source), name="mine")
    save(source / "test" / "good" / "001.png", picture(50))
    version, _ = ingest_folder(str(source), name="mine")
    (repository / "data" / "mine" / "test" / "good" / "001.png").unlink()
    ingest.fn("mine")
    assert {resource for resource, _ in told} == {"unseen.dataset.mine"}
    assert [(one["num_added"], one["num_removed"]) for _, one in told] == [(8, 0), (1, 0), (0, 1)]
    assert told[1][1]["digest"] == version.digest


def test_edited_files_in_data_become_a_version(repository, source):
    first = ingest.fn("mine", source)
    save(repository / "data" / "mine" / "test" / "good" / "001.png", picture(50))
    second, changes = ingest_folder("mine")
    assert second.digest != first.digest
    assert changes.added == ("test/good/001.png",)


def test_the_working_copy_of_other_sets_is_never_touched(repository, source, tmp_path):
    mine = ingest.fn("mine", source)
    save(repository / "data" / "mine" / "test" / "good" / "000.png", picture(50))
    (repository / "data" / "notes").mkdir()
    before = state(repository)[1]
    ingest.fn("clips", write_clips(tmp_path / "clips"))
    kept = [(path, when) for path, when in state(repository)[1] if "clips" not in path.parts]
    assert kept[1:] == before[1:]
    assert versions.current("mine").digest == mine.digest
    assert versions.names(versions.recorded()) == ("clips", "mine")


def test_changes_that_are_in_no_version_yet_are_not_lost(repository, source):
    ingest.fn("mine", source)
    edited = save(repository / "data" / "mine" / "test" / "good" / "000.png", picture(50))
    save(source / "test" / "good" / "001.png", picture(51))
    content, before = edited.read_bytes(), state(repository)
    with pytest.raises(DataError, match="are in no version yet and would be lost"):
        ingest.fn("mine", source)
    assert edited.read_bytes() == content
    assert state(repository)[0] == before[0]
    ingest.fn("mine")
    assert ingest.fn("mine", source).num_files == 9


def test_an_interrupted_ingest_leaves_nothing_half_written(repository, source, monkeypatch):
    ingest.fn("mine", source)
    before = state(repository)
    save(source / "test" / "good" / "001.png", picture(51))
    copy = shutil.copyfile

    def interrupted(origin, target):
        if len(list(repository.rglob(f"{staging.PREFIX}*/**/*.png"))) == 3:
            raise KeyboardInterrupt
        return copy(origin, target)

    monkeypatch.setattr(shutil, "copyfile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ingest.fn("mine", source)
    assert state(repository)[0] == before[0]
    assert [path for path, _ in state(repository)[1]] == [path for path, _ in before[1]]
    monkeypatch.undo()
    os.chdir(repository)
    assert ingest.fn("mine", source).num_files == 9


def test_a_folder_without_normal_images_is_refused(repository, source):
    ingest.fn("other", source)
    before = state(repository)
    shutil.rmtree(source / "train")
    with pytest.raises(DataError, match=r"train/good/ and.*test/<kind>/"):
        ingest_folder(str(source), name="mine")
    assert state(repository)[0] == before[0]
    assert not (repository / "data" / "mine").exists()


def test_texts_beside_the_splits_do_not_stop_later_sets(repository, source, tmp_path):
    (source / "readme.txt").write_text("about")
    (source / "license.txt").write_text("free")
    assert ingest.fn("mine", source).num_files == 10
    (repository / "data" / "notes.txt").write_text("mine")
    assert ingest.fn("other", write_clips(tmp_path / "clips")).num_files == 45
    assert ingest.fn("mine").num_files == 10


def test_what_file_managers_leave_makes_no_version(repository, source):
    version = ingest.fn("mine", source)
    for name in (".DS_Store", "Thumbs.db", "train/._good", "train/good/desktop.ini"):
        (repository / "data" / "mine" / name).write_text("left")
    (repository / "data" / "mine" / "@eaDir").mkdir()
    (repository / "data" / "mine" / "@eaDir" / "a.png").write_text("left")
    assert ingest.fn("mine") == version
    assert "@eaDir" in (repository / ".dvcignore").read_text().split()


def test_a_set_whose_training_images_are_a_link_comes_in_whole(repository, source, tmp_path):
    (source / "train/good").rename(tmp_path / "images")
    (source / "train/good").symlink_to(tmp_path / "images")
    assert ingest.fn("mine", source).num_files == 8
    assert len(list((repository / "data/mine/train/good").iterdir())) == 5


def test_an_empty_folder_is_refused(repository, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds: nothing"):
        ingest_folder(str(tmp_path / "empty"), name="mine")
    assert not (repository / "data.dvc").exists()


def test_a_path_that_does_not_exist_is_refused(repository, tmp_path):
    with pytest.raises(NotFoundError, match="There is no folder"):
        ingest_folder(str(tmp_path / "nowhere"), name="mine")


def test_files_whose_version_is_listed_but_not_stored_are_not_replaced(repository, source):
    version = ingest.fn("mine", source)
    lost = versions.entries(version)[0].md5
    dvc_cache.cached_path(lost).unlink()
    save(source / "test" / "good" / "001.png", picture(51))
    with pytest.raises(DataError, match="would be lost"):
        ingest.fn("mine", source)
    ingest.fn("mine")
    assert ingest.fn("mine", source).digest != version.digest


@pytest.mark.parametrize("name", ["", "../mine", "a/b", ".hidden", "a b"])
def test_a_name_that_is_no_folder_name_is_refused(repository, source, name):
    with pytest.raises(InvalidInputError, match="name of a data set"):
        ingest_folder(str(source), name=name)


def test_a_folder_needs_a_name(repository, source):
    with pytest.raises(InvalidInputError, match=r"--as NAME"):
        ingest_folder(str(source))


def test_a_folder_may_take_the_place_of_an_embedded_set(repository, source):
    assert ingest.fn("digits", source).num_files == 8
    assert versions.names(versions.recorded()) == ("digits",)


def test_sets_that_come_in_at_the_same_time_wait_for_each_other(repository, source, tmp_path):
    clips = write_clips(tmp_path / "clips")
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda pair: ingest.fn(*pair), [("mine", source), ("clips", clips)]))
    assert versions.names(versions.recorded()) == ("clips", "mine")
    for version in made:
        assert versions.current(version.name).digest == version.digest


def test_a_public_set_is_taken_from_a_folder_of_its_raw_files(repository, tmp_path):
    write_idx(tmp_path / "raw")
    version, _ = ingest_folder("mnist:3", origin=tmp_path / "raw")
    assert version.name == "mnist-3"
    assert version.num_files == 6
    assert ingest.fn("mnist:3", tmp_path / "raw") == version
    assert ingest.fn("mnist-3") == version


def test_a_public_set_is_downloaded_once(repository, tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    write_idx(tmp_path / "web")
    files = [(path.name, dvc_cache.file_md5(path)) for path in (tmp_path / "web").iterdir()]
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "web")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        mirror = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(MNIST, "mirrors", [f"{mirror}/nowhere/", f"{mirror}/"])
        monkeypatch.setattr(MNIST, "resources", files)
        version, changes = ingest_folder("mnist")
        server.shutdown()
    assert len(changes.added) == version.num_files == 6
    assert [path.name for path in (repository / "data").iterdir()] == ["mnist"]
    assert ingest_folder("mnist-3")[0].num_files == 6
    assert ingest_folder("mnist")[0] == versions.current("mnist")


def test_raw_files_of_another_set_are_refused(repository, source):
    with pytest.raises(DataError, match="must hold UCSDped2/Train"):
        ingest_folder("ped2", origin=source / "test")
    assert list((repository / "data").iterdir()) == []


def test_raw_files_need_the_name_of_a_public_set(repository, source):
    with pytest.raises(NotFoundError, match="Known by name"):
        ingest_folder("mine", origin=source)
    with pytest.raises(InvalidInputError, match="pass one of them"):
        ingest_folder(str(source), name="mine", origin=source)


def test_an_unknown_set_is_answered_with_those_there_are(repository, source):
    ingest.fn("mine", source)
    with pytest.raises(NotFoundError, match=r"no data set 'srews' in .* holds: mine"):
        ingest.fn("srews")


def test_a_public_set_that_is_not_here_says_how_to_get_it(repository):
    with pytest.raises(NotFoundError, match=r"unseen ingest ped2 --from DIR"):
        ingest.fn("ped2")


def test_a_deleted_working_copy_comes_back_from_the_cache(repository, source):
    version = ingest.fn("mine", source)
    shutil.rmtree(repository / "data")
    assert ingest.fn("mine") == version
    assert versions_of(repository / "data" / "mine") == versions_of(source)


def test_an_object_that_the_cache_has_lost_is_stored_again(repository, source):
    version = ingest.fn("mine", source)
    path = dvc_cache.cached_path(versions.entries(version)[0].md5)
    path.unlink()
    assert ingest.fn("mine") == version
    assert path.exists()


def test_without_a_git_repository_nothing_is_made(tmp_path, source, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="must run inside a git repository"):
        ingest_folder(str(source), name="mine")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_available_sets_are_listed_with_those_that_are_here(repository, source):
    ingest.fn("mine", source)
    found = available()
    assert found["mine"] == (True, "yours")
    assert found["ped2"][0] is False
    assert {"walkway", "digits", "mvtec-screw", "mnist"} <= found.keys()
