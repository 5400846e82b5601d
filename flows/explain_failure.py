"""What to say when something outside of the product fails: a full disk, a store or server gone.

Such failures come out of many libraries, each with exceptions of its own. They are told apart
here, once, where a command ends; in the tasks they pass as they are, and Prefect marks the step as
failed.
"""

import errno

from models.errors import UnseenError
from tasks.platform import addresses, outages, settings

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_TEXTS = ("database or disk is full", "No space left on device", "File too large")
AGAIN = "then run the same command again: finished steps are kept."


def explain(error: BaseException) -> str | None:
    """What must hold, what came, and what to do; None if the failure may be a defect of ours."""
    found = tuple(outages.chain(error))
    if any(_is_full(each) for each in found):
        return (
            "There must be room on the disk for what is written, and there is none left: "
            f"{_first_line(found[0])}. Make room ('unseen prune' shows what is old), {AGAIN}"
        )
    for each in found:
        if outages.is_of_store(each):
            store = addresses.shown(settings.read().mlflow_tracking_uri) or "its address"
            return (
                f"MLflow's store at {store} must answer, got: {_first_line(each)}. Start it, or "
                f"end what locks it, {AGAIN}{addresses.through(store)}"
            )
        if outages.is_of_server(each):
            server = settings.read().prefect_api_url or "its address"
            return (
                f"The Prefect server at {server} must answer until the run has ended, got: "
                f"{_first_line(each) or type(each).__name__}. Start it ('unseen status' shows the "
                f"local one), {AGAIN}{addresses.through(server)}"
            )
    return None


def is_expected(error: BaseException | None) -> bool:
    """Whether a command tells the failure in one sentence, so that no traceback is needed."""
    return error is not None and (isinstance(error, UnseenError) or explain(error) is not None)


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(text in str(error) for text in FULL_TEXTS)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
