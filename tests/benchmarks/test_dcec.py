import gzip
import struct

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from benchmarks import _plain, dcec
from models.clustering.dcec import DCEC, Autoencoder
from models.clustering.spectral_dec import SpectralDEC


def write(folder):
    draw = np.random.default_rng(0)
    (folder / "usps").mkdir()
    arrays = {
        "train_images": draw.integers(0, 256, (6, 16, 16), dtype=np.uint8),
        "train_labels": np.arange(6),
        "test_images": draw.integers(0, 256, (3, 16, 16), dtype=np.uint8),
        "test_labels": np.arange(3),
    }
    np.savez(folder / "usps" / "usps.npz", **arrays)
    (folder / "mnist").mkdir()
    for part, num in (("train", 5), ("t10k", 4)):
        for kind, array in (
            ("images-idx3-ubyte", draw.integers(0, 256, (num, 28, 28), dtype=np.uint8)),
            ("labels-idx1-ubyte", np.arange(num, dtype=np.uint8)),
        ):
            head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(
                f">{array.ndim}i", *array.shape
            )
            packed = gzip.compress(head + array.tobytes())
            (folder / "mnist" / f"{part}-{kind}.gz").write_bytes(packed)
    return arrays


def test_sets_are_whole_and_without_a_split(tmp_path):
    assert not dcec.available(tmp_path, full=True, num=100)
    arrays = write(tmp_path)
    readers = dcec.available(tmp_path, full=True, num=100)
    sizes = {name: (len(read()[0]), read()[1].tolist()) for name, read in readers.items()}
    assert sizes == {
        "usps": (9, [0, 1, 2, 3, 4, 5, 0, 1, 2]),
        "mnist_test": (4, [0, 1, 2, 3]),
        "mnist_full": (9, [0, 1, 2, 3, 4, 0, 1, 2, 3]),
    }
    images, _ = readers["usps"]()
    assert np.array_equal(images[6, 0].numpy(), arrays["test_images"][0])
    assert "mnist_full" not in dcec.available(tmp_path, full=False, num=100)


def test_mean_spread_least_and_most_are_named_after_the_training():
    found = dcec.summarize({"acc_dcec_usps": [0.5, 0.7], "seconds_dcec_usps": [1.0]}, "_cpu")
    assert found["usps_acc_cpu"] == pytest.approx(0.6)
    assert found["usps_acc_cpu_std"] == pytest.approx(0.02**0.5)
    assert (found["usps_acc_cpu_min"], found["usps_acc_cpu_max"]) == (0.5, 0.7)
    assert len(found) == 4


def test_labels_score_and_do_not_train():
    images = torch.zeros(40, 1, 8, 8, dtype=torch.uint8)
    images[::2, :, :, :4], images[1::2, :, :, 4:] = 200, 200
    images += torch.randint(0, 50, images.shape, generator=torch.Generator().manual_seed(0)).byte()
    config = DCEC.Config(
        num_clusters=2, epochs=30, max_iterations=4, update_interval=2, batch_size=20
    )
    fabric = Fabric(accelerator="cpu", devices=1)
    halves, others = (
        dcec.measure((images, classes), config, 0, fabric)
        for classes in (np.arange(40) % 2, np.arange(40) // 20)
    )
    assert halves["iterations"] == others["iterations"] > 0
    assert halves["acc"] == 1
    assert others["acc"] == 0.5


def test_the_interval_is_the_papers_for_each_size():
    strong = SpectralDEC.Config()
    assert dcec._for(strong, "usps").update_interval == 30
    assert dcec._for(strong, "mnist_full").update_interval == 140
    assert dcec._for(DCEC.Config(), "mnist_full") == DCEC.Config()


@pytest.mark.parametrize("side", [16, 28])
def test_the_plain_network_is_the_same_network(side):
    ours, plain = Autoencoder(1, side, 10), _plain.autoencoder(side)
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        theirs.data.copy_(mine)
    images = torch.rand(3, 1, side, side)
    torch.testing.assert_close(plain(images), ours(images)[1])


def test_a_plain_epoch_learns():
    torch.manual_seed(0)
    model = _plain.autoencoder(8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = [torch.rand(4, 1, 8, 8) for _ in range(3)]
    losses = [_plain.train_epoch(model, optimizer, batches) for _ in range(20)]
    assert losses[-1] < losses[0]
