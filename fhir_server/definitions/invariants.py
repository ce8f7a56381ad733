"""R4's invariants of the served types, and the server's own rules about them.

Written by hand, since interpreting FHIRPath for every write would cost more than the rest of it.
Keys are R4's (https://hl7.org/fhir/R4/appointment.html#invs, and so on). Where R4's expression
contradicts its own wording or code lists, the wording is followed: app-4 means `noshow`.
"""

from collections.abc import Callable, Iterable, Mapping

from fhir_server.fhir.dates import parse
from fhir_server.fhir.errors import BusinessRule, FhirError, Invariant
from fhir_server.fhir.types import Json, Resource

Rule = Callable[[Json, str], list[FhirError]]
"""Gives what is wrong with an element at a path, nothing when all is well."""

_UCUM = "http://unitsofmeasure.org"
_WITHOUT_TIME = frozenset({"proposed", "cancelled", "waitlist"})
_WITH_CANCELATION = frozenset({"cancelled", "noshow"})
_WITH_OPTIONS = frozenset(
    {
        "choice", "open-choice", "decimal", "integer", "date", "dateTime", "time", "string",
        "quantity",
    }
)  # fmt: skip
_WITH_LENGTH = frozenset(
    {"boolean", "decimal", "integer", "string", "text", "url", "open-choice"}
)


def has(node: Json, *names: str) -> bool:
    """Whether any of the elements is there, with a value or only with extensions."""
    return any(name in node or f"_{name}" in node for name in names)


def has_choice(node: Json, group: str) -> bool:
    """Whether a choice element is there, of whatever type."""
    return any(key.startswith((group, f"_{group}")) for key in node)


def count(node: Json, name: str) -> int:
    """How many items an array has."""
    return len(node.get(name, ()))


def _invariant(key: str, element: str, words: str, holds: Callable[[Json], bool]) -> Rule:
    return _rule(Invariant, f" ({key})", element, words, holds)


def _own(element: str, words: str, holds: Callable[[Json], bool]) -> Rule:
    return _rule(BusinessRule, "", element, words, holds)


def _rule(
    kind: type[FhirError], suffix: str, element: str, words: str, holds: Callable[[Json], bool]
) -> Rule:
    def check(node: Json, path: str) -> list[FhirError]:
        if holds(node):
            return []
        where = f"{path}.{element}" if element else path
        return [kind(f"{where}: {words}{suffix}", expression=[where])]

    return check


def _not_after(start: str | None, end: str | None) -> bool:
    """Whether the start may come before the end, as far as both are told."""
    return start is None or end is None or parse(start).low <= parse(end).high


def _is_before(start: str | None, end: str | None) -> bool:
    if start is None or end is None:
        return True
    return parse(start, instant=True).low < parse(end, instant=True).low


def _is_not_reversed(start: str | None, end: str | None) -> bool:
    if start is None or end is None:
        return True
    return parse(start, instant=True).low <= parse(end, instant=True).low


def _without(items: Iterable[Json], name: str, value: str) -> bool:
    return not any(item.get(name) == value for item in items)


def _is_one(*facts: bool) -> bool:
    return sum(facts) == 1


def _has_distinct_link_ids(questionnaire: Json) -> bool:
    ids: list[str] = []
    waiting = list(questionnaire.get("item", ()))
    while waiting:
        item = waiting.pop()
        ids.append(item["linkId"])
        waiting.extend(item.get("item", ()))
    return len(ids) == len(set(ids))


def _is_item_of_its_type(item: Json) -> bool:
    if item["type"] == "group":
        return has(item, "item")
    return item["type"] != "display" or not has(item, "item")


def _has_ucum_unit(quantity: Json) -> bool:
    return (has(quantity, "code") or not has(quantity, "value")) and (
        quantity.get("system", _UCUM) == _UCUM
    )


def _is_count(quantity: Json) -> bool:
    value = quantity.get("value")
    return (
        _has_ucum_unit(quantity)
        and quantity.get("code", "1") == "1"
        and (value is None or "." not in str(value))
    )


def _is_range(value: Json) -> bool:
    low, high = (value.get(end, {}) for end in ("low", "high"))
    if not {"value"} <= low.keys() & high.keys() or low.get("code") != high.get("code"):
        return True
    return bool(low["value"] <= high["value"])


def _is_stratifier(stratifier: Json) -> bool:
    return _is_one(has(stratifier, "code", "description", "criteria"), has(stratifier, "component"))


def _has_trigger_parts(trigger: Json) -> bool:
    kind = trigger["type"]
    needed = {"named-event": has(trigger, "name"), "periodic": has_choice(trigger, "timing")}
    return needed.get(kind, not kind.startswith("data-") or has(trigger, "data"))


RULES: Mapping[str, tuple[Rule, ...]] = {
    "Appointment": (
        _invariant(
            "app-2",
            "end",
            "start and end are both there or neither is",
            lambda a: has(a, "start") == has(a, "end"),
        ),
        _invariant(
            "app-3",
            "start",
            "only proposed, waitlist and cancelled appointments may have no start and end",
            lambda a: a["status"] in _WITHOUT_TIME or has(a, "start") or has(a, "end"),
        ),
        _invariant(
            "app-4",
            "cancelationReason",
            "only cancelled and noshow appointments have one",
            lambda a: not has(a, "cancelationReason") or a["status"] in _WITH_CANCELATION,
        ),
        _own(
            "end",
            "must not be before start",
            lambda a: _is_not_reversed(a.get("start"), a.get("end")),
        ),
    ),
    "Appointment.participant": (
        _invariant("app-1", "", "a participant has a type or an actor", lambda p: has(p, "type", "actor")),
    ),
    "Slot": (
        _own("end", "must be after start", lambda s: _is_before(s.get("start"), s.get("end"))),
    ),
    "AppointmentResponse": (
        _invariant(
            "apr-1",
            "",
            "a response has a participantType or an actor",
            lambda r: has(r, "participantType", "actor"),
        ),
        _own(
            "end",
            "must not be before start",
            lambda r: _is_not_reversed(r.get("start"), r.get("end")),
        ),
    ),
    "Patient.contact": (
        _invariant(
            "pat-1",
            "",
            "a contact has a name, telecom, address or organization",
            lambda c: has(c, "name", "telecom", "address", "organization"),
        ),
    ),
    "Organization": (
        _invariant("org-1", "", "needs an identifier or a name", lambda o: has(o, "identifier", "name")),
        _invariant(
            "org-2",
            "address",
            "an organization's is never of use home",
            lambda o: _without(o.get("address", ()), "use", "home"),
        ),
        _invariant(
            "org-3",
            "telecom",
            "an organization's is never of use home",
            lambda o: _without(o.get("telecom", ()), "use", "home"),
        ),
    ),
    "Group": (
        _invariant(
            "grp-1",
            "member",
            "only an actual group has members",
            lambda g: not has(g, "member") or g.get("actual") is True,
        ),
    ),
    "AuditEvent.entity": (
        _invariant(
            "sev-1",
            "",
            "an entity has a name or a query, not both",
            lambda e: not (has(e, "name") and has(e, "query")),
        ),
    ),
    "Task": (
        _invariant(
            "inv-1",
            "lastModified",
            "must not be before authoredOn",
            lambda t: _not_after(t.get("authoredOn"), t.get("lastModified")),
        ),
    ),
    "Questionnaire": (
        _invariant("que-2", "item", "every linkId occurs once", _has_distinct_link_ids),
    ),
    "Questionnaire.item": (
        _invariant("que-1", "item", "groups have items, display items have none", _is_item_of_its_type),
        _invariant(
            "que-3", "code", "a display item has none", lambda i: i["type"] != "display" or not has(i, "code")
        ),
        _invariant(
            "que-4",
            "answerOption",
            "excludes answerValueSet",
            lambda i: not (has(i, "answerOption") and has(i, "answerValueSet")),
        ),
        _invariant(
            "que-5",
            "type",
            "this type of item has no answer options",
            lambda i: i["type"] in _WITH_OPTIONS or not has(i, "answerOption", "answerValueSet"),
        ),
        _invariant(
            "que-6",
            "",
            "a display item is neither required nor repeats",
            lambda i: i["type"] != "display" or not has(i, "required", "repeats"),
        ),
        _invariant(
            "que-8",
            "initial",
            "groups and display items have none",
            lambda i: i["type"] not in ("group", "display") or not has(i, "initial"),
        ),
        _invariant(
            "que-9",
            "readOnly",
            "a display item has none",
            lambda i: i["type"] != "display" or not has(i, "readOnly"),
        ),
        _invariant(
            "que-10",
            "maxLength",
            "this type of item has none",
            lambda i: i["type"] in _WITH_LENGTH or not has(i, "maxLength"),
        ),
        _invariant(
            "que-11",
            "initial",
            "excludes answerOption",
            lambda i: not (has(i, "answerOption") and has(i, "initial")),
        ),
        _invariant(
            "que-12",
            "enableBehavior",
            "is needed with several enableWhen",
            lambda i: count(i, "enableWhen") <= 2 or has(i, "enableBehavior"),
        ),
        _invariant(
            "que-13",
            "initial",
            "only a repeating item has several",
            lambda i: count(i, "initial") <= 1 or i.get("repeats") is True,
        ),
    ),
    "Questionnaire.item.enableWhen": (
        _invariant(
            "que-7",
            "answer",
            "is a boolean with the operator exists",
            lambda e: e["operator"] != "exists" or has(e, "answerBoolean"),
        ),
    ),
    "QuestionnaireResponse.item": (
        _invariant(
            "qrs-1",
            "item",
            "items are below the item or its answers, not both",
            lambda i: not (has(i, "answer") and has(i, "item")),
        ),
    ),
    "Consent": (
        _invariant("ppc-1", "", "needs a policy or a policyRule", lambda c: has(c, "policy", "policyRule")),
    ),
    "CoverageEligibilityResponse.insurance.item": (
        _invariant(
            "ces-1",
            "",
            "has either a category or a productOrService",
            lambda i: _is_one(has(i, "category"), has(i, "productOrService")),
        ),
    ),
    "ServiceRequest": (
        _invariant(
            "prr-1",
            "orderDetail",
            "is only there beside a code",
            lambda r: not has(r, "orderDetail") or has(r, "code"),
        ),
    ),
    "Measure.group.stratifier": (
        _invariant("mea-1", "", "has either one criterion or components", _is_stratifier),
    ),
    "MeasureReport": (
        _invariant(
            "mrp-1",
            "group",
            "a report of type data-collection has none",
            lambda r: r["type"] != "data-collection" or not has(r, "group"),
        ),
    ),
    "MeasureReport.group.stratifier.stratum": (
        _invariant(
            "mrp-2",
            "",
            "has either a value or components",
            lambda s: _is_one(has(s, "value"), has(s, "component")),
        ),
    ),
    "Parameters.parameter": (
        _invariant(
            "inv-1",
            "",
            "has exactly one of value, resource and part",
            lambda p: _is_one(has_choice(p, "value"), has(p, "resource"), has(p, "part")),
        ),
    ),
    "Extension": (
        _invariant(
            "ext-1",
            "",
            "has either a value or extensions of its own",
            lambda e: ("extension" in e) != has_choice(e, "value"),
        ),
    ),
    "Period": (
        _invariant(
            "per-1",
            "end",
            "must not be before start",
            lambda p: _not_after(p.get("start"), p.get("end")),
        ),
    ),
    "ContactPoint": (
        _invariant(
            "cpt-2", "system", "is needed with a value", lambda c: not has(c, "value") or has(c, "system")
        ),
    ),
    "Attachment": (
        _invariant(
            "att-1",
            "contentType",
            "is needed with data",
            lambda a: not has(a, "data") or has(a, "contentType"),
        ),
    ),
    "Quantity": (
        _invariant(
            "qty-3", "system", "is needed with a code", lambda q: not has(q, "code") or has(q, "system")
        ),
    ),
    "Age": (
        _invariant(
            "age-1",
            "",
            "is a positive number of a UCUM unit of time, with its code",
            lambda q: _has_ucum_unit(q) and q.get("value", 1) > 0,
        ),
    ),
    "Count": (_invariant("cnt-3", "", "is a whole number of UCUM's unit 1", _is_count),),
    "Distance": (_invariant("dis-1", "", "has the code of a UCUM unit", _has_ucum_unit),),
    "Duration": (
        _invariant(
            "drt-1",
            "",
            "with a code it has a value and UCUM as system",
            lambda q: not has(q, "code") or (q.get("system") == _UCUM and has(q, "value")),
        ),
    ),
    "Range": (_invariant("rng-2", "high", "must not be lower than low", _is_range),),
    "Ratio": (
        _invariant(
            "rat-1",
            "",
            "has numerator and denominator, or neither and an extension",
            lambda r: has(r, "numerator") == has(r, "denominator")
            and has(r, "numerator", "extension"),
        ),
    ),
    "Timing.repeat": (
        _invariant(
            "tim-1", "durationUnit", "is needed", lambda t: not has(t, "duration") or has(t, "durationUnit")
        ),
        _invariant("tim-2", "periodUnit", "is needed", lambda t: not has(t, "period") or has(t, "periodUnit")),
        _invariant("tim-4", "duration", "must not be negative", lambda t: t.get("duration", 0) >= 0),
        _invariant("tim-5", "period", "must not be negative", lambda t: t.get("period", 0) >= 0),
        _invariant("tim-6", "period", "is needed", lambda t: not has(t, "periodMax") or has(t, "period")),
        _invariant(
            "tim-7", "duration", "is needed", lambda t: not has(t, "durationMax") or has(t, "duration")
        ),
        _invariant("tim-8", "count", "is needed", lambda t: not has(t, "countMax") or has(t, "count")),
        _invariant(
            "tim-9",
            "offset",
            "needs a when that is not a meal alone",
            lambda t: not has(t, "offset")
            or (has(t, "when") and not {"C", "CM", "CD", "CV"} & set(t.get("when", ()))),
        ),
        _invariant(
            "tim-10", "timeOfDay", "excludes when", lambda t: not (has(t, "timeOfDay") and has(t, "when"))
        ),
    ),
    "DataRequirement.codeFilter": (
        _invariant(
            "drq-1", "", "has either a path or a searchParam", lambda f: _is_one(has(f, "path"), has(f, "searchParam"))
        ),
    ),
    "DataRequirement.dateFilter": (
        _invariant(
            "drq-2", "", "has either a path or a searchParam", lambda f: _is_one(has(f, "path"), has(f, "searchParam"))
        ),
    ),
    "Expression": (
        _invariant("exp-1", "", "needs an expression or a reference", lambda e: has(e, "expression", "reference")),
    ),
    "TriggerDefinition": (
        _invariant(
            "trd-1", "", "data and timing exclude each other", lambda t: not (has(t, "data") and has_choice(t, "timing"))
        ),
        _invariant(
            "trd-2", "condition", "is only there beside data", lambda t: not has(t, "condition") or has(t, "data")
        ),
        _invariant("trd-3", "", "lacks what its type needs", _has_trigger_parts),
    ),
}
"""The rules of each structure, by its key."""


def check_contained(resource: Resource, path: str) -> list[FhirError]:
    """The rules about contained resources: dom-2 to dom-5, whatever shape they have."""
    found: list[FhirError] = []
    referred = _local_references({**resource, "text": None})
    for index, inner in enumerate(resource["contained"]):
        if not isinstance(inner, dict):
            continue
        where = f"{path}.contained[{index}]"
        meta = inner.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        facts = (
            (has(inner, "contained"), "contains another resource (dom-2)"),
            (
                f"#{inner.get('id')}" not in referred and "#" not in _local_references(inner),
                "is not referred to from anywhere in the resource (dom-3)",
            ),
            (has(meta, "versionId", "lastUpdated"), "has a versionId or lastUpdated (dom-4)"),
            (has(meta, "security"), "has a security label (dom-5)"),
        )
        found += [
            Invariant(f"{where}: a contained resource {words}", expression=[where])
            for is_broken, words in facts
            if is_broken
        ]
    return found


def _local_references(node: Json) -> set[str]:
    found: set[str] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, str) and one.startswith("#"):
            found.add(one)
    return found
