"""What one process does, alone; together they are tested in ``test_ranks``."""

import numpy as np
import pytest

from models.encoders.alexnet import AlexNetTrunk
from models.errors import TrainingError
from models.pretext.context_encoder import ContextEncoder
from tasks.data import versions
from tasks.records import Training
from tasks.training.pretext import solve, torchrun, torchrun_worker
from tests.tasks.pictures import SIZE, save, write_stills

TRAINING = Training(batch_size=4, image_size=(32, 32), device="cpu")
PRETEXT = ContextEncoder.Config(epochs=1, crop=32, crops_per_image=1, width=4)


def prepared(repository, tmp_path, name):
    torchrun.prepare(tmp_path, versions.add(name), AlexNetTrunk.Config().build(), PRETEXT, TRAINING)


def test_it_does_what_it_is_told_and_leaves_the_solution(repository, tmp_path):
    write_stills(repository / "data" / "stills")
    prepared(repository, tmp_path, "stills")
    torchrun_worker.main(tmp_path)
    found = solve.read(tmp_path)
    assert len(found.losses) == 1
    assert found.usage["num_images"] == 4
    assert not (tmp_path / torchrun.PROBLEM).exists()


def test_it_leaves_the_reason_why_there_is_no_solution(repository, tmp_path):
    for number in range(5):
        flat = np.full(SIZE, 9, dtype=np.uint8)
        save(repository / "data" / "flat" / "train" / "good" / f"{number:03}.png", flat)
    prepared(repository, tmp_path, "flat")
    with pytest.raises(TrainingError):
        torchrun_worker.main(tmp_path)
    assert "all constant" in torchrun._problem(tmp_path, 1)
