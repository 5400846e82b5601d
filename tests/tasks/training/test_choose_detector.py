import mlflow
import pytest

from flows.recipes import catalog
from models.encoders.pretrained import PretrainedTrunk
from models.errors import TrainingError
from tasks.data.ingest import ingest
from tasks.records import Training
from tasks.registry import mlflow_store
from tasks.training.choose_detector import choose_detector
from tasks.training.pretrain import pretrain
from tests.flows.tiny import write

TRAINING = Training(image_size=(64, 64), calibration="cross", device="cpu")


def chosen(folder, num_train):
    version = ingest.fn("stripes", write(folder, num_train=num_train))
    trunk = pretrain.fn(version, PretrainedTrunk.Config(), None, TRAINING, "stripes")
    return choose_detector.fn(version, trunk, catalog.candidates(), TRAINING, "stripes")


def test_the_best_on_put_in_defects_is_chosen_and_the_table_is_kept(repository, tmp_path):
    found = chosen(tmp_path / "incoming", 20)
    assert set(found.put_in_auroc) == set(catalog.CANDIDATES)
    assert found.put_in_auroc[found.name] == max(found.put_in_auroc.values())
    known = found.put_in_auroc[found.name] - found.put_in_auroc[found.runner_up]
    assert found.margin == pytest.approx(known, abs=0.05)
    assert found.margin_lower_bound <= found.margin
    run = mlflow_store.client().get_run(found.run_id)
    for name, value in found.put_in_auroc.items():
        assert run.data.metrics[f"put_in_auroc.{name}"] == pytest.approx(value)
    table = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/selection/table.json")
    assert table[found.name]["all"] == pytest.approx(found.put_in_auroc[found.name])


def test_too_few_images_are_refused(repository, tmp_path):
    with pytest.raises(TrainingError, match="at least 10 normal images, got 8"):
        chosen(tmp_path / "incoming", 8)
