import shutil

from PIL import Image

from tasks.data import copies, manifest, snapshots, versions
from tasks.platform import workspace
from tests.tasks.data.test_duplicates import saved_again, scene
from tests.tasks.pictures import save, write_clips


def write(folder):
    """Four images, of which the last is the second one, saved again."""
    for index in range(3):
        save(folder / f"train/good/{index}.png", scene(index))
    (folder / "train/good/3.jpg").parent.mkdir(exist_ok=True)
    Image.fromarray(scene(1)).save(folder / "train/good/3.jpg", quality=60)
    return folder


def test_images_that_show_the_same_are_one_group(repository):
    write(versions.folder() / "set")
    snapshot = snapshots.open_version(versions.add("set"))
    expected = {"good/0": "good/0", "good/1": "good/1", "good/2": "good/2", "good/3": "good/1"}
    assert copies.groups(snapshot) == expected
    shutil.rmtree(workspace.home() / "copies")
    rows = manifest.read(snapshot).set_index("path")
    assert rows.loc["train/good/3.jpg", "copy"] == "train/good/1.png"
    assert copies.groups(snapshot) == expected


def test_clips_that_share_a_frame_are_one_group(repository):
    folder = write_clips(versions.folder() / "set", clips=3)
    shutil.copy(folder / "train/good/03/004.png", folder / "train/good/01/009.png")
    snapshot = snapshots.open_version(versions.add("set"))
    found = copies.groups(snapshot)
    assert found == {"good/01": "good/01", "good/02": "good/02", "good/03": "good/01"}


def test_what_is_compared_survives_compression():
    assert abs(saved_again(scene(0)).astype(int) - scene(0)).mean() < 3
