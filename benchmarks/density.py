"""What density models know of digits: their likelihood, novelties, samples, and how they fail.

Claims: PixelCNN needs fewer nats for a binary digit than any network of dense layers; latent-space
autoregression tells each digit from the nine others; samples show all ten digits; and a likelihood
alone takes simpler images for normal ones, which is why it must not be used so.

    python -m benchmarks.density --data DIR [--seeds 3] [--full] [--quick] [--parts NAME ...]

DIR holds mnist, and fashion-mnist if you have it. On a CPU the models are small, and names of
figures end in ``_cpu``; a GPU or ``--full`` takes the full size. A killed run goes on where it
stopped. Settings were chosen by the likelihood of held-out training images; labels only score.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from benchmarks import _judge
from benchmarks._result import report
from benchmarks._rows import Rows
from benchmarks._sets import Batches, ImageSet, read_idx
from models.density.pixel_cnn import PixelCnn
from models.encoders.pixels import Pixels
from models.functional.dithering import dithered
from models.metrics import detection

HELD_OUT = 1000
"""Last training images, which calibrate PixelCNN."""
CPU = {
    "pixels": PixelCnn.Config(depth=4, epochs=1),
    "clothes": PixelCnn.Config(levels=256, depth=2, epochs=1),
}
FULL = {
    "pixels": PixelCnn.Config(
        width=96, above_width=96, depth=12, epochs=60, batch_size=64, learning_rate=2e-3
    ),
    "clothes": PixelCnn.Config(
        levels=256, width=64, above_width=64, depth=6, epochs=10, batch_size=64, learning_rate=2e-3
    ),
}
CLOTHES = 6000
"""Images of clothes that the model of the failure is trained on, on a CPU."""


class Benchmark:
    """Measures one part for one seed.

    Args:
        data: Folder of the sets.
        full: Full size, for a GPU.
        quick: Hardly any images: a smoke test.
    """

    def __init__(self, data: Path, *, full: bool, quick: bool) -> None:
        self._data, self._quick = data, quick
        self._sizes = FULL if full else CPU
        self._full = full
        self.fabric = Fabric(
            accelerator="auto",
            devices=1,
            precision="bf16-mixed" if torch.cuda.is_available() else "32-true",
        )
        self._num = 400 if quick else 60_000

    def parts(self) -> dict[str, Callable[[int], dict[str, float]]]:
        """What is measured, by name: the figures of a seed."""
        found: dict[str, Callable[[int], dict[str, float]]] = {"pixel_cnn": self.pixel_cnn}
        if (self._data / "fashion-mnist").is_dir():
            found["failure"] = self.failure
        return found

    def pixel_cnn(self, seed: int) -> dict[str, float]:
        """Nats of binary digits, and what a judge says of samples."""
        digits = self._read("mnist")
        model, seconds = self._fitted(self._sizes["pixels"], digits.train, seed)
        test, train = (_binary(part, seed) for part in (digits.test, digits.train))
        found = {"nats": -_mean(model, test), "minutes": seconds / 60}
        assert digits.train_labels is not None
        judge = _judge.trained(train, digits.train_labels, seed=seed, device=self.fabric.device)
        samples = model.sample(40 if self._quick else 2000, seed=seed).cpu()
        return found | _judge.verdict(judge, samples, train, test)

    def failure(self, seed: int) -> dict[str, float]:
        """AUC by which a model of clothes takes digits for the anomaly: < 0.5 is the failure."""
        clothes, digits = self._read("fashion-mnist"), self._read("mnist")
        chosen = clothes.train if self._full else clothes.train[: CLOTHES + HELD_OUT]
        model, _ = self._fitted(self._sizes["clothes"], chosen, seed)
        scores = [
            torch.cat([model(part.to(self.fabric.device)).image_score.cpu() for part in images])
            for images in (Batches(each.test[:2000], 100) for each in (clothes, digits))
        ]
        anomalous = np.repeat([False, True], [len(part) for part in scores])
        dims = clothes.test[0].numel() * np.log(2)
        return {
            "ood_auc_likelihood": detection.auc(anomalous, torch.cat(scores).numpy()),
            "bits_per_dim_fashion": float(scores[0].mean()) / dims,
            "bits_per_dim_fashion_model_on_mnist": float(scores[1].mean()) / dims,
        }

    def _read(self, name: str) -> ImageSet:
        return read_idx(self._data / name, self._num)

    def _fitted(self, config: PixelCnn.Config, images: Tensor, seed: int) -> tuple[PixelCnn, float]:
        held_out = min(HELD_OUT, len(images) // 4)
        model = _with_seed(config, seed).build(Pixels.Config().build())
        began = time.perf_counter()
        model.fit(
            Batches(images[:-held_out], 100), Batches(images[-held_out:], 100), fabric=self.fabric
        )
        return model, time.perf_counter() - began


def _with_seed(config: PixelCnn.Config, seed: int) -> PixelCnn.Config:
    import dataclasses

    return dataclasses.replace(config, seed=seed)


def _binary(images: Tensor, seed: int) -> Tensor:
    """One dynamic binarisation of all images: each value is the probability of a 1."""
    draw = torch.Generator().manual_seed(1000 + seed)
    parts = [
        dithered(part.float() / 255, 2, torch.rand(part.shape, generator=draw)).float()
        for part in images.split(1000)
    ]
    return torch.cat(parts)


def _mean(model: PixelCnn, images: Tensor) -> float:
    return float(torch.cat([model.log_likelihood(part).cpu() for part in images.split(200)]).mean())


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--full", action="store_true", help="full size; a GPU takes it anyway")
    parser.add_argument("--quick", action="store_true", help="a smoke test: one seed, few images")
    parser.add_argument("--parts", nargs="+", default=[], help="only these; all if left out")
    given = parser.parse_args()
    seeds = list(range(1 if given.quick else given.seeds))
    full = given.full or torch.cuda.is_available()
    benchmark = Benchmark(given.data, full=full, quick=given.quick)
    rows = Rows(
        {"full": full, "quick": given.quick, "data": given.data.resolve()},
        Path(tempfile.gettempdir()) / "unseen-benchmark-density",
    )
    print(f"Figures are kept in {rows.path}", flush=True)
    collected: dict[str, list[float]] = {}
    for seed in seeds:
        for name, measure in benchmark.parts().items():
            if given.parts and name not in given.parts:
                continue
            if (name, "digits", seed) not in rows:
                rows.add(name, "digits", seed, measure(seed))
            for figure, value in rows[name, "digits", seed].items():
                print(f"seed {seed}  {name:12} {figure:36} {value:.4f}", flush=True)
                collected.setdefault(figure, []).append(value)
    suffix = "" if full else "_cpu"
    metrics = {}
    for figure, values in collected.items():
        metrics[figure + suffix] = statistics.fmean(values)
        metrics[f"{figure}{suffix}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
    report("density-quick" if given.quick else "density", metrics, seeds=seeds)


if __name__ == "__main__":
    main()
