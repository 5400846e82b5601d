import pandas as pd
import pytest
from rich.console import Console

from flows.cli import tables
from models.errors import NotFoundError
from tasks.data.limits import Outcome
from tasks.data.rows import Row
from tasks.data.versions import Changes
from tasks.records import DataVersion


def shown(renderable):
    console = Console(markup=False, emoji=False, width=120, record=True, quiet=False, file=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_headline_figures_stand_in_a_fixed_order():
    tags = {"unseen.metric.pixel_eer": "0.25", "unseen.metric.frame_auc": "0.5", "other": "1"}
    assert tables.figures(tags) == "frame_auc 0.500  pixel_eer 0.250"


def test_an_ingest_says_what_changed_and_how_to_name_it(workplace):
    (workplace / "data.dvc").write_text("outs: []\n")
    version = DataVersion(
        name="mine",
        digest="d.dir",
        dvc_md5="m.dir",
        git_commit="c" * 40,
        remote=None,
        num_files=3,
        num_bytes=2_500_000,
    )
    changes = Changes(added=("a.png", "b.png"), removed=(), changed=("c.png",))
    rows = [
        Row(path="train/good/a.png", role="image", split="train", kind="good", md5="1"),
        Row(path="test/[x]/b.png", role="image", split="test", kind="[x]", md5="2"),
        Row(path="ground_truth/[x]/b.png", role="mask", split="test", kind="[x]", md5="3"),
        Row(path="train/c.png", role="other", md5="4"),
        Row(path="readme.txt", role="note", md5="5"),
    ]
    files = pd.DataFrame([vars(row) | {"num_frames": 1} for row in rows])
    warning = Outcome(
        name="every_file_has_a_place",
        description="every file has a place",
        severity="warning",
        success=False,
        observed=None,
        files=("train/c.png (it lies in train/ itself)",),
        num_files=1,
    )
    text = shown(tables.ingest_summary(version, changes, files, [warning], committed=False))
    assert "warning: every file has a place: train/c.png (it lies in train/ itself)" in text
    assert [line.split() for line in text.splitlines() if "[x]" in line] == [
        ["test", "[x]", "1", "-", "1", "-", "-"]
    ]
    assert ["train", "-", "-", "-", "-", "1"] in [line.split() for line in text.splitlines()]
    assert ["(root)", "-", "-", "-", "-", "1"] in [line.split() for line in text.splitlines()]
    assert "2  a.png, b.png" in text
    assert "2.5 MB" in text
    assert "git add data.dvc" in text


def test_models_can_be_listed_before_there_are_any(workplace):
    assert "champion" in shown(tables.model_table())


def test_the_history_of_nobody_is_a_clear_error(workplace):
    with pytest.raises(NotFoundError, match="nobody"):
        tables.history_table("nobody")
