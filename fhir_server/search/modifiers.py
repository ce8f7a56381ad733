"""Which modifiers a search parameter has, and what they ask.

https://hl7.org/fhir/R4/search.html#modifiers

| modifier | of | asks |
|---|---|---|
| `:missing` | all but composites | whether any term, date or number of the parameter is there |
| `:exact` | string | the whole string as written |
| `:contains` | string | the text anywhere; reads all terms of the parameter |
| `:text` | token | the start of a text, a display or the type of an identifier |
| `:not`, `:not-in` | token | the opposite; what lacks the element matches as well |
| `:in`, `:not-in` | token | the codes of a value set that the artefacts carry |
| `:of-type` | token of identifiers | system, type and value |
| `:[type]`, `:identifier` | reference | the type of the target; the identifier in the reference |
| `:below` | uri, canonical | paths below a URL; versions below a version |
| `:above` | uri | paths above a URL |

No hierarchy of codes or of resources is known, so `:above` and `:below` of tokens and of plain
references are refused.
"""

from collections.abc import Callable
from typing import Final

from fhir_server.definitions.search_parameter import SearchParameter
from fhir_server.fhir.dates import EARLIEST, LATEST
from fhir_server.fhir.errors import NotSupported, Value
from fhir_server.search.condition import Condition, Either, Ranges, Spans, any_of
from fhir_server.search.escapes import split
from fhir_server.search.main_date import is_period, main_date
from fhir_server.search.modified import AnyTerm, Not
from fhir_server.search.query import Query
from fhir_server.search.values import reference, string, token, uri

Ask = Callable[[SearchParameter, str, Query], Condition]

_WITH_TEXT: Final = frozenset({"CodeableConcept", "Coding", "Identifier"})
_WITH_CODES: Final = frozenset({"CodeableConcept", "Coding", "code"})
_LOWEST: Final = float("-inf")

_ASK: Final[dict[tuple[str, str], Ask]] = {
    ("string", "exact"): string.exact,
    ("string", "contains"): string.contains,
    ("token", "not"): token.condition,
    ("token", "text"): token.text,
    ("token", "in"): token.in_value_set,
    ("token", "not-in"): token.in_value_set,
    ("token", "of-type"): token.of_type,
    ("reference", "identifier"): reference.of_identifier,
    ("reference", "below"): reference.below,
    ("uri", "above"): uri.above,
    ("uri", "below"): uri.below,
}
_NEGATIVE: Final = frozenset({"not", "not-in"})


def modifiers_of(parameter: SearchParameter) -> tuple[str, ...]:
    """The modifiers that a search parameter has, without colons; types of targets left out."""
    if parameter.type == "composite":
        return ()
    return ("missing", *_OFFERED.get(parameter.type, _nothing)(parameter))


def modified(parameter: SearchParameter, modifier: str, value: str, query: Query) -> Condition:
    """What a parameter with a modifier asks.

    Raises:
        NotSupported: the parameter does not have this modifier; the supported ones are named.
        Value, Invalid: the value is not legal for it.
    """
    target = parameter.type == "reference" and modifier in parameter.targets
    if not target and modifier not in modifiers_of(parameter):
        raise _refused(parameter, modifier)
    if modifier == "missing":
        return _missing(parameter, value, query)
    found: list[Condition] = []
    for text in split(value, ","):
        if not text.strip():
            raise Value(r"a value is empty (a comma inside a value is written \,)")
        if target:
            found.append(reference.of_target(parameter, modifier, text, query))
        else:
            found.append(_ASK[parameter.type, modifier](parameter, text, query))
    together = any_of(found)
    return Not(together) if modifier in _NEGATIVE else together


def _missing(parameter: SearchParameter, value: str, query: Query) -> Condition:
    if value not in {"true", "false"}:
        raise Value(f"'{value[:32]}' is neither true nor false")
    present = _present(parameter, query)
    return Not(present) if value == "true" else present


def _present(parameter: SearchParameter, query: Query) -> Condition:
    code = parameter.code
    if code == "_id":
        return Not(Either(()))
    if code == "_lastUpdated":
        return Spans("u", ((EARLIEST, LATEST),))
    name = query.definition.name
    main = main_date(name)
    if is_period(name, code) or (main is not None and main.point and main.code == code):
        return Spans("s", ((EARLIEST, LATEST - 1),))
    if parameter.type == "date":
        return Either((Ranges("d", code, ((("l", "$gte", EARLIEST),),)), AnyTerm(code)))
    if parameter.type in {"number", "quantity"}:
        return Either((Ranges("n", code, ((("l", "$gte", _LOWEST),),)), AnyTerm(code)))
    return AnyTerm(code)


def _refused(parameter: SearchParameter, modifier: str) -> NotSupported:
    offered = [f":{one}" for one in modifiers_of(parameter)]
    if parameter.type == "reference":
        offered += [f":{one}" for one in parameter.targets]
    supported = f"supported: {', '.join(offered)}" if offered else "it has none"
    return NotSupported(
        f"the modifier ':{modifier[:64]}' of '{parameter.code}' is not supported; {supported}"
    )


def _of_token(parameter: SearchParameter) -> list[str]:
    if parameter.code == "_id":
        return ["not"]
    datatypes = frozenset(parameter.datatypes)
    found = ["not"]
    if datatypes & _WITH_TEXT:
        found.append("text")
    if datatypes & _WITH_CODES:
        found += ["in", "not-in"]
    if "Identifier" in datatypes:
        found.append("of-type")
    return found


def _of_string(parameter: SearchParameter) -> list[str]:
    return [] if parameter.code == string.PHONETIC else ["exact", "contains"]


def _of_reference(parameter: SearchParameter) -> list[str]:
    found = ["identifier"] if "Reference" in parameter.datatypes else []
    return [*found, "below"] if "canonical" in parameter.datatypes else found


def _of_uri(_parameter: SearchParameter) -> list[str]:
    return ["above", "below"]


def _nothing(_parameter: SearchParameter) -> list[str]:
    return []


_OFFERED: Final[dict[str, Callable[[SearchParameter], list[str]]]] = {
    "token": _of_token,
    "string": _of_string,
    "reference": _of_reference,
    "uri": _of_uri,
}
