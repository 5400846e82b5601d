import sys
import threading

import pytest

from tasks.packaging.import_sources import Vendored


def write(folder, **sources):
    for name, source in sources.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        for parent in path.relative_to(folder).parents[:-1]:
            (folder / parent / "__init__.py").touch()
    return folder


def test_imports_between_vendored_modules_stay_among_them(tmp_path):
    folder = write(
        tmp_path,
        models__errors="KIND = 'vendored'",
        models__deep__part="from models.errors import KIND",
        models__whole="import models.deep.part\nfrom models import errors\n"
        "from models.deep.part import KIND\nSAME = models.errors is errors",
    )
    vendored = Vendored(folder)
    whole = vendored.load("models.whole")
    assert whole.KIND == "vendored"
    assert whole.SAME
    assert whole.__name__ == f"{vendored.prefix}.models.whole"
    assert vendored.load("models.errors") is whole.errors
    import models.errors

    assert not hasattr(models.errors, "KIND")


def test_imports_inside_functions_find_the_vendored_module_later(tmp_path):
    folder = write(
        tmp_path,
        models__errors="KIND = 'vendored'",
        models__late="def kind():\n    from models.errors import KIND\n    return KIND",
    )
    assert Vendored(folder).load("models.late").kind() == "vendored"


def test_relative_imports_work(tmp_path):
    folder = write(
        tmp_path,
        own__values="X = 1",
        own__user="from .values import X\nfrom . import values",
    )
    user = Vendored(folder).load("own.user")
    assert user.X == user.values.X == 1


def test_two_versions_live_side_by_side(tmp_path):
    old = Vendored(write(tmp_path / "old", models__value="X = 'old'"))
    new = Vendored(write(tmp_path / "new", models__value="X = 'new'"))
    assert (old.load("models.value").X, new.load("models.value").X) == ("old", "new")
    assert old.load("models.value").X == "old"


def test_the_same_sources_are_loaded_once_wherever_they_lie(tmp_path):
    one = Vendored(write(tmp_path / "one", models__value="X = object()"))
    two = Vendored(write(tmp_path / "two", models__value="X = object()"))
    assert one.load("models.value") is two.load("models.value")


def test_other_packages_are_the_process_own(tmp_path):
    folder = write(tmp_path, models__user="import json.decoder\nimport numpy as np")
    import numpy as np

    user = Vendored(folder).load("models.user")
    assert user.np is np
    assert user.json is sys.modules["json"]


def test_an_import_that_fails_leaves_nothing_behind(tmp_path):
    folder = write(tmp_path, models__broken="X = 1\nraise RuntimeError('broken')")
    vendored = Vendored(folder)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            vendored.load("models.broken")
    assert f"{vendored.prefix}.models.broken" not in sys.modules


@pytest.mark.parametrize("name", ["models.nothing", "nothing"])
def test_a_module_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(ModuleNotFoundError, match=name):
        Vendored(write(tmp_path, models__value="X = 1")).load(name)


def test_bytecode_beside_the_source_is_neither_read_nor_written(tmp_path):
    folder = write(tmp_path, models__value="X = 'source'")
    Vendored(folder).load("models.value")
    assert not list(folder.rglob("*.pyc"))


def test_threads_that_load_at_once_get_the_same_whole_module(tmp_path):
    folder = write(
        tmp_path, models__slow="import time\nA = 1\ntime.sleep(0.05)\nB = 2", models__x="X = 1"
    )
    vendored, seen = Vendored(folder), []
    threads = [
        threading.Thread(target=lambda: seen.append(vendored.load("models.slow").B))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [2, 2, 2, 2]
