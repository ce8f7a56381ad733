"""Turns failures that the operator can put right into one plain line."""

import sys

from pydantic import ValidationError

from fhir_server.operator_error import OperatorError
from fhir_server.settings import PREFIX, Settings, UnknownSettingError

_UNREACHABLE = {
    "pymongo.errors": ("ConnectionFailure", "MongoDB"),
    "redis.exceptions": ("ConnectionError", "Redis"),
}


def explain(failure: BaseException) -> str | None:
    """What is wrong and what to do, in one line; None when the failure is a defect of ours."""
    if isinstance(failure, OperatorError | UnknownSettingError):
        return one_line(str(failure))
    if isinstance(failure, ValidationError) and failure.title == Settings.__name__:
        return _wrong_settings(failure)
    for module_name, (class_name, product) in _UNREACHABLE.items():
        # Looked up, not imported: a failure of a library that is not loaded cannot have happened.
        kind = getattr(sys.modules.get(module_name), class_name, None)
        if kind is not None and isinstance(failure, kind):
            return f"lost the connection to {product} ({brief(failure)}); start it and try again"
    return None


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


def brief(failure: BaseException) -> str:
    """The driver's own words, without the state of every server that it appends."""
    return one_line(str(failure)).split(", Timeout: ")[0].split(" (configured timeouts")[0]


def _wrong_settings(failure: ValidationError) -> str:
    problems = []
    for error in failure.errors(include_url=False, include_context=False):
        name = "".join(str(part) for part in error["loc"][:1]).upper()
        problems.append(f"{PREFIX}{name}={error['input']}: {error['msg']}")
    return one_line(
        f"wrong setting {'; '.join(problems)}; docs/reference/settings.md says what is legal"
    )
