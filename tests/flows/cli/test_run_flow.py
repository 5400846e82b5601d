import logging
import sys

from flows.cli.run_flow import _without_expected_failures, _without_progress_of_queues
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


def test_how_much_prefect_has_still_to_send_is_kept_out_of_the_log():
    said = "Still processing items: 3 items remaining..."
    told = [logging.LogRecord("EventsWorker", 30, "", 0, text, None, None) for text in (said, "x")]
    assert [_without_progress_of_queues(each) for each in told] == [False, True]
