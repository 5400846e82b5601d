"""Magnetic tiles by the recipe of Ped2, unchanged, beside PaDiM and PatchCore on the same trunk.

Claims: the detector made for video is no worse on still textures than detectors made for them.

    python -m benchmarks.magnetic_tile --data DIR [--seeds 3] [--quick]

DIR holds ``magnetic_tile`` in MVTec's layout. Images are brought to 128 x 128 pixels, gray. The
trunk learns by filling holes in the normal tiles. ``image_auroc``, ``pixel_auroc`` and ``aupro``
are those of Deep-Anomaly; with ``padim_`` and ``patchcore_`` those of ``anomalib``, given the same
trunk's feature maps; with ``random_`` those of Deep-Anomaly on a trunk that learned nothing, and
with ``default_`` those with the settings that it has where none is given. Without ``anomalib`` its
rows are left out. A killed run goes on where it stopped.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torchvision.io import ImageReadMode, decode_image

from benchmarks._result import report
from benchmarks._rows import Rows
from benchmarks._sets import Batches
from benchmarks._settings import PED2
from models.contracts import Encoder
from models.encoders.slim import SlimTrunk
from models.metrics.detection import auc
from models.metrics.regions import aupro
from models.one_class.motion_gaussian import MotionGaussian
from models.pretext.context_encoder import ContextEncoder

SIZE = 128, 128
BATCH = 32
CALIBRATION = 5
"""Every fifth normal training tile sets thresholds, which none of these figures depend on."""
CORESET = 0.01
"""Share of patches that PatchCore keeps: the least of the three in its paper."""

Scored = tuple[Tensor, Tensor]


class Tiles(NamedTuple):
    """Tiles as uint8 (N, 1, H, W), which test tiles are defective, and their defective pixels."""

    train: Tensor
    test: Tensor
    anomalous: NDArray[np.bool_]
    masks: NDArray[np.bool_]


def read(folder: Path, num: int | None) -> Tiles:
    """The set, or at most ``num`` tiles of each kind."""
    train = sorted((folder / "train" / "good").iterdir())[:num]
    kinds = sorted((folder / "test").iterdir())
    test = [path for kind in kinds for path in sorted(kind.iterdir())[:num]]
    masks = [
        np.zeros(SIZE, dtype=bool)
        if path.parent.name == "good"
        else _resized(_mask_of(folder, path), "nearest").numpy() > 127
        for path in test
    ]
    return Tiles(
        torch.stack([_resized(path, "bilinear") for path in train])[:, None],
        torch.stack([_resized(path, "bilinear") for path in test])[:, None],
        np.array([path.parent.name != "good" for path in test]),
        np.stack(masks),
    )


def _mask_of(folder: Path, path: Path) -> Path:
    return folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"


def _resized(path: Path, mode: str) -> Tensor:
    image = decode_image(str(path), mode=ImageReadMode.GRAY).float()[None]
    smooth = mode == "bilinear"
    resized = functional.interpolate(image, size=SIZE, mode=mode, antialias=smooth)
    return resized[0, 0].round().clamp(0, 255).byte()


class StillTrunk(nn.Module):
    """A slim trunk for gray images alone, in the form whose layers ``anomalib`` can find."""

    def __init__(self, trunk: SlimTrunk) -> None:
        super().__init__()
        self.first, self.rest = trunk.first, trunk.rest

    def forward(self, images: Tensor) -> Tensor:
        """Feature map of gray images in three equal channels."""
        layer = self.first
        seen = functional.conv2d(images - 0.5, 2 * layer.weight, layer.bias, stride=4, padding=2)
        features: Tensor = self.rest(seen)
        return features


def one_gaussian(
    trunk: Encoder, tiles: Tiles, config: MotionGaussian.Config = PED2
) -> Callable[[Tensor], Scored]:
    """Fit one Gaussian on the features of places; tiles do not move."""
    held_out = torch.arange(len(tiles.train)) % CALIBRATION == 0
    detector = config.build(trunk)
    detector.fit(Batches(tiles.train[~held_out]), Batches(tiles.train[held_out]))

    def score(images: Tensor) -> Scored:
        found = detector(images)
        assert found.anomaly_map is not None
        return found.image_score, found.anomaly_map

    return score


def others(trunk: SlimTrunk, tiles: Tiles) -> Iterator[tuple[str, Callable[[Tensor], Scored]]]:
    """Fit ``anomalib``'s PaDiM and PatchCore to the same images; nothing without it."""
    try:
        from anomalib.models.image.padim.torch_model import PadimModel
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    except ImportError:
        return
    width = trunk.embedding_dim
    padim = PadimModel(backbone=StillTrunk(trunk), layers=["rest"], n_features=width)
    patchcore = PatchcoreModel(backbone=StillTrunk(trunk), layers=["rest"])
    for name, model in (("padim", padim), ("patchcore", patchcore)):
        model.train()
        for images in Batches(tiles.train):
            model(images.expand(-1, 3, -1, -1))
        model.fit() if name == "padim" else model.subsample_embedding(CORESET)
        model.eval()

        def score(images: Tensor, model: nn.Module = model) -> Scored:
            found = model(images.expand(-1, 3, -1, -1))
            return found.pred_score, found.anomaly_map[:, 0]

        yield name, score


@torch.no_grad()
def figures(score: Callable[[Tensor], Scored], tiles: Tiles) -> dict[str, float]:
    """How well images and pixels are told apart."""
    parts = [score(images) for images in Batches(tiles.test)]
    scores = torch.cat([each for each, _ in parts]).reshape(-1).double().numpy()
    maps = torch.cat([each for _, each in parts]).double().numpy()
    return {
        "image_auroc": auc(tiles.anomalous, scores),
        "pixel_auroc": auc(tiles.masks.reshape(-1), maps.reshape(-1)),
        "aupro": aupro(maps, tiles.masks),
    }


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with magnetic_tile")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--quick", action="store_true", help="few tiles")
    given = parser.parse_args()
    seeds = list(range(given.seeds))
    rows = Rows(
        {"benchmark": "magnetic_tile", "quick": given.quick},
        Path(tempfile.gettempdir()) / "unseen-benchmark-magnetic-tile",
    )
    tiles = read(given.data / "magnetic_tile", 12 if given.quick else None)
    for seed in seeds:
        if ("ours", "tiles", seed) in rows:
            continue
        torch.manual_seed(seed)
        trunk = SlimTrunk.Config().build().to(memory_format=torch.channels_last)
        rows.add("random", "tiles", seed, figures(one_gaussian(trunk.eval(), tiles), tiles))
        task = ContextEncoder.Config(epochs=1 if given.quick else 10, width=32, seed=seed)
        trunk.train().requires_grad_(True)
        task.build(trunk).fit(Batches(tiles.train, 16, seed))
        trunk.eval()
        for name, score in others(trunk, tiles):
            rows.add(name, "tiles", seed, figures(score, tiles))
        default = one_gaussian(trunk, tiles, MotionGaussian.Config())
        rows.add("default", "tiles", seed, figures(default, tiles))
        rows.add("ours", "tiles", seed, figures(one_gaussian(trunk, tiles), tiles))
        print(rows.table(["image_auroc", "pixel_auroc", "aupro"]), flush=True)
    report("magnetic_tile", named(rows), seeds=seeds, durations=rows.seconds())


def named(rows: Rows) -> dict[str, float]:
    """Figures by the names that are reported: ours bare, the others' with theirs before."""
    found = {}
    for key, value in rows.metrics().items():
        for row in ("ours", "default", "random", "padim", "patchcore"):
            if f"_{row}_tiles" in key:
                prefix = "" if row == "ours" else f"{row}_"
                found[prefix + key.replace(f"_{row}_tiles", "")] = value
    return found


if __name__ == "__main__":
    main()
