"""The refusals of scheduling and their reason codes, of the code system `refusal-reason`.

No text here ever says who holds a time.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from fhir_server.fhir import errors

SLOT_TAKEN: Final = "slot-taken"
SLOT_BLOCKED: Final = "slot-blocked"
SLOT_UNKNOWN: Final = "slot-unknown"
SLOT_REQUIRED: Final = "slot-required"
SCHEDULE_UNKNOWN: Final = "schedule-unknown"
APPOINTMENT_UNKNOWN: Final = "appointment-unknown"
TIME_OUTSIDE_SLOT: Final = "time-outside-slot"
START_AFTER_END: Final = "start-after-end"
SPAN_TOO_LONG: Final = "span-too-long"
IN_THE_PAST: Final = "in-the-past"
HELD_BY_APPOINTMENT: Final = "held-by-appointment"
REFERENCED: Final = "referenced"
WRONG_STATUS: Final = "wrong-status"
NOT_A_PARTICIPANT: Final = "not-a-participant"
COUNTER_PROPOSAL: Final = "counter-proposal"
ENDED: Final = "ended"
IDEMPOTENCY_KEY_REUSED: Final = "idempotency-key-reused"
HELD: Final = "held"
HOLD_LAPSED: Final = "hold-lapsed"
HOLD_LIMIT: Final = "hold-limit"
PARTICIPANT_FIXED: Final = "participant-fixed"

REASONS: Final = (
    SLOT_TAKEN,
    SLOT_BLOCKED,
    SLOT_UNKNOWN,
    SLOT_REQUIRED,
    SCHEDULE_UNKNOWN,
    APPOINTMENT_UNKNOWN,
    TIME_OUTSIDE_SLOT,
    START_AFTER_END,
    SPAN_TOO_LONG,
    IN_THE_PAST,
    HELD_BY_APPOINTMENT,
    REFERENCED,
    WRONG_STATUS,
    NOT_A_PARTICIPANT,
    COUNTER_PROPOSAL,
    ENDED,
    IDEMPOTENCY_KEY_REUSED,
    HELD,
    HOLD_LAPSED,
    HOLD_LIMIT,
    PARTICIPANT_FIXED,
)
"""Every `details` code that scheduling uses."""


class SlotTaken(errors.Conflict):
    """The time is held or closed; other times of the same Schedule may be offered instead.

    Args:
        details: `slot-taken` or `slot-blocked`.
        schedule: `Schedule/<id>`.
        start: microseconds since the epoch of the time that was asked for, inclusive.
        end: the same, exclusive.

    Attributes:
        schedule: `Schedule/<id>`.
        start: the start as an aware datetime.
        end: the end as an aware datetime.
    """

    def __init__(
        self,
        diagnostics: str,
        *,
        expression: Sequence[str],
        details: str,
        schedule: str,
        start: int,
        end: int,
    ) -> None:
        super().__init__(diagnostics, expression=expression, details=details)
        self.schedule = schedule
        self.start = _moment(start)
        self.end = _moment(end)


def conflict(code: str, diagnostics: str, *expression: str) -> errors.Conflict:
    """The present state forbids it (409)."""
    return errors.Conflict(diagnostics, expression=expression, details=code)


def rule(code: str, diagnostics: str, *expression: str) -> errors.BusinessRule:
    """A rule of scheduling forbids it (422)."""
    return errors.BusinessRule(diagnostics, expression=expression, details=code)


def slot_unknown(expression: str) -> errors.BusinessRule:
    """A slot reference that leads nowhere."""
    return rule(
        SLOT_UNKNOWN,
        "The reference does not lead to a Slot on this server. Search for one with "
        "GET Slot?status=free, or leave Appointment.slot out.",
        expression,
    )


def refuse(found: Sequence[errors.FhirError]) -> NoReturn:
    """Raise one refusal as itself, several as `Issues`."""
    raise found[0] if len(found) == 1 else errors.Issues(found)


def _moment(microseconds: int) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        # A zone can carry the last hours of the year 9999 over what Python's calendar holds.
        return (
            datetime.max.replace(tzinfo=UTC)
            if microseconds > 0
            else datetime.min.replace(tzinfo=UTC)
        )
