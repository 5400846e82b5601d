from dataclasses import fields

import pandas as pd

from tasks.data.limits import Expectations
from tasks.data.manifest import Row


def rows(count, **columns):
    """A manifest of as many training images, the same in all columns."""
    common = {"role": "image", "split": "train", "kind": "good", "num_frames": 1, "contrast": 0.1}
    values = [
        {"path": f"train/good/{k:03d}.png", "md5": str(k), "md5_read": str(k), **common, **columns}
        for k in range(count)
    ]
    return pd.DataFrame(values, columns=[field.name for field in fields(Row)])


def test_many_failing_files_are_counted_and_the_first_are_named(tmp_path):
    from tasks.data.run_suite import MAX_FILES, check

    folder = tmp_path / "context"
    (folder / "gx").mkdir(parents=True)
    (folder / "gx" / "left.over").touch()
    checked = check(rows(30, kind="odd"), Expectations(), None, name="squares", folder=folder)

    outcomes = {each.name: each for each in checked.outcomes}
    failed = outcomes["train_is_normal"]
    assert not failed.success
    assert (failed.num_files, len(failed.files)) == (30, MAX_FILES)
    assert failed.files[0] == "train/good/000.png (kind odd)"
    assert failed.message.endswith("train/good/002.png (kind odd) and 27 more")
    assert outcomes["enough_training_images"].success
    assert outcomes["enough_training_images"].observed == "30"

    assert not (folder / "gx" / "left.over").exists()
    assert (checked.docs / "index.html").exists()
    assert list(checked.docs.rglob("*.gif")) == []
    assert len(checked.suite["expectations"]) == len(checked.outcomes)
