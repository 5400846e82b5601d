import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from models.errors import DataError
from tasks.data.sources import digits
from tests.tasks.data.sources.generated import digest

DIGEST = "2053b621d8c17d4867c3e27ac86cf64728ea2810530275e3fbe9d67c06085da9"
"""Of the bytes that ``data.dvc`` names."""
ALL_DIGEST = "ddf2fbf0e04b834a1f4109b0793c65cf87962868f8bd83754a3d605149fd940c"
"""The same of ``digits-all``."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    digits.write(folder)
    return folder


@pytest.fixture(scope="module")
def files(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def test_the_whole_set_is_the_same_to_the_byte_on_every_machine(folder):
    assert digest(folder) == DIGEST


def test_every_picture_is_written_once_under_its_digit_and_index(files):
    flat, labels = load_digits(return_X_y=True)
    assert sorted(path.stem for path in files.values()) == [f"{i:04d}" for i in range(len(labels))]
    for name, path in files.items():
        kind, index = name.split("/")[1], int(path.stem)
        assert kind == ("good" if labels[index] == digits.NORMAL else str(labels[index]))
        with Image.open(path) as image:
            assert image.mode == "L"
            assert np.array_equal(np.array(image), flat[index].reshape(8, 8) * digits.STEP)


def test_seven_of_ten_normal_pictures_are_for_training(files):
    count = {
        place: sum(name.startswith(place) for name in files)
        for place in ("train/good", "test/good")
    }
    assert count == {"train/good": 126, "test/good": 52}
    assert {name.split("/")[1] for name in files if name.startswith("train")} == {"good"}
    assert {name.split("/")[1] for name in files} == {"good", *"123456789"}


def test_train_and_test_share_no_picture(files):
    assert len({path.read_bytes() for path in files.values()}) == len(files)


def test_refuses_other_digits_than_the_well_known_ones(monkeypatch):
    flat, labels = load_digits(return_X_y=True)
    flat[1] = flat[0]
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda **_: (flat, labels))
    with pytest.raises(DataError, match="1796 distinct"):
        digits.load()


def test_all_digits_are_for_training_without_a_hint_and_for_testing_by_class(tmp_path):
    digits.write_all(tmp_path)
    paths = sorted(tmp_path.rglob("*.png"))
    _, labels = load_digits(return_X_y=True)
    assert sorted(path.stem for path in paths) == [f"{i:04d}" for i in range(len(labels))]
    places = {path.parent.relative_to(tmp_path).as_posix() for path in paths}
    assert places == {"train/good", *(f"test/good-{digit}" for digit in range(10))}
    for path in paths:
        if "test" in path.parts:
            assert path.parent.name == f"good-{labels[int(path.stem)]}"
    train = labels[[int(path.stem) for path in paths if "train" in path.parts]]
    shares = np.bincount(train) / np.bincount(labels)
    assert shares.min() > 0.69
    assert shares.max() < 0.72
    assert digest(tmp_path) == ALL_DIGEST
