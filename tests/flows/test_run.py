import logging
import sys

import pytest

from flows.run import _is_for_people, _without_expected_failures
from models.errors import DataError


def record(error):
    try:
        raise error
    except type(error):
        return logging.LogRecord("prefect", logging.ERROR, "", 0, "failed", None, sys.exc_info())


def test_our_own_clear_errors_are_printed_once_and_surprises_with_their_traceback():
    assert not _without_expected_failures(record(DataError("said once, by the command")))
    assert _without_expected_failures(record(ZeroDivisionError()))
    assert _without_expected_failures(
        logging.LogRecord("prefect", logging.INFO, "", 0, "", None, None)
    )


@pytest.mark.parametrize(
    "said",
    [
        "Still processing items: 3 items remaining...",
        "Running hook 'name_after_data' in response to entering state 'Completed'",
        "Hook 'name_after_data' finished running successfully",
        'Finished in state Failed("Task run encountered an exception DataValidationError: ...")',
    ],
)
def test_how_prefect_works_and_failures_are_kept_off_the_screen(said):
    assert not _is_for_people(logging.LogRecord("prefect", 40, "", 0, said, None, None))
    assert not _is_for_people(record(ZeroDivisionError()))


def test_steps_that_end_and_warnings_are_shown():
    for said in ("Finished in state Completed()", "every_file_has_a_place: 3 files"):
        assert _is_for_people(logging.LogRecord("prefect", 30, "", 0, said, None, None))
