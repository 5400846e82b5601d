import pytest
import torch
from lightning_fabric import Fabric

from models.encoders.alexnet import AlexNetTrunk
from models.encoders.small import SmallTrunk
from models.errors import InvalidInputError, NotFittedError
from models.functional.permutations import are_inverse, inverse
from models.pretext.jigsaw import Jigsaw, Puzzles

SMALL = {"crop": 36, "tile": 10, "num_permutations": 5, "width": 16}


def shades(num, seed=0):
    """Images whose texture grows finer from the upper left to the lower right."""
    draw = torch.Generator().manual_seed(seed)
    place = torch.arange(36) / 36
    distance = place[:, None] * 3 + place
    phase = torch.rand(num, 1, 1, 1, generator=draw) * 6
    return 0.5 + 0.4 * torch.sin(phase + 6 * distance**2)


def test_learns_to_solve_puzzles(encoder):
    config = Jigsaw.Config(epochs=30, learning_rate=5e-3, **SMALL)
    task = config.build(encoder).fit(shades(64).split(16))
    figures = task.evaluate([shades(100, seed=1)])
    assert figures["permutation_accuracy"] > 0.6
    assert figures["chance_permutation_accuracy"] == pytest.approx(0.2)
    assert figures["tiles_right"] >= figures["permutation_accuracy"]
    assert figures["minimum_distance"] == figures["mean_distance"] == 9
    assert task.history_[-1] < 0.8 * task.history_[0]


@pytest.mark.parametrize("side", [28, 36, 40], ids=["enlarged", "whole", "cut"])
def test_what_tells_no_order_is_solved_by_chance_only(side):
    # Any leak, such as of borders, brightness or resampling, would show here.
    noise = torch.rand(600, 1, side, side, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    trunk = SmallTrunk.Config(width=8).build()
    config = Jigsaw.Config(epochs=6, learning_rate=3e-3, **{**SMALL, "width": 32})
    figures = config.build(trunk).fit(noise[:300].split(20)).evaluate([noise[300:]])
    assert figures["permutation_accuracy"] < 0.3


def test_the_head_sees_the_tiles_in_the_order_of_the_permutation(encoder):
    task = Jigsaw.Config(**SMALL).build(encoder).eval()
    tiles, orders = torch.rand(2, 9, 1, 10, 10), task.permutations[torch.tensor([[1, 4], [2, 0]])]
    logits = task(tiles, orders)
    shuffled, straight = tiles[1][orders[1, 0]], torch.arange(9)[None, None]
    torch.testing.assert_close(logits[1, 0], task(shuffled[None], straight)[0, 0])


def test_a_right_answer_undoes_the_shuffle(encoder):
    images = shades(3)
    task = Jigsaw.Config(epochs=1, **SMALL).build(encoder).fit([images])
    assert are_inverse(task.permutations, inverse(task.permutations)).all()
    pictures = task.examples(images)
    assert list(pictures) == ["shuffled", "solved", "truth"]
    _, labels, answers = task._solve(images, task._held_out())
    same = (pictures["solved"] == pictures["truth"]).flatten(1).all(dim=1)
    assert torch.equal(same, labels == answers)


def test_an_encoder_that_needs_larger_tiles_is_refused():
    with pytest.raises(InvalidInputError, match=r"tile and crop of the jigsaw .* got 30"):
        Jigsaw.Config(tile=30).build(AlexNetTrunk.Config().build())


def test_works_with_the_trunk_of_alexnet():
    trunk = AlexNetTrunk.Config().build()
    task = Jigsaw.Config(epochs=1).build(trunk).fit([torch.rand(2, 6, 40, 60)])
    assert task.examples(torch.rand(2, 6, 40, 60))["solved"].shape == (2, 3, 144, 144)


def test_examples_before_fit_are_refused(encoder):
    with pytest.raises(NotFittedError, match="Call fit"):
        Jigsaw.Config(**SMALL).build(encoder).examples(torch.rand(1, 1, 36, 36))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"num_permutations": 1},
        {"tile": 49},
        {"crop": 145},
        {"gray_share": 1.5},
        {"learning_rate": 0.0},
    ],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        Jigsaw.Config(**wrong)


def test_no_held_out_images_are_refused(encoder):
    task = Jigsaw.Config(epochs=1, **SMALL).build(encoder).fit([shades(2)])
    with pytest.raises(InvalidInputError, match="got 0"):
        task.evaluate([])


def test_one_image_is_enough(encoder):
    task = Jigsaw.Config(epochs=2, **SMALL).build(encoder).fit([shades(1)])
    assert torch.tensor(task.history_).isfinite().all()


def test_half_precision_needs_no_change(encoder):
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    task = Jigsaw.Config(epochs=2, **SMALL).build(encoder).fit([shades(4)], fabric=fabric)
    assert torch.tensor(task.history_).isfinite().all()
    assert all(parameter.dtype == torch.float32 for parameter in encoder.parameters())


def ramp(num, channels=1, side=36):
    """Images whose values tell where a pixel lies: its row and, after the point, its column."""
    place = torch.arange(side).float()
    return (place[:, None] + place / 1000).expand(num, channels, side, side)


def test_tiles_lie_anywhere_within_their_cell():
    corner = Puzzles(36, 10).tiles(ramp(400))[:, :, 0, 0, 0]
    rows, columns = corner.floor(), (corner - corner.floor()) * 1000
    cells = torch.arange(9)
    for place, cell in ((rows, cells // 3), (columns, cells % 3)):
        assert torch.equal(place.amin(dim=0).round(), 12.0 * cell)
        assert torch.equal(place.amax(dim=0).round(), 12.0 * cell + 2)


def test_the_square_lies_anywhere_in_a_large_image():
    first = Puzzles(36, 12).tiles(ramp(400, side=40))[:, 0, 0, 0, 0].floor()
    assert first.unique().tolist() == [0, 1, 2, 3, 4]


def test_tiles_of_a_small_image_are_enlarged_cuts_of_it():
    # Tiles of an enlarged image would tell their place by their blur.
    tiles = Puzzles(36, 12).tiles(ramp(50, side=18))
    steps = tiles[..., 1:, 0] - tiles[..., :-1, 0]
    torch.testing.assert_close(steps, steps[:1, :1].expand_as(steps), atol=1e-5, rtol=0)
    assert torch.equal(tiles[:, :, 0, 0, 0].floor()[0], torch.arange(9) // 3 * 6.0)


def test_what_is_drawn_does_not_depend_on_the_batch_size():
    images, whole, parts = torch.rand(7, 1, 40, 44), Puzzles(36, 10), Puzzles(36, 10)
    split = [parts.tiles(part) for part in images.split(3)]
    assert torch.equal(whole.tiles(images), torch.cat(split))
    labels = [parts.labels(num, 1, 30) for num in (3, 3, 1)]
    assert torch.equal(whole.labels(7, 1, 30), torch.cat(labels))


def test_colours_lie_off_and_some_images_are_gray():
    images = torch.rand(200, 3, 36, 36)
    gray = Puzzles(36, 10, gray_share=0.3).tiles(images)
    alike = (gray == gray[:, :, :1]).flatten(1).all(dim=1)
    assert alike.float().mean().item() == pytest.approx(0.3, abs=0.1)
    corner = Puzzles(36, 10, colour_shift=1).tiles(ramp(200, 3))[:, 4, :, 0, 0].floor()
    assert (corner[:, 0] - corner[:, 1]).unique().tolist() == [-2, -1, 0, 1, 2]


def test_images_smaller_than_the_grid_are_refused():
    with pytest.raises(InvalidInputError, match="at least 9 x 9 pixels, got 8 x 30"):
        Puzzles(36, 10).tiles(torch.rand(1, 1, 8, 30))
