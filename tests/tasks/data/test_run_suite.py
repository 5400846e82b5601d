from dataclasses import fields

import pandas as pd
import pytest

from models.errors import DataError
from tasks.data.limits import Expectations
from tasks.data.manifest import Row
from tasks.data.offline_docs import OUTSIDE


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
    from tasks.data.run_suite import outcomes as in_memory

    table, folder = rows(30, kind="odd"), tmp_path / "context"
    checked = check(table, Expectations(), None, name="squares", folder=folder)
    assert in_memory(table, Expectations(), None) == checked.outcomes

    outcomes = {each.name: each for each in checked.outcomes}
    failed = outcomes["train_is_normal"]
    assert not failed.success
    assert (failed.num_files, len(failed.files)) == (30, MAX_FILES)
    assert failed.files[0] == "train/good/000.png (kind odd)"
    assert failed.message.endswith("train/good/002.png (kind odd) and 27 more")
    assert outcomes["enough_training_images"].success
    assert outcomes["enough_training_images"].observed == "30"

    assert (checked.docs / "index.html").exists()
    assert list(checked.docs.rglob("*.gif")) == []
    assert len(checked.suite["expectations"]) == len(checked.outcomes)


def test_the_context_keeps_the_results_of_every_run_and_pages_open_without_internet(tmp_path):
    from tasks.data.run_suite import check

    for count in (12, 30):
        alone = tmp_path / f"alone-{count}"
        checked = check(
            rows(count), Expectations(), None, name="squares", folder=tmp_path, alone=alone
        )
    kept = list((tmp_path / "gx" / "uncommitted" / "validations").rglob("*.json"))
    assert len(kept) == 2
    assert len(list(checked.docs.glob("validations/**/*.html"))) == 2
    assert len(list(alone.glob("validations/**/*.html"))) == 1
    assert (tmp_path / "gx" / "expectations" / "squares.json").exists()
    for page in (*checked.docs.rglob("*.html"), *alone.rglob("*.html")):
        assert OUTSIDE.search(page.read_text()) is None
        assert "border-collapse" in page.read_text()
    assert "one_run" not in (tmp_path / "gx" / "great_expectations.yml").read_text()


def test_an_expectation_of_the_users_is_evaluated_with_ours(tmp_path):
    import great_expectations.expectations as gxe

    from tasks.data.run_suite import check

    wide = gxe.ExpectColumnValuesToBeBetween(column="contrast", min_value=0.5, severity="warning")
    checked = check(rows(12), Expectations(), None, name="s", folder=tmp_path, added=[wide])
    mine = checked.outcomes[-1]
    assert (mine.success, mine.severity, mine.num_files) == (False, "warning", 12)
    assert mine.name == "expect_column_values_to_be_between"
    lost = gxe.ExpectColumnValuesToNotBeNull(column="nowhere")
    with pytest.raises(DataError, match=r"expect_column_values_to_not_be_null .*nowhere"):
        check(rows(12), Expectations(), None, name="s", folder=tmp_path, added=[lost])


@pytest.mark.parametrize("split", ["train", "test"])
def test_expectations_about_rows_that_are_not_there_behave(split):
    from tasks.data.run_suite import outcomes

    found = outcomes(rows(12, split=split), Expectations(), None)
    failed = {each.name: each.message for each in found if not each.success}
    needed = "enough_test_images" if split == "train" else "enough_training_images"
    assert needed in failed
    assert all(isinstance(message, str) for message in failed.values())
    empty = outcomes(rows(0), Expectations(), None)
    assert not {each.name: each for each in empty}["enough_training_images"].success
