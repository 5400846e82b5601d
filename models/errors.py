"""Exceptions that somebody is meant to catch.

Each message says what must hold, what came, and what to do. The command line prints it without a
traceback and exits with ``exit_code``; the server answers it with ``http_status``.
"""


class UnseenError(Exception):
    """A failure that its reader can mend."""

    exit_code = 1
    http_status = 500


class NotFittedError(UnseenError):
    """A model was asked to predict before ``fit``."""


class TrainingError(UnseenError):
    """Training cannot start or went wrong: constant images, a loss that is not finite."""


class PrecisionLossError(TrainingError):
    """Statistics cannot be taken away again without losing digits that matter."""


class InvalidInputError(UnseenError, ValueError):
    """What the caller passed cannot be used: a bad option, an unreadable image, a wrong size."""

    exit_code = 2
    http_status = 422


class NotFoundError(UnseenError, LookupError):
    """There is no recipe, data set, model, version or alias of that name."""

    exit_code = 2
    http_status = 404


class DataError(UnseenError):
    """A data set cannot be brought in, versioned or read back byte for byte."""


class DataValidationError(DataError):
    """The data failed an expectation; nothing was trained.

    Attributes:
        summary: In a few words, such as ``3 files``.
        run_id: MLflow run with the full result; empty if there is none.
    """

    exit_code = 3

    def __init__(self, message: str, *, summary: str = "", run_id: str = "") -> None:
        super().__init__(message)
        self.summary = summary or message.partition("\n")[0]
        self.run_id = run_id


class RegistryError(UnseenError):
    """The registry holds something that cannot be trusted or changed as asked."""


class ConflictError(RegistryError):
    """Somebody else changed what was to be changed, meanwhile; nothing was done."""

    exit_code = 4
    http_status = 409
