import importlib
from operator import attrgetter

import pytest

from models.errors import NotFoundError
from models.former_names import present, present_weights

SCHEDULE = {
    "class": "models.clustering._schedule.Schedule",
    "epochs": 40,
    "start": "k-means",
    "start_shift": 0.0,
    "start_rotation": 0.0,
    "max_iterations": 700,
    "adoption": 0,
    "update_interval": 30,
    "tolerance": 0.001,
    "batch_size": 64,
    "learning_rate": 0.001,
    "peak_rate": 0.003,
    "gamma": 0.1,
    "reconstruction": 1.0,
    "shift": 0.0,
    "rotation": 0.0,
}
LAYER = {"class": "models.one_class._sparse_layer.SparseLayerConfig", "kernels": 8}
DEEP_ANOMALY = {
    "class": "models.one_class.deep_anomaly.DeepAnomaly.Config",
    "false_alarm_rate": 0.1,
    "settled": 0.8,
    "num_votes": 4,
    "neighbourhood": 3,
    "movement": 3.0,
    "change": 0.0,
    "flow": "gradients",
    "perspective": False,
    "shrinkage": 0.2,
    "layer": LAYER,
    "seed": 1,
}
ALOCC = {
    "class": "models.one_class.alocc.ALOCC.Config",
    "patch": 16,
    "stride": 8,
    "width": 4,
    "depth": 2,
    "num_steps": 6,
    "num_snapshots": 2,
    "contrast_steps": 4,
    "turning": True,
}
KNN = {
    "class": "models.one_class.knn.NearestNeighbours.Config",
    "num_neighbours": 2,
    "per_place": False,
    "neighbourhood": 3,
    "grid": 4,
}


def built(described):
    """The configuration, of present classes: every setting must be one of theirs."""
    if not isinstance(described, dict):
        return described
    values = {key: built(value) for key, value in described.items() if key != "class"}
    module, first = [], described["class"].replace(":", ".").split(".")
    while first[0][0].islower():
        module.append(first.pop(0))
    return attrgetter(".".join(first))(importlib.import_module(".".join(module)))(**values)


@pytest.mark.parametrize(
    ("former", "kind", "settings"),
    [
        (DEEP_ANOMALY, "MotionGaussian.Config", {"false_alarm_rate": 0.1, "movement": 3.0}),
        (
            {**DEEP_ANOMALY, "movement": 0.0},
            "DeepAnomaly.Config",
            {"normal_share": 0.8, "neighbourhood": 3, "seed": 1},
        ),
        (ALOCC, "OGNet.Config", {"num_snapshots": 2, "contrast_steps": 4, "width": 4}),
        ({**ALOCC, "contrast_steps": 0}, "ALOCC.Config", {"patch": 16, "depth": 2}),
        (
            {"class": "models.clustering.dcec.DCEC.Config", "side": 16, "schedule": SCHEDULE},
            "DCEC.Config",
            {"side": 16, "epochs": 40, "peak_rate": 0.003},
        ),
        (
            {
                "class": "models.clustering.dcec.DCEC.Config",
                "schedule": {**SCHEDULE, "shift": 0.1, "adoption": 7, "reconstruction": 0.0},
            },
            "SpectralDEC.Config",
            {"shift": 0.1, "warm_up": 7, "start": "k-means"},
        ),
        (KNN, "NearestNeighbours.Config", {"num_neighbours": 2, "grid": 4}),
        (
            {"class": "models.adaptation._adversary.AdversaryConfig", "steps": 5},
            "AdversaryConfig",
            {"steps": 5},
        ),
        (
            {"class": "models.density.pixel_cnn.PixelCnn.Config", "above_width": 9},
            "PixelCnn.Config",
            {"vertical_width": 9},
        ),
    ],
)
def test_old_records_name_present_classes_and_settings(former, kind, settings):
    config = built(present(former))
    assert type(config).__qualname__ == kind
    assert {name: getattr(config, name) for name in settings} == settings


def test_the_sparse_layer_is_renamed_within_its_detector():
    config = built(present({**DEEP_ANOMALY, "movement": 0.0}))
    assert config.layer.kernels == 8


def test_silence_means_what_it_meant():
    short = {"class": ALOCC["class"], "contrast_steps": 60, "num_snapshots": 3}
    config = built(present(short))
    assert (config.width, config.depth) == (16, 3)


def test_paths_with_a_colon_stay_so():
    former = {**DEEP_ANOMALY, "class": "models.one_class.deep_anomaly:DeepAnomaly.Config"}
    assert present(former)["class"] == "models.one_class.motion_gaussian:MotionGaussian.Config"


def test_what_has_present_names_stays_as_it_is():
    recipe = {
        "class": "flows.recipes.Recipe",
        "name": "walkway",
        "detector": {"class": "models.one_class.deep_anomaly.DeepAnomaly.Config", "num_votes": 4},
        "sizes": [1, {"class": "somebody.elses.Config", "above_width": 3}],
    }
    assert present(recipe) == recipe
    inside = present({"detector": {**DEEP_ANOMALY, "movement": 1.0}, "names": ["a"]})
    assert inside["detector"]["class"].endswith("MotionGaussian.Config")


def test_the_weights_of_a_gaussian_find_their_present_names():
    weights = {"encoder.first.weight": 1, "first.mean_": 2, "second.mean_": 3, "alpha_": 4}
    weights |= {"beta_": 5, "phi_": 6, "kernels_": 7, "biases_": 8, "perspective_": 9}
    found = present_weights(DEEP_ANOMALY, weights)
    assert found == {
        "encoder.first.weight": 1,
        "gaussian.mean_": 2,
        "limit_": 4,
        "perspective_": 9,
    }
    still = present_weights({**DEEP_ANOMALY, "movement": 0.0}, weights)
    assert still == {name: value for name, value in weights.items() if name != "perspective_"}
    assert present_weights(KNN, {"memory_": 1}) == {"memory_": 1}


def test_neighbours_of_places_are_referred_to_patchcore():
    with pytest.raises(NotFoundError, match=r"models\.one_class\.patchcore"):
        present({**KNN, "per_place": True})
