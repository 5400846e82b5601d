"""Speed of anomalib's PaDiM and PatchCore, in an interpreter that has it and need not be ours.

    python benchmarks/_anomalib_speed.py FOLDER PATCHES

Each line that comes in names a way to score a batch; each answer is the seconds it took. Both have
the trunk and layers of ours with random weights, which change no time, and PatchCore a memory of so
many patches. PaDiM is also written to FOLDER as TorchScript, for OpenVINO. Images are 256 x 256.
"""

import sys
import time
from pathlib import Path

import torch
from anomalib.models.image.padim.torch_model import PadimModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel

BACKBONE, LAYERS, FEATURES = "tf_efficientnet_lite0", ["blocks.2", "blocks.4"], 152
SIDE, BATCH = 256, 16


class _Both(torch.nn.Module):
    """Score and map as a pair, which a trace can hold."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.model(images)
        return found.pred_score, found.anomaly_map


@torch.no_grad()
def main() -> None:
    """Answer until the input ends."""
    folder, patches = Path(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(0)
    images = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    padim = PadimModel(BACKBONE, LAYERS, pre_trained=False, n_features=FEATURES)
    padim.train()
    for _ in range(4):
        padim(torch.rand(BATCH, 3, SIDE, SIDE))
    padim.fit()
    padim.eval()
    patchcore = PatchcoreModel(LAYERS, BACKBONE, pre_trained=False)
    patchcore.memory_bank = torch.rand(patches, FEATURES)
    patchcore.eval()
    ways = {"padim": padim, "patchcore": patchcore}
    one = torch.rand(1, 3, SIDE, SIDE)
    torch.jit.trace(_Both(padim), one, check_trace=False).save(folder / "padim.pt")
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        ways[line.strip()](images.float().div_(255))
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
