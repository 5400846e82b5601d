import mlflow
from PIL import Image

from tasks.registry import mlflow_store
from tasks.training.pretext import contact_sheet
from tests.tasks.training.pretext.test_track_pairs import track


def test_a_clip_has_a_row_of_patches_for_each_track():
    found = [track("good/a"), track("good/b"), track("good/a", first=40)]
    (first, two), (second, one) = contact_sheet.sheets(found)
    assert (first, second) == ("good/a", "good/b")
    assert two.width == one.width > 8 * 96
    assert two.height == 2 * one.height


def test_sheets_are_logged_with_the_run(repository):
    with mlflow_store.run("pretrain", "squares", tags={}, params={}) as active:
        contact_sheet.log([track("good/a"), track("good/b")])
    for name in ("a", "b"):
        uri = f"runs:/{active.info.run_id}/pretext/tracks/good/{name}.png"
        with Image.open(mlflow.artifacts.download_artifacts(uri)) as picture:
            assert picture.width > 8 * 96
