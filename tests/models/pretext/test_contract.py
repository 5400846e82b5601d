"""Every pretext task on disk keeps the promises of ``models.contracts.PretextTask``."""

import dataclasses

import pytest
import torch

from models.contracts import PretextConfig, PretextTask
from models.errors import NotFittedError, TrainingError


def brief(task_class):
    return task_class.Config(epochs=2)


@pytest.fixture
def task(task_class, encoder):
    return brief(task_class).build(encoder)


def test_satisfies_the_protocols(task_class, task):
    assert isinstance(task_class.Config(), PretextConfig)
    assert isinstance(task, PretextTask)
    assert task.history_ == []


def test_config_is_frozen(task_class):
    config = task_class.Config()
    for field in dataclasses.fields(config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, field.name, None)


def test_fit_trains_the_encoder_and_notes_each_epoch(task, encoder, images):
    before = {name: value.clone() for name, value in encoder.named_parameters()}
    assert task.fit([images]) is task
    assert len(task.history_) == 2
    assert task.encoder is encoder
    assert all(not torch.equal(before[n], p) for n, p in encoder.named_parameters())
    assert not encoder.training


def test_the_same_seed_gives_the_same_encoder(task_class, encoder, images):
    initial = {name: value.clone() for name, value in encoder.state_dict().items()}
    trained = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        encoder.load_state_dict(initial)
        brief(task_class).build(encoder).fit([images])
        trained.append({name: value.clone() for name, value in encoder.state_dict().items()})
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in initial)


def test_evaluate_gives_figures_beside_a_trivial_answer(task, images):
    figures = task.fit([images]).evaluate([images[:9], images[9:]])
    whole = task.evaluate([images])
    assert len(figures) >= 2
    assert figures == pytest.approx(whole, rel=1e-4)


def test_evaluate_before_fit_is_refused(task, images):
    with pytest.raises(NotFittedError, match="Call fit"):
        task.evaluate([images])


def test_examples_are_pictures_by_title(task, images):
    pictures = task.fit([images]).examples(images[:3])
    assert len(pictures) >= 2
    for picture in pictures.values():
        assert picture.shape[0] == 3
        assert picture.shape[1] in (1, 3)
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_constant_images_are_refused(task):
    with pytest.raises(TrainingError, match="constant"):
        task.fit([torch.full((4, 1, 24, 24), 0.5)])


def test_no_images_are_refused(task):
    with pytest.raises(TrainingError, match="got 0"):
        task.fit([])


def test_a_loss_that_is_not_finite_is_refused(task, images):
    images[0] = torch.nan
    with pytest.raises(TrainingError, match="finite"):
        task.fit([images])


def test_progress_sees_every_step(task, images):
    seen = []

    def progress(steps, *, total, description):
        for step in steps:
            seen.append((total, description))
            yield step

    task.fit(images.chunk(4), progress=progress)
    assert len(seen) == seen[0][0] == 8
    assert seen[0][1]
