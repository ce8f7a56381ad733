"""What a decision comes to, told to the client after the commit."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from fhir_server.fhir.exchange import Answer, Version, version_of
from fhir_server.scheduling.plan import Stored


class Outcome(NamedTuple):
    """The result of a decision's plan.

    Attributes:
        type: the resource type.
        id: the logical id; empty when it is about no single resource.
        status: the HTTP status of the answer.
        found: what is there already and stays as it is; None when the plan writes the resource.
        written: whether the plan writes the resource.
    """

    type: str
    id: str
    status: int
    found: Stored | None = None
    written: bool = True


_Version = TypeVar("_Version", bound=Version)


def answer_of(base_url: str, outcome: object, versions: Sequence[_Version]) -> Answer:
    """The answer to a write, before the client's preference is applied.

    Args:
        base_url: the FHIR base.
        outcome: the result of the decision's plan.
        versions: everything that was committed with it.
    """
    assert isinstance(outcome, Outcome)  # noqa: S101 - what the decisions of this package yield
    if outcome.found is not None:
        known = outcome.found
        location = f"{base_url}/{known.type}/{known.id}/_history/{known.version}"
        return Answer(outcome.status, known.json, known.version, known.last_updated, location)
    if not outcome.written or not outcome.id:
        return Answer(outcome.status)
    written = version_of(versions, outcome.type, outcome.id)
    if outcome.status == 204:
        address = f"{base_url}/{written.type}/{written.id}/_history/{written.version}"
        return Answer(204, b"", written.version, written.last_updated, address=address)
    return Answer.of_written(base_url, written, outcome.status)
