import gzip

import numpy as np
import pytest

from benchmarks.density import Benchmark, summary


def test_digits_are_summed_up_once_all_ten_are_there():
    figures = {f"lsa{digit}": {"lsa_auc": 0.9 + digit / 100} for digit in range(10)}
    found = summary({"pixel_cnn": {"nats": 90.0}, **figures})
    assert found == pytest.approx({"nats": 90.0, "lsa_auc_mean": 0.945, "lsa_auc_min": 0.9})
    del figures["lsa3"]
    assert summary(figures) == {}


@pytest.fixture
def data(tmp_path):
    """Small idx files in the manner of MNIST: a bright row whose place is the digit."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for part, num in (("train", 200), ("t10k", 40)):
        labels = np.arange(num, dtype=np.uint8) % 10
        images = np.zeros((num, 28, 28), np.uint8)
        images[np.arange(num), 2 * labels + 4] = 200
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            packed = gzip.compress(header + array.tobytes())
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(packed)
    return tmp_path / "data"


def test_the_parts_give_finite_figures(data, tmp_path):
    benchmark = Benchmark(data, tmp_path, 20, full=False, quick=False)
    assert "failure" not in benchmark.parts()  # there are no clothes
    figures = {name: benchmark.parts()[name](0) for name in ("pixel_cnn", "lsa4")}
    values = [value for part in figures.values() for value in part.values()]
    assert np.isfinite(values).all()
    assert 0 < figures["pixel_cnn"]["nats"] < 784
    assert 0 <= figures["lsa4"]["lsa_auc"] <= 1
