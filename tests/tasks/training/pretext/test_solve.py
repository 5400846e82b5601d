import pytest
import torch
from lightning_fabric import Fabric

from models.encoders.alexnet import AlexNetTrunk
from models.pretext.context_encoder import ContextEncoder
from tasks.training.pretext import solve
from tasks.training.pretext.solve import Solution

ENCODER = {"weight": torch.arange(6.0).reshape(2, 3)}


def test_a_solution_is_read_as_it_was_written(tmp_path):
    written = Solution(
        encoder=ENCODER,
        examples={"b": torch.rand(2, 1, 4, 4), "a": torch.rand(2, 3, 4, 4)},
        losses=(0.5, 0.25),
        figures={"hole_mse": 0.1},
        usage={"seconds": 2.0, "num_images": 8.0},
        device="cpu",
    )
    written.write(tmp_path)
    found = solve.read(tmp_path)
    assert list(found.examples) == ["b", "a"]
    assert torch.equal(found.examples["a"], written.examples["a"])
    assert torch.equal(found.encoder["weight"], ENCODER["weight"])
    assert tuple(found.losses) == written.losses
    assert (found.figures, found.usage, found.device) == (
        written.figures,
        written.usage,
        written.device,
    )


def test_what_was_not_written_whole_is_not_read(tmp_path):
    with pytest.raises(OSError, match="figures"):
        solve.read(tmp_path)


class Images(list):
    num_images = 8


def test_a_solved_task_leaves_what_is_kept_of_it():
    images = Images(torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0)).split(4))
    config = ContextEncoder.Config(epochs=2, crop=32, crops_per_image=1, width=4)
    task = config.build(AlexNetTrunk.Config().build())
    fabric = Fabric(accelerator="cpu", devices=1)
    found = solve.solve(task, images, images, fabric)
    assert list(found.losses) == task.history_
    assert found.encoder.keys() == task.encoder.state_dict().keys()
    assert found.figures == task.evaluate(images)
    assert found.usage["num_images"] == 8
    assert found.examples
