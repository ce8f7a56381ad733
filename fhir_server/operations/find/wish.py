"""What `Appointment/$find` is asked, understood and checked, all problems at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from fhir_server.definitions.parameters import Parameters
from fhir_server.fhir.dates import parse
from fhir_server.fhir.errors import FhirError, Issues, TooCostly, Value
from fhir_server.fhir.ids import is_id
from fhir_server.fhir.references import parse_reference
from fhir_server.fhir.types import Json
from fhir_server.scheduling.day_limits import WEEKDAYS, DayLimits, is_zone
from fhir_server.scheduling.find import Extras, Window
from fhir_server.search.escapes import split, unescape
from fhir_server.settings import Settings

TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "schedule": ("Schedule",),
    "practitioner": ("Practitioner", "PractitionerRole"),
    "organization": ("Organization",),
    "location-reference": ("Location",),
    "healthcare-service": ("HealthcareService",),
}
"""Which types the references of a criterion may lead to; a bare id is of the first."""

TEXTS: Final = ("location-string",)
TOKENS: Final = ("role", "specialty", "service-type", "visit-type")
SEARCHES: Final = ("near", "practitioner-gender", "practitioner-language")
"""Criteria whose values are values of search parameters."""

_DAY_MICROSECONDS: Final = 86_400_000_000
_TIMES: Final = re.compile(
    r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)"
)


@dataclass(frozen=True, slots=True)
class Sought:
    """Resources that a criterion names.

    Attributes:
        references: `Type/id`, in order of preference.
        identifiers: search values of logical references, by type, likewise.
    """

    references: tuple[str, ...]
    identifiers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """A find, understood.

    Attributes:
        named: the resources that criteria name, by criterion.
        values: of the other criteria, the search value that any of theirs fulfils.
        limits: times of the day and days of the week.
        zone: where these are meant; None for the zone of each Schedule.
        extras: what the offers say, the window included.
        count: most offers.
        per_actor: most offers of each actor; None for any number.
        explain: whether to tell why there is no offer.
    """

    named: Mapping[str, Sought]
    values: Mapping[str, str]
    limits: DayLimits
    zone: str | None
    extras: Extras
    count: int
    per_actor: int | None
    explain: bool

    @property
    def window(self) -> Window:
        """The time in which offers must lie."""
        return self.extras.window


def read_wish(parameters: Parameters, base_url: str, settings: Settings) -> Wish:
    """The wish in the parameters.

    Raises:
        Value: a value is not legal.
        TooCostly: the window is longer than the settings allow.
        Issues: several of these.
    """
    return _Reader(parameters, base_url, settings).wish()


class _Reader:
    def __init__(self, parameters: Parameters, base_url: str, settings: Settings) -> None:
        self._parameters = parameters
        self._base_url = base_url
        self._settings = settings
        self._problems: list[FhirError] = []

    def wish(self) -> Wish:
        window = self._once("start", self._window, Window(0, 1))
        named = {
            name: sought
            for name in TARGETS
            if (sought := self._once(name, partial(self._sought, name), None)) is not None
        }
        values = {name: self._once(name, partial(self._tokens, name), "") for name in TOKENS}
        values |= {name: self._once(name, partial(self._texts, name), "") for name in TEXTS}
        values |= {name: ",".join(self._parameters[name]) for name in SEARCHES}
        limits = DayLimits(
            self._once("time-of-day", self._times, ()),
            self._once("day-of-week", self._weekdays, frozenset()),
        )
        wish = Wish(
            named,
            {name: value for name, value in values.items() if value},
            limits,
            self._once("timezone", self._zone, None),
            Extras(
                window,
                self._once("patient-reference", self._patients, ()),
                self._once("reason", self._reasons, ()),
            ),
            self._once("_count", self._count, 1),
            self._once("per-actor", self._per_actor, None),
            self._first("explain") is True,
        )
        if len(self._problems) == 1:
            raise self._problems[0]
        if self._problems:
            raise Issues(self._problems)
        return wish

    def _first(self, name: str) -> Json:
        return next(iter(self._parameters[name]), None)

    def _once(self, name: str, read: Callable[[], Json], otherwise: Json) -> Json:
        """What is read, or what stands for it when that is refused."""
        try:
            return read()
        except FhirError as problem:
            kind = type(problem)
            text = problem.diagnostics
            self._problems.append(kind(text if text.startswith(name) else f"{name}: {text}"))
            return otherwise

    def _window(self) -> Window:
        start = parse(self._first("start"))
        end = parse(self._first("end"))
        # A day, month or year as the end counts as a whole; a time is the point it names.
        is_time = "T" in self._first("end")
        window = Window(start.low, end.low if is_time else end.high + 1)
        if window.end <= window.start:
            raise Value("start must be before end")
        if window.end - window.start > self._settings.find_max_days * _DAY_MICROSECONDS:
            raise TooCostly(
                f"start and end are more than {self._settings.find_max_days} days apart; "
                "ask for a shorter time, and again for what follows"
            )
        return window

    def _sought(self, name: str) -> Sought | None:
        references: list[str] = []
        identifiers: list[tuple[str, str]] = []
        for value in self._parameters[name]:
            if isinstance(value, dict) and "reference" not in value:
                identifiers.append(_identifier(name, value))
                continue
            text = value["reference"] if isinstance(value, dict) else value
            references += [self._reference(name, one) for one in split(str(text), ",")]
        if not (references or identifiers):
            return None
        return Sought(tuple(dict.fromkeys(references)), tuple(dict.fromkeys(identifiers)))

    def _reference(self, name: str, text: str) -> str:
        types = TARGETS.get(name, ("Patient",))
        found = parse_reference(unescape(text), self._base_url)
        if found is not None and found.absolute_base is None and found.type in types:
            return found.relative
        if found is None and is_id(text):
            return f"{types[0]}/{text}"
        expected = " or ".join(f"{one}/[id]" for one in types)
        raise Value(f"'{text[:64]}' leads to no such resource of this server; expected {expected}")

    def _tokens(self, name: str) -> str:
        return ",".join(_token(value) for value in self._parameters[name])

    def _texts(self, name: str) -> str:
        return ",".join(_escaped(value) for value in self._parameters[name])

    def _times(self) -> tuple[tuple[int, int], ...]:
        return tuple(
            _span(one) for value in self._parameters["time-of-day"] for one in value.split(",")
        )

    def _weekdays(self) -> frozenset[int]:
        days = [one for value in self._parameters["day-of-week"] for one in value.split(",")]
        for one in days:
            if one not in WEEKDAYS:
                raise Value(f"'{one[:32]}' is no day; expected one of {', '.join(WEEKDAYS)}")
        return frozenset(map(WEEKDAYS.index, days))

    def _zone(self) -> str | None:
        zone: str | None = self._first("timezone")
        if zone is not None and not is_zone(zone):
            raise Value(f"'{zone[:64]}' is no IANA time zone; one is Europe/Berlin")
        return zone

    def _patients(self) -> tuple[Json, ...]:
        found: list[Json] = []
        for value in self._parameters["patient-reference"]:
            if isinstance(value, dict):
                if "reference" in value:
                    self._reference("patient-reference", str(value["reference"]))
                elif "identifier" not in value:
                    raise Value("a Reference needs a reference or an identifier")
                found.append(value)
            else:
                found += [
                    {"reference": self._reference("patient-reference", one)}
                    for one in split(value, ",")
                ]
        return tuple(found)

    def _reasons(self) -> tuple[Json, ...]:
        return tuple(one for value in self._parameters["reason"] for one in _concepts(value))

    def _count(self) -> int:
        count = self._first("_count")
        if count is None:
            return min(self._settings.page_size, self._settings.max_page_size)
        if count < 1:
            raise Value("_count must be 1 or more")
        return min(int(count), self._settings.max_page_size)

    def _per_actor(self) -> int | None:
        count: int | None = self._first("per-actor")
        if count is not None and count < 1:
            raise Value("per-actor must be 1 or more")
        return count


def _identifier(name: str, reference: Json) -> tuple[str, str]:
    identifier = reference.get("identifier")
    value = identifier.get("value") if isinstance(identifier, dict) else None
    types = TARGETS[name]
    kind = reference.get("type", types[0])
    if not isinstance(value, str) or kind not in types:
        raise Value("a Reference needs a reference, or an identifier with a value")
    return kind, _coded(identifier.get("system"), value)


def _token(value: Json) -> str:
    """A search value for a code, Coding or CodeableConcept; alternatives are joined by commas."""
    if isinstance(value, str):
        return value
    codings = value["coding"] if isinstance(value.get("coding"), list) else [value]
    found = [
        _coded(one.get("system"), one["code"])
        for one in codings
        if isinstance(one, dict) and isinstance(one.get("code"), str)
    ]
    if not found:
        raise Value("there is no code in it")
    return ",".join(found)


def _coded(system: Json, value: str) -> str:
    return f"{_escaped(system)}|{_escaped(value)}" if isinstance(system, str) else _escaped(value)


def _concepts(value: Json) -> Sequence[Json]:
    if isinstance(value, dict):
        return ({"coding": [value]} if "code" in value else value,)
    found = []
    for one in split(value, ","):
        parts = [unescape(part) for part in split(one, "|")]
        if len(parts) > 2 or not parts[-1]:
            raise Value(f"'{one[:64]}' is no code; expected system|code")
        coding = {"system": parts[0]} if len(parts) == 2 and parts[0] else {}
        found.append({"coding": [{**coding, "code": parts[-1]}]})
    return found


def _span(text: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(text.strip())
    if found is None:
        raise Value(f"'{text[:32]}' is no part of a day; expected hh:mm-hh:mm, as 09:00-12:30")
    hour, minute, last_hour, last_minute = (int(one or 0) for one in found.groups())
    ends = last_hour * 60 + last_minute if found[3] else 24 * 60
    return hour * 60 + minute, ends


def _escaped(text: str) -> str:
    return re.sub(r"([,$|\\])", r"\\\1", text)
