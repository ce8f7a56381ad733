"""Failures of MongoDB in the server's own words; the one place that interprets driver errors."""

from pymongo.errors import ConnectionFailure, ExecutionTimeout, OperationFailure, PyMongoError

from fhir_server.fhir.errors import FhirError, Transient
from fhir_server.operator_error import OperatorError

_SOON_OVER = frozenset(
    {64, 91, 112, 134, 189, 211, 246, 251, 262, 10107, 11600, 11602, 13435, 13436}
)
"""Write concern timeout, shutdown, write conflict, majority not available yet, primary stepped
down, keys not found yet, snapshot unavailable, no such transaction, time limit, not primary, …"""


class DatabaseUnusable(OperatorError):
    """MongoDB cannot be used as it is; the message says what to do about it."""


class IndexOutdated(DatabaseUnusable):
    """The stored index documents were built from other artefacts than the present ones."""


def is_transient(error: PyMongoError) -> bool:
    """Whether the same request may succeed soon, because nothing is wrong with it."""
    if isinstance(error, ConnectionFailure) or error.has_error_label("TransientTransactionError"):
        return True
    return isinstance(error, OperationFailure) and error.code in _SOON_OVER


def translate(error: PyMongoError) -> FhirError:
    """The refusal that a failure of the database amounts to.

    Raises:
        PyMongoError: the error itself when it is a defect of ours.
    """
    if isinstance(error, ExecutionTimeout):
        return Transient(
            "The database needed longer than this server allows; narrow the search or try again.",
            retry_after=5,
        )
    if is_transient(error):
        return Transient("The database cannot be reached at the moment; try again.")
    raise error
