"""How an operation answers with the Appointment that it has written."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from fhir_server.fhir.exchange import Answer, Version, version_of
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.holds import APPOINTMENT, held_until

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Written(Version, Protocol):
    """A version that was committed."""

    @property
    def resource(self) -> Resource:
        """The parsed resource."""


def appointment_answer(base_url: str, result: object, versions: Sequence[Written]) -> Answer:
    """201 with the Appointment when it is new, 200 when it was there; Expires when it is held.

    Args:
        base_url: the FHIR base.
        result: of the plan: `Appointment/<id>`.
        versions: everything that was committed.
    """
    logical_id = str(result).removeprefix(APPOINTMENT)
    written = version_of(versions, "Appointment", logical_id)
    answer = Answer.of_written(base_url, written, 201 if written.version == 1 else 200)
    until = held_until(written.resource)
    if until is not None:
        answer.expires = _EPOCH + timedelta(microseconds=until)
    return answer
