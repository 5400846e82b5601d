"""What density models know of digits: their likelihood, novelties, samples, and how they fail.

Claims: PixelCNN needs fewer nats for a binary digit than any network of dense layers; latent-space
autoregression tells each digit from the nine others; samples show all ten digits; and a likelihood
alone takes simpler images for normal ones, which is why it must not be used so.

    python -m benchmarks.density --data DIR [--seeds 3] [--full] [--images N] [--quick]

DIR holds mnist, and fashion-mnist if you have it. On a CPU the models are small, and names of
figures end in ``_cpu``; a GPU or ``--full`` takes the full size. A killed run goes on where it
stopped.

No test image chose a setting. PixelCNN's were chosen by the likelihood of held-out training images;
its dilations because to the judge samples of one seed lacked 0 and 6 without them. Those of
latent-space autoregression were chosen by the AUC of models of 0, 1, 2 and 8 on training images of
the other digits, which these models had not seen: labels of training images had a say there, but no
model learns from them.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import _judge
from benchmarks._result import over_seeds, report
from benchmarks._rows import Rows
from benchmarks._sets import Batches, read_idx
from models.density.lsa import Lsa
from models.density.pixel_cnn import PixelCnn
from models.encoders.pixels import Pixels
from models.functional.dithering import dithered
from models.metrics import detection

Config = TypeVar("Config", PixelCnn.Config, Lsa.Config)

HELD_OUT = 1000
"""Training images that only calibrate."""
SAMPLES = {False: 1000, True: 5000}
"""Drawn for the judge, who compares them with as many test images: on a CPU, and at full size."""
JUDGED = 20_000
"""Training images that the judge learns from."""
PIXELS = {
    False: PixelCnn.Config(vertical_width=16, depth=4, epochs=1),
    True: PixelCnn.Config(
        width=96, vertical_width=96, depth=12, epochs=60, batch_size=64, learning_rate=2e-3
    ),
}
"""PixelCNN on a CPU, and at full size."""
CLOTHES = {
    False: PixelCnn.Config(levels=256, vertical_width=16, depth=2, epochs=1),
    True: PixelCnn.Config(
        levels=256,
        width=64,
        vertical_width=64,
        depth=6,
        epochs=10,
        batch_size=64,
        learning_rate=2e-3,
    ),
}
"""The 8-bit model of clothes that takes digits for clothes."""
NUM_CLOTHES = 4000
"""Images it is trained on, on a CPU."""
CODES = {
    False: Lsa.Config(
        width=16,
        code_dim=32,
        estimator_width=8,
        weight=0.1,
        relative_error=True,
        epochs=5,
        learning_rate=2e-3,
    ),
    True: Lsa.Config(relative_error=True, epochs=60, batch_size=256),
}
"""Latent-space autoregression. In a short training a code's nats, 147 at first, must not outweigh
an image's squared error, about 100: hence the smaller weight on a CPU."""


class Benchmark:
    """Measures one part for one seed.

    Args:
        data: Folder of the sets.
        weights: Folder where a trained PixelCNN is kept for the part that draws from it.
        num_images: Training images of PixelCNN.
        full: Full size, for a GPU.
        quick: Hardly any images: a smoke test.
    """

    def __init__(
        self, data: Path, weights: Path, num_images: int, *, full: bool, quick: bool
    ) -> None:
        self._data, self._weights, self._full, self._quick = data, weights, full, quick
        self._num_images = 300 if quick else num_images
        self.fabric = Fabric(
            accelerator="auto",
            devices=1,
            precision="bf16-mixed" if torch.cuda.is_available() else "32-true",
        )
        self.read = cache(lambda name: read_idx(data / name, 500 if quick else 60_000))

    def parts(self) -> dict[str, Callable[[int], dict[str, float]]]:
        """What is measured, by name: the figures of a seed."""
        found: dict[str, Callable[[int], dict[str, float]]] = {
            "pixel_cnn": self.pixel_cnn,
            "samples": self.samples,
        }
        if (self._data / "fashion-mnist").is_dir():
            found["failure"] = self.failure
        for digit in range(10):
            found[f"lsa{digit}"] = partial(self.lsa, digit)
        return found

    def pixel_cnn(self, seed: int) -> dict[str, float]:
        """Nats of binary digits."""
        digits = self.read("mnist")
        model, seconds = self._fitted(
            PIXELS[self._full], digits.train[: self._num_images], digits.train[-HELD_OUT:], seed
        )
        state = {name: value.cpu().numpy() for name, value in model.state_dict().items()}
        np.savez(self._file(seed), **state)
        print(f"trained in {seconds:.0f} s", flush=True)
        test = _binary(digits.test, seed)
        likelihood = [model.log_likelihood(part).cpu() for part in torch.split(test, 200)]
        return {"nats": -float(torch.cat(likelihood).mean()), "pixel_cnn_minutes": seconds / 60}

    def samples(self, seed: int) -> dict[str, float]:
        """What a judge says of images that the PixelCNN of this seed draws."""
        model = _seeded(PIXELS[self._full], seed).build(Pixels.Config().build())
        with np.load(self._file(seed)) as state:
            model.load_state_dict({name: torch.from_numpy(state[name]) for name in state})
        model.to(self.fabric.device)
        digits = self.read("mnist")
        test, train = (_binary(part, seed) for part in (digits.test, digits.train))
        assert digits.train_labels is not None
        judge = _judge.trained(
            train[:JUDGED], digits.train_labels[:JUDGED], seed=seed, device=self.fabric.device
        )
        drawn = model.sample(40 if self._quick else SAMPLES[self._full], seed=seed).cpu()
        return _judge.verdict(judge, drawn, train, test)

    def failure(self, seed: int) -> dict[str, float]:
        """AUC by which a model of clothes takes digits for the anomaly: < 0.5 is the failure."""
        clothes, digits = self.read("fashion-mnist"), self.read("mnist")
        num = len(clothes.train) if self._full else min(NUM_CLOTHES, self._num_images)
        model, _ = self._fitted(
            CLOTHES[self._full], clothes.train[:num], clothes.train[-HELD_OUT:], seed
        )
        normal, other = (self._scores(model, each.test[:1000]) for each in (clothes, digits))
        dims = clothes.test[0].numel() * np.log(2)
        return {
            "ood_auc_likelihood": _auc(normal, other),
            "bits_per_dim_fashion": float(normal.mean()) / dims,
            "bits_per_dim_digits_by_fashion": float(other.mean()) / dims,
        }

    def lsa(self, digit: int, seed: int) -> dict[str, float]:
        """AUC by which a model of one digit tells the nine others from it, on the test images."""
        digits = self.read("mnist")
        ours = digits.train[torch.from_numpy(digits.train_labels == digit)]
        kept = len(ours) - len(ours) // 10
        most = kept if self._full else min(kept, self._num_images)
        model, seconds = self._fitted(CODES[self._full], ours[:most], ours[kept:], seed)
        scores = self._scores(model, digits.test)
        normal = digits.test_labels == digit
        known = model.statistics()
        return {
            "lsa_auc": _auc(scores[normal], scores[~normal]),
            "lsa_saturated": float(known["saturated"]),
            "lsa_nats_least": float(known["nats_range"][0]),
            "lsa_error_least": float(known["error_range"][0]),
            "lsa_minutes": seconds / 60,
        }

    def _file(self, seed: int) -> Path:
        return self._weights / f"pixels-{seed}.npz"

    def _fitted(
        self, config: Config, images: Tensor, calibration: Tensor, seed: int
    ) -> tuple[Any, float]:
        model = _seeded(config, seed).build(Pixels.Config().build())
        began = time.perf_counter()
        model.fit(Batches(images, 200), Batches(calibration, 200), fabric=self.fabric)
        return model, time.perf_counter() - began

    def _scores(self, model: PixelCnn | Lsa, images: Tensor) -> NDArray[np.float64]:
        parts = [model(part.to(self.fabric.device)).image_score for part in Batches(images, 200)]
        return torch.cat(parts).double().cpu().numpy()


def _seeded(config: Config, seed: int) -> Config:
    return dataclasses.replace(config, seed=seed)


def _auc(normal: NDArray[np.float64], anomalous: NDArray[np.float64]) -> float:
    labels = np.repeat([False, True], [len(normal), len(anomalous)])
    return detection.auc(labels, np.concatenate([normal, anomalous]))


def _binary(images: Tensor, seed: int) -> Tensor:
    """One dynamic binarisation of all images: each value is the probability of a 1."""
    draw = torch.Generator().manual_seed(1000 + seed)
    parts = [
        dithered(part.float() / 255, 2, torch.rand(part.shape, generator=draw)).float()
        for part in torch.split(images, 1000)
    ]
    return torch.cat(parts)


def summary(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Figures of one seed, by part, as one; of the ten digits the mean, and of AUC the least.

    Only all ten digits make a mean.
    """
    found = {
        name: value
        for part, values in figures.items()
        if not part.startswith("lsa")
        for name, value in values.items()
    }
    digits = [values for part, values in figures.items() if part.startswith("lsa")]
    if len(digits) == 10:
        found |= {
            f"{name}_mean": statistics.fmean(each[name] for each in digits) for name in digits[0]
        }
        found["lsa_auc_min"] = min(each["lsa_auc"] for each in digits)
    return found


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--full", action="store_true", help="full size; a GPU takes it anyway")
    parser.add_argument("--quick", action="store_true", help="a smoke test: one seed, few images")
    parser.add_argument("--images", type=int, help="training images of PixelCNN")
    parser.add_argument("--parts", nargs="+", default=[], help="only these; all if left out")
    given = parser.parse_args()
    seeds = list(range(1 if given.quick else given.seeds))
    full = given.full or torch.cuda.is_available()
    num_images = given.images or (60_000 - HELD_OUT if full else 36_000)
    settings = {"full": full, "quick": given.quick, "images": num_images}
    rows = Rows(settings, Path(tempfile.gettempdir()) / "unseen-benchmark-density")
    print(f"Figures are kept in {rows.path}", flush=True)
    weights = rows.path.with_suffix("")
    weights.mkdir(exist_ok=True)
    benchmark = Benchmark(given.data, weights, num_images, full=full, quick=given.quick)
    collected: dict[str, list[float]] = {}
    for seed in seeds:
        found = {}
        for name, measure in benchmark.parts().items():
            if given.parts and name not in given.parts:
                continue
            if (name, "mnist", seed) not in rows:
                rows.add(name, "mnist", seed, measure(seed))
            found[name] = rows[name, "mnist", seed]
            told = "  ".join(f"{figure} {value:.4f}" for figure, value in found[name].items())
            print(f"seed {seed}  {name:10} {told}", flush=True)
        for figure, value in summary(found).items():
            collected.setdefault(figure, []).append(value)
    suffix = "" if full else "_cpu"
    metrics: dict[str, float] = {}
    for figure, values in collected.items():
        metrics |= over_seeds(figure + suffix, values)
    report(
        "density-quick" if given.quick else "density",
        metrics,
        seeds=seeds,
        notes={
            "binarisation": "dynamic: test images are sampled once for each seed",
            "images": f"PixelCNN trained on {num_images} images",
            "size": "full" if full else "for a CPU",
        },
    )


if __name__ == "__main__":
    main()
