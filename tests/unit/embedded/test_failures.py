"""Which failures become one plain line."""

import pytest
import redis
from pydantic import ValidationError
from pymongo.errors import DuplicateKeyError, ServerSelectionTimeoutError

from fhir_server.embedded.failures import explain
from fhir_server.operator_error import OperatorError
from fhir_server.settings import Settings, UnknownSettingError


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (OperatorError("the disk\nis full"), "the disk is full"),
        (UnknownSettingError("unknown setting X"), "unknown setting X"),
        (
            ServerSelectionTimeoutError("h:1: refused (configured timeouts: 1), Timeout: 3s"),
            "lost the connection to MongoDB (h:1: refused); start it and try again",
        ),
        (
            redis.ConnectionError("Error 111"),
            "lost the connection to Redis (Error 111); start it and try again",
        ),
    ],
)
def test_operators_failure_is_one_line(failure: Exception, line: str) -> None:
    """What the operator can put right is told plainly."""
    assert explain(failure) == line


def test_wrong_setting_names_its_variable() -> None:
    """All wrong settings are named at once."""
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"port": 0, "workers": "many"})
    line = explain(refused.value)
    assert line is not None
    assert "FHIR_SERVER_PORT=0" in line
    assert "FHIR_SERVER_WORKERS=many" in line


@pytest.mark.parametrize("failure", [KeyError("x"), ValueError("y"), DuplicateKeyError("z")])
def test_our_own_defect_is_not_explained_away(failure: Exception) -> None:
    """A defect keeps its traceback."""
    assert explain(failure) is None
