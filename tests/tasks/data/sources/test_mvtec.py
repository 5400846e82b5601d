import hashlib
import tarfile

import pytest

from models.contracts import silent
from models.errors import DataError
from tasks.data import versions
from tasks.data.sources import mvtec
from tests.tasks.pictures import write_stills


@pytest.mark.parametrize("category", ["screw", "."])
def test_a_category_is_copied_as_it_is(repository, tmp_path, category):
    source = write_stills(tmp_path / "raw" / category)
    mvtec.convert("screw", tmp_path / "raw", repository / "copy", silent)
    assert versions.hash_folder(repository / "copy") == versions.hash_folder(source)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="must hold screw/train/good"):
        mvtec.convert("screw", tmp_path, tmp_path / "out", silent)


def test_only_the_category_that_is_asked_for_is_unpacked(tmp_path, monkeypatch):
    for category in ("screw", "tile"):
        write_stills(tmp_path / "all" / category)
    archive = tmp_path / "downloads" / "mvtec_anomaly_detection.tar.xz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:xz") as tar:
        tar.add(tmp_path / "all", arcname=".")
    monkeypatch.setattr(mvtec, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    (tmp_path / "scratch").mkdir()
    raw = mvtec.obtain("screw", archive.parent, tmp_path / "scratch", silent)
    assert [path.name for path in raw.iterdir()] == ["screw"]
    mvtec.convert("screw", raw, tmp_path / "out", silent)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 8
