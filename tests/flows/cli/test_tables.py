import pytest
from rich.console import Console

from flows.cli import tables
from models.errors import NotFoundError
from tasks.data.versions import Changes
from tasks.records import DataVersion


def shown(renderable):
    console = Console(width=120, record=True, quiet=False, file=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_headline_figures_stand_in_a_fixed_order():
    tags = {"unseen.metric.pixel_eer": "0.25", "unseen.metric.frame_auc": "0.5", "other": "1"}
    assert tables.figures(tags) == "frame_auc 0.500  pixel_eer 0.250"


def test_recipes_are_listed_with_their_data():
    text = shown(tables.recipe_table())
    assert "walkway" in text
    assert "digits" in text


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
    text = shown(tables.ingest_summary(version, changes, committed=False))
    assert "2  a.png, b.png" in text
    assert "2.5 MB" in text
    assert "git add data.dvc" in text


def test_data_sets_and_models_can_be_listed_before_there_are_any(workplace):
    assert "ped2" in shown(tables.dataset_table())
    assert "champion" in shown(tables.model_table())


def test_the_history_of_nobody_is_a_clear_error(workplace):
    with pytest.raises(NotFoundError, match="nobody"):
        tables.history_table("nobody")
