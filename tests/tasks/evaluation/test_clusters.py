from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.evaluation import clusters


def scores(kinds, found):
    clips = [f"{kind}/{place:03}" for place, kind in enumerate(kinds)]
    return pd.DataFrame({"clip": clips, "kind": kinds, "cluster": found})


KINDS = ["good-a", "good-a", "good-b", "good-b", "letter"]


def part(probabilities, first=0):
    assignment = np.array(probabilities)
    levels = np.arange(first, first + len(assignment), dtype=np.uint8)
    frames = np.broadcast_to(levels[:, None, None], (len(assignment), 3, 4))
    return SimpleNamespace(prediction=SimpleNamespace(soft_assignment=assignment), frames=frames)


def test_figures_are_those_of_images_with_a_class():
    found, notes = clusters.measure(scores(KINDS, [1, 1, 0, 1, 0]))
    assert found["cluster_acc"] == 0.75
    assert set(found) == {"cluster_acc", "cluster_nmi", "cluster_ari"}
    assert not notes
    table = scores(KINDS, [1, 1, 0, 1, 0]).query("kind != 'letter'")
    assert clusters.correct(table, "cluster").tolist() == [True, True, True, False]


def test_without_classes_there_is_a_note_and_without_clusters_nothing():
    found, notes = clusters.measure(scores(["good", "letter"], [0, 1]))
    assert not found
    assert "good-<class>" in notes[0]
    assert clusters.measure(pd.DataFrame({"kind": ["good"]})) == ({}, [])


def test_members_are_the_most_probable_of_their_own_cluster():
    members = clusters.Members()
    members.update(part([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]))
    members.update(part([[0.7, 0.3]], first=3))
    assert [[member.probability for member in row] for row in members.rows] == [
        [0.9, 0.7, 0.6],
        [0.8],
    ]
    assert [int(member.image[0, 0]) for member in members.rows[0]] == [0, 3, 1]


def test_no_more_members_are_kept_than_are_shown():
    members = clusters.Members()
    many = np.random.default_rng(0).uniform(0.5, 1, 50)
    for chunk in np.split(many, 5):
        members.update(part(np.stack([chunk, 1 - chunk], axis=1)))
    kept = [member.probability for member in members.rows[0]]
    assert kept == sorted(many, reverse=True)[: clusters.SHOWN]


def test_detectors_without_clusters_leave_no_members_and_draw_nothing(tmp_path):
    members = clusters.Members()
    members.update(SimpleNamespace(prediction=SimpleNamespace(soft_assignment=None)))
    assert not members.rows
    clusters.draw(tmp_path, pd.DataFrame({"kind": ["good"]}), members)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kinds", [KINDS, ["good"] * 5])
def test_pictures_are_drawn_of_clusters_and_of_classes_if_there_are(tmp_path, kinds):
    members = clusters.Members()
    members.update(part([[0.1, 0.7, 0.2]] * 2 + [[0.9, 0.1, 0.0]] * 3))
    clusters.draw(tmp_path, scores(kinds, [1, 1, 0, 0, 0]), members)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == ({"clusters.png", "confusion.png"} if kinds is KINDS else {"clusters.png"})
    with Image.open(tmp_path / "clusters.png") as picture:
        assert picture.width > picture.height


def test_the_gallery_has_one_row_per_cluster_and_names_its_class():
    members = clusters.Members()
    members.update(part([[0.9, 0.1], [0.2, 0.8]]))
    figure = clusters.gallery(["0: 1 images, a", "1: 1 images"], members)
    assert len(figure.axes) == 2 * clusters.SHOWN
    assert figure.axes[0].get_ylabel() == "0: 1 images, a"
