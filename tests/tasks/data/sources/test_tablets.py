import numpy as np
import pytest
from PIL import Image

from tasks.data.sources import tablets
from tests.tasks.data.sources.generated import digest

DIGEST = "6089a1a03ac3a16034c0f0647db78e8af67626fe0808941b5be3a2d8f64033fd"
"""Of the bytes that ``data.dvc`` names."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tablets")
    tablets.write(folder)
    return folder


def test_the_whole_set_is_the_same_to_the_byte_on_every_machine(folder):
    assert digest(folder) == DIGEST


def test_no_picture_is_there_twice(folder):
    pictures = [path.read_bytes() for path in folder.glob("t*/*/*.png")]
    assert len(set(pictures)) == len(pictures) == 60 + 20 + 5 * 8


@pytest.mark.parametrize("kind", tablets.KINDS)
def test_a_defect_is_on_the_tablet_and_has_a_mask_of_its_own(folder, kind):
    masks = sorted((folder / "ground_truth" / kind).iterdir())
    tests = sorted((folder / "test" / kind).iterdir())
    assert [path.name for path in masks] == [f"{path.stem}_mask.png" for path in tests]
    for path in masks:
        with Image.open(path) as mask:
            rows, columns = np.nonzero(np.array(mask))
        assert 40 < len(rows) < 2000
        middle = tablets.SIDE / 2
        assert abs(rows.mean() - middle) < tablets.RADIUS + 8
        assert abs(columns.mean() - middle) < tablets.RADIUS + 8


@pytest.mark.parametrize("kind", ["crack", "hair", "stain"])
def test_what_lies_on_a_tablet_changes_its_mask_and_nothing_else(kind, monkeypatch):
    picture, mask = tablets.render(f"test/{kind}", 0)
    sound = tablets.KINDS[kind]
    monkeypatch.setitem(
        tablets.KINDS, kind, lambda draws, shot: sound(draws, shot)._replace(colour=(255, 0, 0))
    )
    other, _ = tablets.render(f"test/{kind}", 0)
    changed = (picture != other).any(axis=-1)
    assert (changed & ~mask).mean() < 0.01  # pixels that a line covers in part
    assert changed[mask].mean() > 0.9
