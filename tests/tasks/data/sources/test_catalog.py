import pytest

from models.contracts import silent
from models.errors import NotFoundError
from tasks.data.sources import catalog
from tests.tasks.data.sources.test_torchvision_sets import write_idx


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("ped2", "ped2"),
        ("Ped1", "ped1"),
        ("mvtec/screw", "mvtec-screw"),
        ("mvtec-metal_nut", "mvtec-metal_nut"),
        ("mvtec-metal-nut", "mvtec-metal_nut"),
        ("mnist", "mnist"),
        ("mnist:3", "mnist-3"),
        ("mnist-all", "mnist-all"),
        ("cifar10-9", "cifar10-9"),
    ],
)
def test_public_sets_are_found_by_name(name, folder):
    assert catalog.get(name).name == folder


@pytest.mark.parametrize(
    "name", ["mine", "mvtec", "mvtec-chair", "mnist-12", "mnist-", "walkway", "ped3"]
)
def test_other_names_are_no_public_sets(name):
    assert catalog.find(name) is None
    with pytest.raises(
        NotFoundError,
        match=r"Known by name: digits, digits-all, tablets, walkway, ped1.*mvtec-zipper",
    ):
        catalog.get(name)


def test_every_name_has_a_source_and_a_line_about_it():
    for name in catalog.names():
        assert name in catalog.EMBEDDED or catalog.find(name)
        assert catalog.about(name) != "yours"
    assert "clustering" in catalog.about("digits-all")
    assert catalog.about("mnist-3") == catalog.about("mnist")
    assert catalog.about("mine") == "yours"


def test_the_number_after_the_name_is_the_normal_class(tmp_path):
    write_idx(tmp_path / "raw")
    catalog.get("mnist:3").convert(tmp_path / "raw", tmp_path / "out", silent)
    found = sorted(path.stem for path in (tmp_path / "out" / "train" / "good").iterdir())
    assert found == ["00003", "00004"]
