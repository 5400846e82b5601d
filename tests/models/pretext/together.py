"""What each of two processes does, which torchrun starts for ``test_together``."""

import sys
from pathlib import Path

import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file

from models import pretext
from models.encoders.alexnet import AlexNetTrunk
from models.errors import TrainingError
from models.pretext.context_encoder import ContextEncoder
from tests.models.on_disk import models_of
from tests.models.pretext.conftest import waves
from tests.models.tiny import Tiny

SIZES = (8, 5, 3)
"""Images in each batch: divided evenly, unevenly, and too few to be divided."""


def batches():
    return list(waves(sum(SIZES), 1, side=32).split(SIZES))


def every_task():
    """One of each kind; with crops, holes and negatives that are drawn by lot."""
    for task_class in models_of(pretext):
        torch.manual_seed(0)
        yield task_class.__name__, task_class.Config(epochs=2).build(Tiny())
    torch.manual_seed(0)
    yield "Adversary", ContextEncoder.Config(epochs=2, adversarial_weight=0.1).build(Tiny())


def drawing_nothing():
    """A task whose result one process and several must agree on: nothing is drawn by lot."""
    config = ContextEncoder.Config(
        epochs=8,
        learning_rate=2e-3,
        crop=32,
        crops_per_image=1,
        candidates=1,
        shape="centre",
        width=8,
    )
    torch.manual_seed(0)
    return config.build(AlexNetTrunk.Config().build())


def weights(task):
    return {name: value.detach().clone() for name, value in task.named_parameters()}


def main(folder):
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    for name, task in every_task():
        task.fit(batches(), fabric=fabric)
        losses = {"history": torch.tensor(task.history_)}
        save_file(weights(task) | losses, folder / f"{name}-{fabric.global_rank}.safetensors")
    task = drawing_nothing().fit(batches(), fabric=fabric)
    learned = {"history": torch.tensor(task.history_), "mean_image": task.mean_image_}
    save_file(weights(task) | learned, folder / f"same-{fabric.global_rank}.safetensors")
    broken = batches()
    broken[0][1] = torch.nan  # an image of the second process
    try:
        drawing_nothing().fit(broken, fabric=fabric)
    except TrainingError as error:
        (folder / f"refused-{fabric.global_rank}").write_text(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
