import itertools

import numpy as np
import pytest

from models.errors import InvalidInputError
from models.metrics import clustering

CLASSES = np.array(["a", "a", "a", "b", "b", "c"])
CLUSTERS = np.array([2, 2, 0, 0, 0, 1])


def test_accuracy_by_hand():
    assert clustering.accuracy(CLASSES, CLUSTERS, 3) == 5 / 6
    assert clustering.correct(CLASSES, CLUSTERS, 3).tolist() == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]


def test_the_confusion_has_the_mapped_cluster_on_its_diagonal():
    found = clustering.confusion(CLASSES, CLUSTERS, 3)
    assert found.classes.tolist() == ["a", "b", "c"]
    assert found.clusters.tolist() == [2, 0, 1]
    assert found.counts.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 1]]


def test_more_clusters_than_classes_and_fewer():
    more = clustering.confusion(CLASSES, CLUSTERS, 4)
    assert more.clusters.tolist() == [2, 0, 1, 3]
    assert more.counts.shape == (3, 4)
    few = clustering.confusion(CLASSES, np.array([0, 0, 0, 1, 1, 1]), 2)
    assert few.clusters.tolist() == [0, 1, -1]
    assert few.accuracy == 5 / 6
    assert clustering.correct(CLASSES, np.array([0, 0, 0, 1, 1, 1]), 2).sum() == 5


def test_the_map_is_the_best_of_all_permutations():
    draw = np.random.default_rng(0)
    classes, clusters = draw.integers(0, 4, 60), draw.integers(0, 4, 60)
    best = max(
        np.mean([order[cluster] == label for cluster, label in zip(clusters, classes, strict=True)])
        for order in itertools.permutations(range(4))
    )
    assert clustering.accuracy(classes, clusters, 4) == pytest.approx(best)


def test_names_of_clusters_do_not_matter():
    renamed = np.array([1, 0, 2])[CLUSTERS]
    assert clustering.accuracy(CLASSES, renamed, 3) == clustering.accuracy(CLASSES, CLUSTERS, 3)
    for measure in (clustering.normalized_mutual_information, clustering.adjusted_rand_index):
        assert measure(CLASSES, renamed) == pytest.approx(measure(CLASSES, CLUSTERS))


def test_mutual_information_by_hand():
    # Classes and clusters halve the images, independently: nothing is known. Alike: all is.
    classes = np.array([0, 0, 1, 1])
    assert clustering.normalized_mutual_information(classes, np.array([0, 1, 0, 1])) == 0
    assert clustering.normalized_mutual_information(classes, np.array([1, 1, 0, 0])) == 1
    # One class against two halves: I = ln 2, entropies ln 2 and (3/2) ln 2.
    clusters = np.array([0, 0, 1, 2])
    found = clustering.normalized_mutual_information(classes, clusters)
    assert found == pytest.approx(1 / ((1 + 1.5) / 2))


def test_the_rand_index_is_adjusted_for_chance():
    # Pairs: 2 agree within both, expected 2 * 1 / 6; (1 - 1/3) / (1.5 - 1/3) = 4/7.
    found = clustering.adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]))
    assert found == pytest.approx(4 / 7)


def test_the_difference_of_accuracies_is_paired():
    draw = np.random.default_rng(0)
    champion = draw.random(400) < 0.5
    challenger = champion.copy()
    challenger[np.flatnonzero(~champion)[:40]] = True
    clips = np.arange(400)
    found = clustering.accuracy_difference(champion, challenger, clips)
    assert found.mean == pytest.approx(0.1, abs=0.002)
    # The standard error of a mean of 400 gains, of which a tenth are 1: 0.015.
    assert found.lower_bound == pytest.approx(0.1 - 1.645 * 0.015, abs=0.004)
    assert found.share_worse == 0
    same = clustering.accuracy_difference(champion, champion, clips)
    assert same == (0.0, 0.0, 0.0)


def test_nothing_cannot_be_measured():
    for measure in (clustering.normalized_mutual_information, clustering.adjusted_rand_index):
        with pytest.raises(InvalidInputError, match="at least one image, got none"):
            measure(CLASSES[:0], CLUSTERS[:0])
    with pytest.raises(InvalidInputError, match="at least one image, got none"):
        clustering.accuracy(CLASSES[:0], CLUSTERS[:0], 3)
