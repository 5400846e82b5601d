import pytest
import torch
from lightning_fabric import Fabric

from models.encoders.small import pooled
from models.errors import InvalidInputError, TrainingError
from models.pretext.video_triplet import Pairs, VideoTriplet
from tests.models.pretext.conftest import waves


def tracks(num, seed=0, side=24):
    """Gratings of one direction and spacing each, seen at two phases: pixels do not tell."""
    draw = torch.Generator().manual_seed(seed)
    angle, phase = torch.rand(num, 1, 1, 1, generator=draw) * 3, torch.rand(num, 2, generator=draw)
    spacing = 0.6 + torch.rand(num, 1, 1, 1, generator=draw)
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    along = (x * angle.cos() + y * angle.sin()) * spacing + 6.3 * phase[:, :, None, None]
    return (0.5 + 0.4 * along.sin())[:, :, None]


def brief(**options):
    return VideoTriplet.Config(**{"epochs": 40, "learning_rate": 5e-3, "width": 16} | options)


def test_learns_to_recognise_what_it_never_saw(encoder):
    task = brief().build(encoder).fit(tracks(128).split(32))
    figures = task.evaluate([tracks(64, seed=1)])
    assert figures["triplet_accuracy"] > 0.9
    assert figures["pixel_triplet_accuracy"] < 0.7
    assert figures["num_triplets"] == 64 * 63


def test_without_epochs_the_head_alone_learns_in_closed_form(encoder):
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    untrained = brief(epochs=1, learning_rate=1e-12).build(encoder).fit(tracks(128).split(32))
    other = untrained.evaluate([tracks(64, seed=1)])["triplet_accuracy"]
    encoder.load_state_dict(before)
    task = brief(epochs=0).build(encoder).fit(tracks(128).split(32))
    wrong = 1 - task.evaluate([tracks(64, seed=1)])["triplet_accuracy"]
    assert wrong < 0.75 * (1 - other)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert len(task.history_) == 1


def test_the_head_in_closed_form_whitens_what_changes_within_tracks(encoder):
    pairs = tracks(128)
    task = brief(epochs=0, width=encoder.embedding_dim).build(encoder).fit(pairs.split(32))
    with torch.no_grad():
        features = pooled(encoder(task._held_out(pairs).flatten(0, 1)))
        both = [
            each.unflatten(0, (-1, 2)).diff(dim=1)[:, 0] for each in (features, task.head(features))
        ]
    before, variances = (torch.linalg.eigvalsh(apart.mT @ apart) for apart in both)
    assert variances.max() < 1.5 * variances.min()
    assert before.max() > 10 * before.min()
    with pytest.raises(TrainingError, match="at least 2 different"):
        brief(epochs=0).build(encoder).fit([pairs[:1]])


def test_negatives_are_random_first_and_then_hard(encoder):
    pairs = tracks(16)
    share = 0.5
    task = brief(epochs=2, random_share=share, negatives=1).build(encoder).eval()
    draw = torch.Generator()
    with torch.no_grad():
        easy, hard = (task._loss(task, pairs, epoch, draw).item() for epoch in (0, 1))
    assert hard > easy


def test_tracks_are_compared_within_their_batch_alone(encoder):
    pairs = tracks(8)
    task = brief(epochs=1).build(encoder).fit([pairs])
    assert task.evaluate([pairs])["num_triplets"] == 8 * 7
    assert task.evaluate(pairs.split(4))["num_triplets"] == 2 * 4 * 3


def test_embeddings_have_length_one(encoder):
    task = brief().build(encoder).eval()
    torch.testing.assert_close(task(waves(3, 1)).norm(dim=1), torch.ones(3))


def test_examples_show_another_track_as_the_nearest_other(encoder):
    pairs = tracks(4)
    task = brief(epochs=1).build(encoder).fit([pairs])
    pictures = task.examples(pairs)
    assert list(pictures) == ["first", "last", "nearest other"]
    differs = (pictures["last"] != pictures["nearest other"]).flatten(start_dim=1).any(dim=1)
    assert differs.all()
    assert list(task.examples(pairs[:1])) == ["first", "last"]


def test_a_single_image_is_refused(encoder):
    with pytest.raises(TrainingError, match="at least 2 different"):
        brief(epochs=2).build(encoder).fit([waves(1, 1)])
    task = brief(epochs=1).build(encoder).fit([waves(2, 1)])
    with pytest.raises(InvalidInputError, match="at least 2 different"):
        task.evaluate([waves(1, 1)])


def test_a_batch_of_one_among_others_is_passed_over(encoder):
    initial = {name: value.clone() for name, value in encoder.state_dict().items()}
    trained = []
    for batches in ([waves(4, 1)], [waves(4, 1), waves(1, 1)]):
        encoder.load_state_dict(initial)
        task = brief(epochs=1).build(encoder).fit(batches)
        trained.append((task.history_, encoder.layers[0].weight.clone()))
    assert trained[0][0] == trained[1][0]
    assert torch.equal(trained[0][1], trained[1][1])


def test_half_precision_needs_no_other_code(encoder):
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    task = brief(epochs=2).build(encoder).fit([tracks(8)], fabric=fabric)
    assert task.evaluate([tracks(8)])["triplet_accuracy"] > 0
    assert next(encoder.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    "wrong",
    [
        {"margin": 0.0},
        {"random_share": 1.5},
        {"jitter": 0.5},
        {"light": 1.0},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"length": 1},
        {"negatives": 0},
    ],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        VideoTriplet.Config(**wrong)


def make(seed=0, jitter=0.2, light=0.0, patch=20):
    return Pairs(patch, jitter=jitter, light=light, seed=seed)


def plain(num=4, channels=1, side=30):
    """Images in which every pixel has a value of its own."""
    draw = torch.Generator().manual_seed(1)
    return torch.rand(num, channels, side, side, generator=draw)


def place(patch, image):
    """Row and column of a patch in an image, mirrored or not."""
    side = patch.shape[-1]
    squares = image.unfold(-2, side, 1).unfold(-2, side, 1)
    for mirrored in (patch, patch.flip(-1)):
        same = (squares == mirrored).flatten(start_dim=-2).all(dim=-1).nonzero()
        if len(same):
            return same[0].tolist(), mirrored is not patch
    return None


def test_plain_images_give_nearly_the_same_place_twice():
    images = plain()
    for image, pair in zip(images, make().drawn(images), strict=True):
        (first, turned), (last, turned_too) = (place(patch[0], image[0]) for patch in pair)
        assert pair.shape[-1] == 16
        assert turned == turned_too
        assert max(abs(first[0] - last[0]), abs(first[1] - last[1])) <= 4


def test_clips_give_one_place_early_and_late():
    clips = torch.arange(6.0)[:, None, None].expand(6, 30, 30)[None] / 10
    (early, late), *_ = make().drawn(clips)
    assert early[:, 0, 0].tolist() == pytest.approx([0, 0, 0.1, 0.1, 0.2, 0.2])
    assert late[:, 0, 0].tolist() == pytest.approx([0.3, 0.3, 0.4, 0.4, 0.5, 0.5])


def test_tracked_pairs_stay_what_they_are():
    tracked = torch.stack([plain(channels=6, side=20), plain(channels=6, side=20) / 2], dim=1)
    drawn = make().drawn(tracked)
    assert drawn.shape == (4, 2, 6, 16, 16)
    for pair, patches in zip(tracked, drawn, strict=True):
        assert all(place(patch[3], image[3]) for patch, image in zip(patches, pair, strict=True))
    assert torch.equal(make().held_out(tracked, 0), tracked[..., 2:18, 2:18])


def test_held_out_pairs_are_without_chance():
    images = plain()
    pairs = make(seed=0).held_out(images, 0)
    assert torch.equal(pairs, make(seed=1).held_out(images, 0))
    assert torch.equal(pairs[:2], make().held_out(images[:2], 0))
    assert torch.equal(pairs[2:], make().held_out(images[2:], 2))


def test_held_out_pairs_show_a_place_of_their_own_in_each_image():
    image = plain(num=1)
    places = []
    for first, last in make().held_out(image.expand(4, -1, -1, -1), 0):
        (top, left), _ = place(first[0], image[0, 0])
        assert place(last[0], image[0, 0]) == ([top + 4, left + 4], False)
        places.append((top, left))
    assert len(set(places)) > 1


def test_pairs_are_drawn_by_the_seed():
    images = plain()
    assert torch.equal(make(seed=3).drawn(images), make(seed=3).drawn(images))
    assert not torch.equal(make(seed=3).drawn(images), make(seed=4).drawn(images))


def test_light_changes_each_patch_by_itself_and_stays_in_range():
    images = torch.full((20, 1, 30, 30), 0.6)
    pairs = make(light=0.5).drawn(images)
    assert pairs.flatten(1, -1).min() >= 0
    assert pairs.max() <= 1
    assert (pairs[:, 0, 0, 0, 0] != pairs[:, 1, 0, 0, 0]).all()
