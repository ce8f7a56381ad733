"""Invariants of the datatypes (https://hl7.org/fhir/R4/datatypes.html)."""

from collections.abc import Mapping

from fhir_server.definitions.invariants.rule import (
    Holds,
    Rule,
    any_of,
    has,
    has_choice,
    invariant,
    needs,
    not_both,
    one_of,
)
from fhir_server.fhir.codec import encode_json
from fhir_server.fhir.dates import parse
from fhir_server.fhir.types import Json

_UCUM = "http://unitsofmeasure.org"
_MEALS_ALONE = frozenset({"C", "CM", "CD", "CV"})


def _is_period(period: Json) -> bool:
    start, end = period.get("start"), period.get("end")
    return start is None or end is None or parse(start).low <= parse(end).high


def _has_ucum_unit(quantity: Json) -> bool:
    is_coded = has(quantity, "code") or not has(quantity, "value")
    return is_coded and quantity.get("system", _UCUM) == _UCUM


def _is_age(quantity: Json) -> bool:
    return _has_ucum_unit(quantity) and quantity.get("value", 1) > 0


def _is_count(quantity: Json) -> bool:
    is_whole = b"." not in encode_json(quantity.get("value"))
    return _has_ucum_unit(quantity) and quantity.get("code", "1") == "1" and is_whole


def _is_duration(quantity: Json) -> bool:
    return not has(quantity, "code") or (quantity.get("system") == _UCUM and has(quantity, "value"))


def _is_range(bounds: Json) -> bool:
    low, high = bounds.get("low", {}), bounds.get("high", {})
    if "value" not in low or "value" not in high or low.get("code") != high.get("code"):
        return True  # Different units cannot be compared.
    return bool(low["value"] <= high["value"])


def _is_ratio(ratio: Json) -> bool:
    is_paired = has(ratio, "numerator") == has(ratio, "denominator")
    return is_paired and has(ratio, "numerator", "extension")


def _is_not_negative(name: str) -> Holds:
    return lambda node: node.get(name, 0) >= 0


def _offsets_an_event(repeat: Json) -> bool:
    if not has(repeat, "offset"):
        return True
    return has(repeat, "when") and not _MEALS_ALONE & set(repeat.get("when", ()))


def _has_what_its_type_needs(trigger: Json) -> bool:
    kind = trigger.get("type", "")
    if kind == "named-event":
        return has(trigger, "name")
    if kind == "periodic":
        return has_choice(trigger, "timing")
    return not kind.startswith("data-") or has(trigger, "data")


_FILTER = one_of("path", "searchParam")

RULES: Mapping[str, tuple[Rule, ...]] = {
    "Extension": (
        invariant(
            "ext-1",
            "",
            "either a value or extensions must be given",
            lambda it: ("extension" in it) != has_choice(it, "value"),
        ),
    ),
    "Period": (invariant("per-1", "end", "must not be before start", _is_period),),
    "ContactPoint": (
        invariant("cpt-2", "system", "is needed beside a value", needs("value", "system")),
    ),
    "Attachment": (
        invariant("att-1", "contentType", "is needed beside data", needs("data", "contentType")),
    ),
    "Quantity": (invariant("qty-3", "system", "is needed beside a code", needs("code", "system")),),
    "Age": (invariant("age-1", "", "must be positive and have a UCUM code of time", _is_age),),
    "Count": (invariant("cnt-3", "", "must be whole and have the UCUM code 1", _is_count),),
    "Distance": (invariant("dis-1", "", "must have a UCUM code of length", _has_ucum_unit),),
    "Duration": (
        invariant("drt-1", "", "with a code it must have a value and UCUM's system", _is_duration),
    ),
    "Range": (invariant("rng-2", "high", "must not be lower than low", _is_range),),
    "Ratio": (
        invariant(
            "rat-1",
            "",
            "numerator and denominator must both be given, or neither and an extension",
            _is_ratio,
        ),
    ),
    "Timing.repeat": (
        invariant(
            "tim-1", "durationUnit", "is needed beside duration", needs("duration", "durationUnit")
        ),
        invariant("tim-2", "periodUnit", "is needed beside period", needs("period", "periodUnit")),
        invariant("tim-4", "duration", "must not be negative", _is_not_negative("duration")),
        invariant("tim-5", "period", "must not be negative", _is_not_negative("period")),
        invariant("tim-6", "period", "is needed beside periodMax", needs("periodMax", "period")),
        invariant(
            "tim-7", "duration", "is needed beside durationMax", needs("durationMax", "duration")
        ),
        invariant("tim-8", "count", "is needed beside countMax", needs("countMax", "count")),
        invariant("tim-9", "offset", "needs a when that is not a meal itself", _offsets_an_event),
        invariant("tim-10", "timeOfDay", "excludes when", not_both("timeOfDay", "when")),
    ),
    "DataRequirement.codeFilter": (
        invariant("drq-1", "", "either a path or a searchParam must be given", _FILTER),
    ),
    "DataRequirement.dateFilter": (
        invariant("drq-2", "", "either a path or a searchParam must be given", _FILTER),
    ),
    "Expression": (
        invariant(
            "exp-1", "", "an expression or a reference is needed", any_of("expression", "reference")
        ),
    ),
    "TriggerDefinition": (
        invariant(
            "trd-1",
            "",
            "data and timing exclude each other",
            lambda it: not (has(it, "data") and has_choice(it, "timing")),
        ),
        invariant("trd-2", "condition", "needs data", needs("condition", "data")),
        invariant("trd-3", "type", "what this type needs is missing", _has_what_its_type_needs),
    ),
}
"""The rules of each structure, by its key."""
