import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.errors import InvalidInputError, RegistryError
from tasks.packaging import package
from tasks.packaging.preprocessing import Preprocessing

LINEAGE = {"data": {"name": "walkway"}, "recipe": {"seed": 0}}
FILES = [{"relpath": "train/good/01/000.png", "md5": "0" * 32}]


def clip(frames=9, height=16, width=24, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width), dtype=np.uint8)


def fitted(tiny, channels=6):
    torch.manual_seed(0)
    detector = tiny.Tiny.Config().build(tiny.Pool.Config(channels=channels).build())
    normal = [torch.rand(8, channels, 16, 24) / 4 for _ in range(2)]
    return detector.fit(normal, normal)


@pytest.fixture
def detector(tiny_detector):
    return fitted(tiny_detector)


@pytest.fixture
def folder(tmp_path, detector):
    save(tmp_path / "package", detector)
    return tmp_path / "package"


def save(folder, detector, **changes):
    options = {
        "preprocessing": Preprocessing(window=6),
        "calibration_scores": np.array([0.3, 0.1, 0.2]),
        "lineage": LINEAGE,
        "files": FILES,
    }
    return package.save(folder, detector, **options | changes)


def test_a_loaded_detector_scores_as_the_one_that_was_saved(folder, detector):
    loaded = package.load(folder)
    images = torch.tensor(Preprocessing(window=6)(clip())).float() / 255
    expected = detector(images)
    prediction = loaded.predict(clip(), anomaly_map=True)
    assert np.array_equal(prediction.image_score, expected.image_score.double().numpy())
    assert np.array_equal(prediction.anomaly_map, expected.anomaly_map.numpy())
    assert loaded.threshold == detector.threshold
    assert loaded.lineage == LINEAGE


def test_this_projects_own_detector_comes_back_as_it_was(tmp_path):
    from models.encoders.alexnet import AlexNetTrunk
    from models.one_class.deep_anomaly import DeepAnomaly, SparseLayerConfig

    torch.manual_seed(0)
    config = DeepAnomaly.Config(layer=SparseLayerConfig(kernels=8, num_samples=200, epochs=1))
    normal = [torch.rand(8, 6, 48, 64) for _ in range(2)]
    detector = config.build(AlexNetTrunk.Config().build()).fit(normal, normal)
    save(tmp_path / "package", detector)
    loaded = package.load(tmp_path / "package")
    prediction = loaded.predict(clip(height=48, width=64), anomaly_map=True)
    expected = detector(torch.tensor(Preprocessing(window=6)(clip(height=48, width=64))) / 255)
    assert np.array_equal(prediction.image_score, expected.image_score.double().numpy())
    assert np.array_equal(prediction.anomaly_map, expected.anomaly_map.numpy())
    assert type(loaded.detector) is not DeepAnomaly
    stored = load_file(tmp_path / "package" / "statistics.safetensors")
    assert all(torch.equal(stored[name], value) for name, value in detector.statistics().items())


def test_the_configuration_comes_back_whole(tmp_path, tiny_detector):
    config = tiny_detector.Tiny.Config(
        limits=tiny_detector.Limits(quantile=0.5, sides=(2, 3)), norm=tiny_detector.Norm.L1
    )
    detector = config.build(tiny_detector.Pool.Config(channels=3).build())
    normal = [torch.rand(4, 3, 8, 8)]
    save(tmp_path / "package", detector.fit(normal, normal))
    loaded = package.load(tmp_path / "package").detector
    assert repr(loaded.config) == repr(config)
    assert loaded.config.limits.sides == (2, 3)
    assert repr(loaded.encoder.config) == repr(detector.encoder.config)


def test_how_frames_are_read_comes_back_and_older_packages_say_nothing_of_it(tmp_path, detector):
    how = Preprocessing(window=6, levels=(0.0, 4095.0), frame_rate=25.0)
    save(tmp_path / "package", detector, preprocessing=how)
    assert package.load(tmp_path / "package").preprocessing == how
    described = json.loads((tmp_path / "package" / "detector.json").read_text())
    del described["preprocessing"]["levels"], described["preprocessing"]["frame_rate"]
    (tmp_path / "package" / "detector.json").write_text(json.dumps(described))
    sums = package.checksums(tmp_path / "package")
    (tmp_path / "package" / "digest.json").write_text(json.dumps(sums))
    assert package.load(tmp_path / "package").preprocessing == Preprocessing(window=6)


def test_no_file_of_the_package_is_a_pickle(folder):
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {
        ".safetensors",
        ".json",
        ".py",
    }
    assert load_file(folder / "statistics.safetensors")["mean"].dtype == torch.float64
    assert json.loads((folder / "files.json").read_text()) == FILES


def test_an_old_model_runs_its_own_code_after_the_code_changed(tmp_path, monkeypatch):
    module = tmp_path / "tiny_detector.py"
    source = (Path(__file__).parents[1] / "tiny_detector.py").read_text()
    module.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tiny_detector", raising=False)
    import tiny_detector as old

    save(tmp_path / "old", fitted(old))
    before = package.load(tmp_path / "old").predict(clip()).image_score

    module.write_text(source.replace("FACTOR = 1.0", "FACTOR = 1000.0"))
    monkeypatch.delitem(sys.modules, "tiny_detector")
    import tiny_detector as new

    save(tmp_path / "new", fitted(new))
    modules, path = dict(sys.modules), list(sys.path)
    after = package.load(tmp_path / "old").predict(clip()).image_score
    assert np.array_equal(before, after)
    assert np.allclose(package.load(tmp_path / "new").predict(clip()).image_score, 1000 * before)
    assert sys.path == path
    assert all(sys.modules[name] is module for name, module in modules.items())
    assert sys.modules["tiny_detector"] is new


@pytest.mark.parametrize(
    "name",
    ["weights.safetensors", "detector.json", "lineage.json", "sources/models/errors.py"],
)
def test_a_changed_byte_is_refused(folder, name):
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RegistryError, match=f"exactly the bytes.*{path.name}"):
        package.load(folder)


def test_a_missing_and_an_added_file_are_refused(folder):
    (folder / "sources" / "torch.py").write_text("raise SystemExit")
    (folder / "files.json").unlink()
    with pytest.raises(RegistryError, match=r"files\.json, sources/torch\.py"):
        package.load(folder)


def test_a_folder_that_holds_no_package_is_refused(tmp_path):
    with pytest.raises(RegistryError, match=r"digest\.json is missing"):
        package.load(tmp_path)


def test_a_later_format_is_refused(folder):
    path = folder / "detector.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    (folder / "digest.json").write_text(json.dumps(package.checksums(folder)))
    with pytest.raises(RegistryError, match="format is 2: a newer version of unseen wrote it"):
        package.load(folder)


def test_the_digest_names_the_bytes_and_not_the_place(folder, tmp_path, detector):
    first = package.load(folder).digest
    shutil.copytree(folder, tmp_path / "copy")
    assert package.load(tmp_path / "copy").digest == first
    assert save(tmp_path / "same", detector) == first
    assert save(tmp_path / "other", detector, files=[]) != first


def test_loading_leaves_no_trace_in_the_folder(folder):
    before = sorted(folder.rglob("*"))
    package.load(folder)
    assert sorted(folder.rglob("*")) == before


def test_a_configuration_that_would_need_pickling_is_refused(tmp_path, detector):
    object.__setattr__(detector.config, "norm", {1, 2})
    with pytest.raises(RegistryError, match="must be made of numbers"):
        save(tmp_path / "package", detector)


def test_a_class_without_a_source_file_is_refused(tmp_path, detector, monkeypatch):
    monkeypatch.setattr(type(detector.encoder.config), "__module__", "__main__")
    monkeypatch.setattr(type(detector.encoder), "__module__", "__main__")
    with pytest.raises(RegistryError, match="'__main__' cannot"):
        save(tmp_path / "package", detector)


def test_a_clip_shorter_than_the_window_is_refused(folder):
    with pytest.raises(InvalidInputError, match="at least 6 frames, got 5"):
        package.load(folder).predict(clip(frames=5))
