"""Which Appointment an operation is about, in the words of every dialect.

IHE and we say appointment-resource and appointment-reference; Argonaut says appt-resource and
appt-id; Medplum says appointment. Cancel and confirm are mostly invoked on the instance.
"""

from typing import Final

from fhir_server.definitions.parameters import Invocation
from fhir_server.fhir.errors import Required
from fhir_server.fhir.types import Json, Resource
from fhir_server.scheduling.holds import APPOINTMENT
from fhir_server.scheduling.occupancy import local_id

RESOURCES: Final = ("appointment-resource", "appt-resource", "appointment")
REFERENCE: Final = "appointment-reference"
ID: Final = "appt-id"


def named_appointment(call: Invocation) -> Resource | str:
    """The Appointment that is meant: itself, or a reference.

    Raises:
        Required: none is given, or several are.
    """
    given: list[Resource | str] = [*_values(call, *RESOURCES)]
    given += [one.get("reference", "") for one in _values(call, REFERENCE)]
    given += [one if "/" in one else APPOINTMENT + one for one in _values(call, ID)]
    if call.id:
        given.append(APPOINTMENT + call.id)
    if len(given) != 1:
        raise Required(
            "Give exactly one Appointment: itself, its reference, or its address",
            expression=["Parameters.parameter"],
        )
    return given[0]


def stored_appointment(call: Invocation) -> str:
    """The reference of the stored Appointment that is meant.

    Raises:
        Required: none is given, or several are.
    """
    given = named_appointment(call)
    if isinstance(given, str):
        return given
    raise Required(
        "Give the reference of a stored Appointment", expression=["Parameters.parameter"]
    )


def aims_of(appointment: Resource | str, base_url: str) -> tuple[tuple[str, str], ...]:
    """Type and id of the stored Appointment that is meant, if it is one."""
    if isinstance(appointment, str):
        logical_id = local_id({"reference": appointment}, "Appointment", base_url)
    else:
        logical_id = appointment.get("id")
    return (("Appointment", logical_id),) if logical_id else ()


def _values(call: Invocation, *names: str) -> list[Json]:
    return [value for name in names for value in call.parameters.get(name, ())]
