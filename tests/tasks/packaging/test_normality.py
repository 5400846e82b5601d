import numpy as np
from safetensors.numpy import save_file

from models.functional.drift import Reference
from tasks.packaging.normality import CALIBRATION, load_calibration, load_reference, save_reference


def test_a_reference_is_read_as_it_was_written(tmp_path):
    assert load_reference(tmp_path) is None
    draw = np.random.default_rng(0)
    turned = draw.normal(size=(3, 3)).T  # as torch hands over what it has transposed
    given = Reference(draw.normal(size=3), turned, turned @ turned)
    save_reference(tmp_path, given)
    for found, expected in zip(load_reference(tmp_path), given, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_scores_of_older_packages_are_each_a_clip_of_their_own(tmp_path):
    save_file({"image_score": np.array([1.0, 3.0, 2.0])}, tmp_path / CALIBRATION)
    found = load_calibration(tmp_path)
    assert found.clip.tolist() == [0, 1, 2]
    assert found.p_values(np.array([2.5])).tolist() == [0.5]
