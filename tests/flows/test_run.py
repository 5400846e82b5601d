"""What a run changes in the process that it runs in is undone."""

import gc
import logging
from importlib import import_module

import pytest

from flows import run


def test_what_is_kept_off_the_screen_is_shown_again_afterwards():
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        with run._for_people():
            assert handler.filters
        assert not handler.filters
        kept = logging.getLogger("prefect.flow_runs").filters
        assert run._without_expected_failures not in kept
    finally:
        logging.getLogger().removeHandler(handler)


def test_garbage_is_collected_again_after_an_import_that_fails():
    with pytest.raises(ModuleNotFoundError), run.without_collecting():
        import_module("flows.nothing")
    assert gc.isenabled()
    gc.disable()
    try:
        with run.without_collecting():
            pass
        assert not gc.isenabled()  # as it was
    finally:
        gc.enable()
