"""Tokens: codes, identifiers, flags (https://hl7.org/fhir/R4/search.html#token).

An element with a system has the terms `code=value` and `code=system|value`; one without has
`code=value` and `code=|value`; where R4 allows no system there is only the first. Most code
systems do not say whether case matters, so values are compared without it, as R4 advises when in
doubt; systems are compared exactly.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from fhir_server.definitions.search_parameter import Element, SearchParameter
from fhir_server.fhir.errors import Value
from fhir_server.fhir.types import Json
from fhir_server.search.condition import Condition, Ids, TermPrefix, Terms
from fhir_server.search.entry import Entry
from fhir_server.search.escapes import split, unescape
from fhir_server.search.query import Query

_PHONE_PARAMETERS: Final = frozenset({"phone", "telecom"})
_PHONE_PUNCTUATION: Final = str.maketrans("", "", " \t\u00a0()-./+")


def index(code: str, elements: Sequence[Element], entry: Entry) -> None:
    """Add the terms of the elements that a token parameter selects."""
    add = entry.terms.update
    for element in elements:
        write = _WRITERS.get(element.datatype)
        if write is not None:
            add(write(code, element))
        elif isinstance(element.value, str):
            add((f"{code}={fold(element.value)}",))


def condition(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`[code]`, `[system]|[code]`, `|[code]` or `[system]|`.

    Raises:
        Value: it has more than two parts, or none.
    """
    del query
    code = parameter.code
    parts = [unescape(part) for part in split(text, "|")]
    if code == "_id":
        return Ids((unescape(text),))
    if len(parts) == 1:
        return Terms(_plain(code, parts[0]))
    if len(parts) > 2 or not any(parts):
        raise Value(
            f"'{text[:64]}' is no token; expected code, system|code, |code or system| "
            r"(a pipe inside a value is written \|)"
        )
    system, value = parts
    if not value:
        return TermPrefix(f"{code}={_escape(system)}|")
    return Terms((f"{code}={_escape(system)}|{fold(value)}",))


def fold(value: str) -> str:
    """A value without case, its own pipes told apart from the one after a system."""
    return _escape(value.casefold())


def _escape(text: str) -> str:
    return text.replace("|", r"\|") if "|" in text else text


def _plain(code: str, value: str) -> tuple[str, ...]:
    term = f"{code}={fold(value)}"
    if code not in _PHONE_PARAMETERS:
        return (term,)
    return tuple(dict.fromkeys((term, f"{code}={_phone(value)}")))


def _phone(value: str) -> str:
    digits = value.translate(_PHONE_PUNCTUATION)
    return digits if digits.isdecimal() else fold(value)


@lru_cache(maxsize=16_384)
def _coded(code: str, system: str | None, value: str) -> tuple[str, ...]:
    folded = fold(value)
    return f"{code}={folded}", f"{code}={_escape(system or '')}|{folded}"


def _of_code(code: str, element: Element) -> tuple[str, ...]:
    if not isinstance(element.value, str):
        return ()
    if element.system is None:
        return (f"{code}={fold(element.value)}",)
    return _coded(code, element.system, element.value)


def _of_coding(code: str, element: Element) -> tuple[str, ...]:
    return _system_and(code, element.value, "code")


def _of_identifier(code: str, element: Element) -> tuple[str, ...]:
    return _system_and(code, element.value, "value")


def _of_concept(code: str, element: Element) -> list[str]:
    codings = element.value.get("coding") or ()
    return [term for coding in codings if coding for term in _system_and(code, coding, "code")]


def _of_contact(code: str, element: Element) -> tuple[str, ...]:
    value = element.value.get("value")
    if not value:
        return ()
    return f"{code}={fold(value)}", f"{code}={_phone(value)}"


def _of_boolean(code: str, element: Element) -> tuple[str, ...]:
    if element.value is None:
        return ()
    return (f"{code}=true" if element.value else f"{code}=false",)


def _of_number(code: str, element: Element) -> tuple[str, ...]:
    return () if element.value is None else (f"{code}={element.value}",)


def _system_and(code: str, value: Json, field: str) -> tuple[str, ...]:
    text = value.get(field)
    if text:
        return _coded(code, value.get("system"), text)
    # A coding that names only its system can still be found by it.
    system = value.get("system")
    return (f"{code}={_escape(system)}|",) if system else ()


_WRITERS: Final[dict[str, Callable[[str, Element], Sequence[str]]]] = {
    "code": _of_code,
    "Coding": _of_coding,
    "CodeableConcept": _of_concept,
    "Identifier": _of_identifier,
    "ContactPoint": _of_contact,
    "boolean": _of_boolean,
    "integer": _of_number,
    "positiveInt": _of_number,
    "unsignedInt": _of_number,
}
