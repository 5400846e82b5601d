import pytest
import torch

from models.encoders.pretrained import PretrainedTrunk
from models.one_class.gaussian_features import GaussianFeatures
from models.one_class.patchcore import PatchCore
from tasks.packaging import make_program, trunk_program
from tasks.platform import workspace


@pytest.fixture
def images():
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (24, 3, 64, 64), generator=draw).byte()


@pytest.fixture
def trunk():
    torch.manual_seed(0)
    early = ("blocks.0", "blocks.1")  # a few layers are quick to export
    return PretrainedTrunk.Config(backbone="test_efficientnet", layers=early).build()


@pytest.fixture
def exported(monkeypatch):
    """Names of the modules that are exported from now on."""
    names, export = [], make_program._onnx

    def noted(module, *given):
        names.append(type(module).__name__)
        return export(module, *given)

    monkeypatch.setattr(make_program, "_onnx", noted)
    return names


def test_a_trunk_is_exported_once_for_all_detectors(repository, trunk, images, exported, tmp_path):
    for number, method in enumerate((PatchCore, GaussianFeatures, GaussianFeatures)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        if number == 2:
            (kept,) = (workspace.home() / "programs").iterdir()
            kept.write_bytes(kept.read_bytes()[:1000])
        detector = method.Config().build(trunk).fit([images[:20] / 255])
        record = make_program.write(folder, detector, images)
        assert record["usable"], record
    assert exported == ["Head", "Trunk", "Head", "Head", "Trunk"]


def test_another_trunk_or_size_has_another_program_and_few_are_kept(
    repository, trunk, images, exported, monkeypatch, tmp_path
):
    monkeypatch.setattr(trunk_program, "MOST_KEPT", 2)
    smaller, kept = images[:, :, :48, :48], workspace.home() / "programs"
    for shown in (images, smaller):
        detector = GaussianFeatures.Config().build(trunk).fit([shown[:20] / 255])
        assert make_program.write(tmp_path, detector, shown)["usable"]
    assert len(list(kept.iterdir())) == 2
    next(trunk.network.parameters()).data += 1
    detector = GaussianFeatures.Config().build(trunk).fit([smaller[:20] / 255])
    assert make_program.write(tmp_path, detector, smaller)["usable"]
    assert exported == ["Head", "Trunk"] * 3
    assert len(list(kept.iterdir())) == 2
