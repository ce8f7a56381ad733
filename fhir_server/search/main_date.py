"""The date by which most searches of a type select and sort.

It is stored as a plain number, `ix.s`, so that one compound index serves a term and a range of
time with tight bounds on both, and pages in this order need no sort.
"""

from dataclasses import dataclass
from typing import Final

from fhir_server.fhir.dates import LATEST

NO_DATE: Final = LATEST
"""Stored when a resource has no such date: these come last, and no date search matches them."""


@dataclass(frozen=True, slots=True)
class MainDate:
    """A date search parameter whose element occurs at most once.

    Attributes:
        code: the search parameter.
        point: whether the element is an `instant`. Only then does one number say all that a
            search may ask; a wider date is sorted by its start and searched by its range.
    """

    code: str
    point: bool = False


_MAIN_DATES: Final = {
    "Appointment": MainDate("date", point=True),
    "AuditEvent": MainDate("date", point=True),
    "Basic": MainDate("created"),
    "Communication": MainDate("sent"),
    "CommunicationRequest": MainDate("authored"),
    "Consent": MainDate("date"),
    "CoverageEligibilityRequest": MainDate("created"),
    "CoverageEligibilityResponse": MainDate("created"),
    "Encounter": MainDate("date"),
    "Flag": MainDate("date"),
    "Measure": MainDate("date"),
    "MeasureReport": MainDate("date"),
    "Provenance": MainDate("recorded", point=True),
    "Questionnaire": MainDate("date"),
    "QuestionnaireResponse": MainDate("authored"),
    "Schedule": MainDate("date"),
    "ServiceRequest": MainDate("authored"),
    "Slot": MainDate("start", point=True),
    "Task": MainDate("authored-on"),
}


def main_date(resource_type: str) -> MainDate | None:
    """The main date of a type; None for types that are sorted by id."""
    return _MAIN_DATES.get(resource_type)


PERIOD: Final = "period"
"""The search parameter for the time from `start`, which is the main date, to `end`."""
END: Final = "end"

_WITH_PERIOD: Final = frozenset({"Appointment", "Slot"})


def is_period(resource_type: str, code: str) -> bool:
    """Whether a search parameter asks of the time between the main date and `end`.

    Nothing is indexed for it: both ends are indexed already.
    """
    return code == PERIOD and resource_type in _WITH_PERIOD
