"""PaDiM and PatchCore of anomalib on a stored set; run by an interpreter that has anomalib.

    python -m benchmarks._anomalib FEATURES.npz FOLDER --seeds 3 --weights FILE.pth

FEATURES holds maps ``train_<layer>`` and ``test_<layer>``, (N, D, h, w), the seconds that they
took, and the first training ``images``, uint8 (N, 3, H, W), of which its own extractor must give
the same maps. FOLDER gets ``<method>_<seed>.npz`` with ``scores``, ``maps`` and times in seconds.
Of this project it imports the coreset alone, which needs nothing but torch and jaxtyping.

The time of the trunk counts for each seed. PatchCore's
greedy selection runs for a bounded time, from which its rate is known; if it is not done by then,
the same rule chooses on the same projected features by ``models.functional.coreset``.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.functional.coreset import greedy_coreset

LAYERS = ["blocks.2", "blocks.4"]
NUM_FEATURES = 100
"""That its PaDiM keeps, drawn at random: its default for trunks of this size."""
BATCH = 16
SELECTION_S = 20.0
"""Seconds for which anomalib's own selection runs at most."""


class Remembered(nn.Module):
    """In place of its feature extractor: maps that were computed before.

    Attributes:
        seconds: Spent on computing them, by the part of the set that they are of.
    """

    def __init__(self, maps: dict[str, dict[str, Tensor]], seconds: dict[str, float]) -> None:
        super().__init__()
        self.seconds = seconds
        self._maps = maps
        self.num = {part: len(found[LAYERS[0]]) for part, found in maps.items()}
        self.layers = LAYERS
        self.wanted = ("train", torch.arange(0))

    def forward(self, _: Tensor) -> dict[str, Tensor]:
        """Maps of the images of ``wanted``."""
        part, places = self.wanted
        return {name: maps[places] for name, maps in self._maps[part].items()}


def model_of(method: str) -> Any:
    """A model of anomalib on EfficientNet-Lite0."""
    from anomalib.models.image.padim.torch_model import PadimModel
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    settings: dict[str, Any] = {
        "backbone": "tf_efficientnet_lite0",
        "layers": LAYERS,
        "pre_trained": False,
    }
    if method == "padim":
        return PadimModel(n_features=NUM_FEATURES, **settings)
    return PatchcoreModel(**settings)


def extractor_of(weights: Path) -> Any:
    """Its feature extractor with these weights of EfficientNet-Lite0."""
    import timm

    state = torch.load(weights, map_location="cpu", weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    named = dict(zip(names, state.values(), strict=True))
    extractor = model_of("patchcore").feature_extractor
    network = extractor.feature_extractor
    network.load_state_dict({name: named[name] for name in network.state_dict()})
    return extractor.eval()


def select(model: Any, share: float) -> dict[str, float]:
    """PatchCore's coreset, and how fast its own selection is."""
    from anomalib.models.components import KCenterGreedy

    model.memory_bank = torch.vstack(model.embedding_store)
    model.embedding_store.clear()
    sampler = KCenterGreedy(embedding=model.memory_bank, sampling_ratio=share)
    sampler.model.fit(sampler.embedding)
    sampler.features = sampler.model.transform(sampler.embedding)
    sampler.reset_distances()
    place = torch.randint(high=sampler.n_observations, size=(1,)).squeeze()
    chosen, began = [place], time.perf_counter()
    while len(chosen) < sampler.coreset_size and time.perf_counter() - began < SELECTION_S:
        sampler.update_distances(cluster_center=place)
        place = sampler.get_new_idx()
        sampler.min_distances.scatter_(0, place.unsqueeze(0).unsqueeze(1), 0.0)
        chosen.append(place)
    rate = len(chosen) / (time.perf_counter() - began)
    done = len(chosen) == sampler.coreset_size
    began = time.perf_counter()
    ours = greedy_coreset(sampler.features, sampler.coreset_size)
    our_rate = len(ours) / (time.perf_counter() - began)
    model.memory_bank = model.memory_bank[torch.stack(chosen) if done else ours]
    return {
        "selection_per_s": rate,
        "our_selection_per_s": our_rate,
        "selection_s": sampler.coreset_size / rate,
    }


def measure(
    method: str, features: Remembered, order: Tensor, share: float, side: int
) -> dict[str, Any]:
    """Fit and score."""
    model, size = model_of(method), (BATCH, 3, side, side)
    model.feature_extractor = features
    model.train()
    began = time.perf_counter()
    for places in order.split(BATCH):
        features.wanted = ("train", places)
        model(torch.empty(size))
    figures = {"selection_s": 0.0}
    before = time.perf_counter()
    if method == "padim":
        model.fit()
        fitted = time.perf_counter() - began
    else:
        figures = select(model, share)
        fitted = before - began + figures["selection_s"]
    model.eval()
    began, found = time.perf_counter(), []
    num = features.num["test"]
    for places in torch.arange(num).split(BATCH):
        features.wanted = ("test", places)
        found.append(model(torch.empty(size)))
    seconds = time.perf_counter() - began + features.seconds["test"]
    return {
        "scores": torch.cat([each.pred_score.reshape(-1) for each in found]).numpy(),
        "maps": torch.cat([each.anomaly_map[:, 0] for each in found]).numpy().astype(np.float32),
        "fit_s": fitted + features.seconds["train"],
        "images_per_s": num / seconds,
        **figures,
    }


@torch.no_grad()
def main() -> None:
    """Fit, score, write, for each seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("features", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", nargs="*", default=("padim", "patchcore"))
    parser.add_argument("--coreset", type=float, default=0.01)
    parser.add_argument("--weights", type=Path, required=True)
    given = parser.parse_args()
    with np.load(given.features) as stored:
        maps = {
            part: {name: torch.from_numpy(stored[f"{part}_{name}"]) for name in LAYERS}
            for part in ("train", "test")
        }
        features = Remembered(maps, {part: float(stored[f"{part}_s"]) for part in maps})
        images = torch.from_numpy(stored["images"])
    for name, found in extractor_of(given.weights)(images.float() / 127.5 - 1).items():
        torch.testing.assert_close(found, maps["train"][name][: len(images)], rtol=1e-3, atol=1e-3)
    for seed in range(given.seeds):
        order = torch.arange(features.num["train"])
        for method in given.methods:
            torch.manual_seed(seed)
            found = measure(method, features, order, given.coreset, images.shape[-1])
            np.savez(given.folder / f"{method}_{seed}.npz", **found)


if __name__ == "__main__":
    main()
