"""Tokens: codes, identifiers, flags (https://hl7.org/fhir/R4/search.html#token).

An element with a system has the terms `code=value` and `code=system|value`; one without has
`code=value` and `code=|value`; where R4 allows no system there is only the first.

The text beside a code has the term `code:text=`, the type of an identifier
`code:of-type=system|type|value`, for the modifiers of these names.

Systems are compared exactly, and so are codes that R4's required bindings list: their systems
heed case. Of most other systems nobody knows, so their values are compared without case, as R4
advises when in doubt.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from fhir_server.definitions.search_parameter import Element, SearchParameter
from fhir_server.fhir.errors import NotSupported, Value
from fhir_server.fhir.types import Json
from fhir_server.search.condition import Condition, Ids, TermPrefix, Terms
from fhir_server.search.entry import Entry
from fhir_server.search.escapes import split, unescape
from fhir_server.search.query import Query
from fhir_server.search.values.string import normalise

_WITHOUT_SYSTEM: Final = frozenset({"ContactPoint", "boolean", "uri", "url", "string"})
_R4: Final = "4.0.1"
_FLAGS: Final = frozenset({"true", "false"})
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


def index_exactly(code: str, elements: Sequence[Element], entry: Entry) -> None:
    """Add the terms of codes whose case matters."""
    for element in elements:
        if isinstance(element.value, str):
            terms = _coded_exactly(code, element.system or "", element.value)
            entry.terms.update(terms)


def writer(parameter: SearchParameter) -> Callable[[str, Sequence[Element], Entry], None]:
    """How the elements of a token parameter are indexed."""
    return index_exactly if parameter.case_sensitive else index


def condition(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`[code]`, `[system]|[code]`, `|[code]` or `[system]|`.

    Raises:
        Value: it has more than two parts, or none; a system where there is none; no flag.
    """
    del query
    code = parameter.code
    if code == "_id":
        return Ids((unescape(text),))
    parts = [unescape(part) for part in split(text, "|")]
    datatypes = frozenset(parameter.datatypes)
    if len(parts) > 1 and datatypes and datatypes <= _WITHOUT_SYSTEM:
        raise Value(f"'{text[:64]}' names a system, which these values do not have")
    if datatypes == {"boolean"} and parts[0].casefold() not in _FLAGS:
        raise Value(f"'{text[:64]}' is neither true nor false")
    key = _escape if parameter.case_sensitive else fold
    if len(parts) == 1:
        term = f"{code}={key(parts[0])}"
        if "ContactPoint" not in datatypes:
            return Terms((term,))
        return Terms(tuple(dict.fromkeys((term, f"{code}={_phone(parts[0])}"))))
    if len(parts) > 2 or not any(parts):
        raise Value(
            f"'{text[:64]}' is no token; expected code, system|code, |code or system| "
            r"(a pipe inside a value is written \|)"
        )
    system, value = parts
    if not value:
        return TermPrefix(f"{code}={_escape(system)}|")
    return Terms((f"{code}={_escape(system)}|{key(value)}",))


def text(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`:text`: the text of the concept, a display or the type of an identifier starts so.

    Raises:
        Value: the text holds nothing but punctuation.
    """
    del query
    normalised = normalise(unescape(text))
    if not normalised:
        raise Value(f"'{text[:64]}' holds no letter or digit to search for")
    return TermPrefix(f"{parameter.code}:text={normalised}")


def of_type(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`:of-type`: `[system]|[type]|[value]` of an identifier.

    Raises:
        Value: one of the three is missing.
    """
    del query
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise Value(f"'{text[:64]}' is no identifier of a type; expected system|type|value")
    return Terms((_type_term(parameter.code, *parts),))


def in_value_set(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`:in`: a code of a value set that this server carries, by its canonical URL.

    Raises:
        NotSupported: it carries no such value set.
    """
    url, _, version = unescape(text).partition("|")
    try:
        codes = query.registry.structures.codes(url) if query.registry else None
    except KeyError:
        codes = None
    if codes is None or version not in {"", _R4}:
        raise NotSupported(
            f"the value set '{text[:128]}' is not carried here; R4's value sets of required "
            "bindings are, for example http://hl7.org/fhir/ValueSet/slotstatus"
        )
    key = _escape if parameter.case_sensitive else fold
    terms = (f"{parameter.code}={_escape(system)}|{key(code)}" for code, system in codes.items())
    return Terms(tuple(sorted(terms)))


def fold(value: str) -> str:
    """A value without case, its own pipes told apart from the one after a system."""
    return _escape(value.casefold())


def _escape(text: str) -> str:
    return text.replace("|", r"\|") if "|" in text else text


def _phone(value: str) -> str:
    digits = value.translate(_PHONE_PUNCTUATION)
    return digits if digits.isdecimal() else fold(value)


@lru_cache(maxsize=16_384)
def _coded(code: str, system: str | None, value: str) -> tuple[str, ...]:
    folded = fold(value)
    return f"{code}={folded}", f"{code}={_escape(system or '')}|{folded}"


@lru_cache(maxsize=1_024)
def _coded_exactly(code: str, system: str, value: str) -> tuple[str, ...]:
    exact = _escape(value)
    return f"{code}={exact}", f"{code}={_escape(system)}|{exact}"


def _of_code(code: str, element: Element) -> tuple[str, ...]:
    if not isinstance(element.value, str):
        return ()
    if element.system is None:
        return (f"{code}={fold(element.value)}",)
    return _coded(code, element.system, element.value)


def _of_coding(code: str, element: Element) -> tuple[str, ...]:
    value = element.value
    return *_system_and(code, value, "code"), *_texts(code, value.get("display"))


def _of_identifier(code: str, element: Element) -> tuple[str, ...]:
    value = element.value
    found = _system_and(code, value, "value")
    kind = value.get("type")
    return (*found, *_typed(code, kind, value.get("value"))) if kind else found


def _typed(code: str, kind: Json, value: str | None) -> list[str]:
    return [
        *_texts(code, kind.get("text")),
        *(
            _type_term(code, coding["system"], coding["code"], value)
            for coding in kind.get("coding") or ()
            if value and coding and coding.get("system") and coding.get("code")
        ),
    ]


def _type_term(code: str, system: str, kind: str, value: str) -> str:
    return f"{code}:of-type={_escape(system)}|{fold(kind)}|{fold(value)}"


def _of_concept(code: str, element: Element) -> list[str]:
    value = element.value
    found = list(_texts(code, value.get("text")))
    for coding in value.get("coding") or ():
        if coding:
            found += _system_and(code, coding, "code")
            found += _texts(code, coding.get("display"))
    return found


@lru_cache(maxsize=4_096)
def _texts(code: str, text: str | None) -> tuple[str, ...]:
    normalised = normalise(text) if text else ""
    return (f"{code}:text={normalised}",) if normalised else ()


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
