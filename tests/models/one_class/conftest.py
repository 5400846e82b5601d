"""Find the detectors: every public file of ``models/one_class`` defines exactly one."""

import importlib
import pkgutil

from models import one_class


def detectors():
    names = [m.name for m in pkgutil.iter_modules(one_class.__path__) if m.name[0] != "_"]
    for name in names:
        module = importlib.import_module(f"models.one_class.{name}")
        (found,) = (
            thing
            for thing in vars(module).values()
            if getattr(thing, "__module__", None) == module.__name__ and hasattr(thing, "Config")
        )
        yield found


def pytest_generate_tests(metafunc):
    if "detector_class" in metafunc.fixturenames:
        metafunc.parametrize("detector_class", list(detectors()), ids=lambda cls: cls.__name__)
