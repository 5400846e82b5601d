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


OTHERS = {"NearestNeighbours": [{"per_place": True}]}
"""Settings beside the defaults with which a detector keeps the promises too."""


def pytest_generate_tests(metafunc):
    """One case for each class, or for each class and its settings if the test takes a config."""
    if "detector_class" not in metafunc.fixturenames:
        return
    cases = [
        (found, settings)
        for found in detectors()
        for settings in ({}, *OTHERS.get(found.__name__, []))
    ]
    names = ["-".join([found.__name__, *settings]) for found, settings in cases]
    made = [(found, found.Config(**settings)) for found, settings in cases]
    metafunc.parametrize(("detector_class", "config"), made, ids=names)
