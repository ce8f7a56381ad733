"""The parameters of a history, on every level (https://hl7.org/fhir/R4/http.html#history)."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fhir_server.fhir.dates import DateRange, microseconds, parse, parse_instant
from fhir_server.fhir.errors import FhirError, Issues, NotSupported, Value
from fhir_server.fhir.exchange import Pairs, query_string

PARAMETERS: Final = ("_count", "_since", "_at", "_page")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What part of a history is asked for.

    Attributes:
        count: most entries on a page.
        since: only versions written at or after this instant.
        at: only versions that were current at some point of this period.
        page: the page, as the links of an answer name it; None for the first.
        given: the parameters as sent.
    """

    count: int
    since: datetime | None
    at: DateRange | None
    page: str | None
    given: dict[str, str]

    def link(self, address: str, page: str | None = None) -> str:
        """The URL of this page, or of another."""
        given = self.given if page is None else {**self.given, "_page": page}
        return f"{address}?{query_string(list(given.items()))}" if given else address

    def is_before_all(self, written: datetime) -> bool:
        """Whether what was written then, and all that is older, is not asked for."""
        return self.since is not None and written < self.since

    def is_after_all(self, written: datetime) -> bool:
        """Whether what was written then came after the period asked for."""
        return self.at is not None and microseconds(written) > self.at.high

    def is_start(self, written: datetime) -> bool:
        """Whether what was written then was there when the period asked for began."""
        return self.at is not None and microseconds(written) <= self.at.low


def parse_history(pairs: Pairs, *, page_size: int, max_page_size: int) -> HistoryQuery:
    """Understand the parameters.

    Args:
        pairs: names and values.
        page_size: entries on a page unless `_count` says otherwise.
        max_page_size: most entries on a page.

    Raises:
        NotSupported: a parameter that is not offered.
        Value: a parameter's value is not legal, or it is repeated.
    """
    given = _single_values(pairs)
    count = page_size
    if "_count" in given:
        if _NUMBER.fullmatch(given["_count"]) is None:
            raise Value("_count must be a whole number")
        count = int(given["_count"])
    return HistoryQuery(
        min(count, max_page_size),
        _since(given.get("_since")),
        _at(given.get("_at")),
        given.get("_page"),
        given,
    )


def _single_values(pairs: Pairs) -> dict[str, str]:
    problems: list[FhirError] = []
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            problems.append(
                NotSupported(
                    f"Parameter {name[:60]} is not offered on history; _count, _since and _at are"
                )
            )
        elif name in given:
            problems.append(Value(f"{name} may be given once"))
        given[name] = value
    if problems:
        raise Issues(problems)
    return given


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # A + that was not percent-encoded arrives as a space.
        return parse_instant(text.replace(" ", "+"))
    except FhirError:
        raise Value("_since must be an instant, for example 2026-03-01T09:00:00Z") from None


def _at(text: str | None) -> DateRange | None:
    if text is None:
        return None
    try:
        return parse(text.replace(" ", "+"))
    except FhirError:
        raise Value("_at must be a date or a time, for example 2026-03-01") from None
