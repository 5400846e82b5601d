"""PaDiM and PatchCore of anomalib on a stored set; run by an interpreter that has anomalib.

    python benchmarks/_anomalib.py IMAGES.npz FOUND.npz --method padim --seed 0 --weights FILE.pth

It imports nothing of this project, whose packages that interpreter need not have. IMAGES holds
``train`` and ``test``, uint8 (N, C, H, W); FOUND gets ``scores``, ``maps`` and times in seconds.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

LAYERS = ["blocks.2", "blocks.4"]
NUM_FEATURES = 100
"""That its PaDiM keeps, drawn at random: its default for trunks of this size."""
BATCH = 16


def model_of(method: str, weights: Path) -> Any:
    """A model of anomalib on EfficientNet-Lite0 with these weights."""
    import timm
    from anomalib.models.image.padim.torch_model import PadimModel
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    settings: dict[str, Any] = {
        "backbone": "tf_efficientnet_lite0",
        "layers": LAYERS,
        "pre_trained": False,
    }
    model: Any = (
        PadimModel(n_features=NUM_FEATURES, **settings)
        if method == "padim"
        else PatchcoreModel(**settings)
    )
    state = torch.load(weights, map_location="cpu", weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    named = dict(zip(names, state.values(), strict=True))
    network = model.feature_extractor.feature_extractor
    network.load_state_dict({name: named[name] for name in network.state_dict()})
    return model


def batches(images: np.ndarray[Any, Any]) -> list[torch.Tensor]:
    """Images as EfficientNet-Lite0 was trained on them."""
    parts = torch.from_numpy(images).split(BATCH)
    return [part.expand(-1, 3, -1, -1).float() / 127.5 - 1 for part in parts]


@torch.no_grad()
def main() -> None:
    """Fit, score, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("found", type=Path)
    parser.add_argument("--method", choices=("padim", "patchcore"), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--coreset", type=float, default=0.01)
    parser.add_argument("--weights", type=Path, required=True)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    with np.load(given.images) as stored:
        train, test = batches(stored["train"]), batches(stored["test"])
    model = model_of(given.method, given.weights)
    began = time.perf_counter()
    model.train()
    model.feature_extractor.eval()
    for part in train:
        model(part)
    selection = time.perf_counter()
    if given.method == "padim":
        model.fit()
    else:
        model.subsample_embedding(given.coreset)
    fitted = time.perf_counter()
    model.eval()
    found = [model(part) for part in test]
    scored = time.perf_counter()
    np.savez(
        given.found,
        scores=torch.cat([each.pred_score.reshape(-1) for each in found]).numpy(),
        maps=torch.cat([each.anomaly_map[:, 0] for each in found]).numpy().astype(np.float32),
        fit_s=fitted - began,
        selection_s=fitted - selection,
        images_per_s=sum(map(len, test)) / (scored - fitted),
    )


if __name__ == "__main__":
    main()
