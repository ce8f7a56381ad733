"""Invariants and rules of the served resource types, but for questionnaires.

Where R4's expression contradicts its own wording or code lists, the wording is followed: app-4
means the status `noshow`, and ppc-2 to ppc-5, which name the code system `something`, say nothing.
"""

from collections.abc import Iterable, Mapping

from fhir_server.definitions.invariants.rule import (
    Rule,
    any_of,
    business_rule,
    has,
    has_choice,
    invariant,
    needs,
    not_both,
    one_of,
)
from fhir_server.fhir.dates import parse
from fhir_server.fhir.types import Json

_WITHOUT_TIME = frozenset({"proposed", "cancelled", "waitlist"})
_WITH_CANCELATION = frozenset({"cancelled", "noshow"})
_START_AFTER_END = "start-after-end"


def _starts_before_end(node: Json) -> bool:
    start, end = node.get("start"), node.get("end")
    if start is None or end is None:
        return True
    return parse(start, instant=True).low < parse(end, instant=True).low


def _does_not_end_before_start(node: Json) -> bool:
    start, end = node.get("start"), node.get("end")
    if start is None or end is None:
        return True
    return parse(start, instant=True).low <= parse(end, instant=True).low


def _was_authored_first(task: Json) -> bool:
    authored, modified = task.get("authoredOn"), task.get("lastModified")
    return authored is None or modified is None or parse(authored).low <= parse(modified).high


def _none_at_home(items: Iterable[Json]) -> bool:
    return not any(item.get("use") == "home" for item in items)


def _has_one_content(parameter: Json) -> bool:
    facts = (has_choice(parameter, "value"), has(parameter, "resource"), has(parameter, "part"))
    return sum(facts) == 1


RULES: Mapping[str, tuple[Rule, ...]] = {
    "Appointment": (
        invariant(
            "app-2",
            "end",
            "start and end must both be given, or neither",
            lambda it: has(it, "start") == has(it, "end"),
        ),
        invariant(
            "app-3",
            "start",
            "start and end are needed unless the status is proposed, waitlist or cancelled",
            lambda it: it.get("status") in _WITHOUT_TIME or has(it, "start", "end"),
        ),
        invariant(
            "app-4",
            "cancelationReason",
            "only an appointment with the status cancelled or noshow has one",
            lambda it: not has(it, "cancelationReason") or it.get("status") in _WITH_CANCELATION,
        ),
        business_rule(
            _START_AFTER_END, "end", "must not be before start", _does_not_end_before_start
        ),
    ),
    "Appointment.participant": (
        invariant("app-1", "", "a type or an actor must be given", any_of("type", "actor")),
    ),
    "Slot": (business_rule(_START_AFTER_END, "end", "must be after start", _starts_before_end),),
    "AppointmentResponse": (
        invariant(
            "apr-1",
            "",
            "a participantType or an actor must be given",
            any_of("participantType", "actor"),
        ),
        business_rule(
            _START_AFTER_END, "end", "must not be before start", _does_not_end_before_start
        ),
    ),
    "Patient.contact": (
        invariant(
            "pat-1",
            "",
            "a name, telecom, address or organization must be given",
            any_of("name", "telecom", "address", "organization"),
        ),
    ),
    "Organization": (
        invariant("org-1", "", "an identifier or a name is needed", any_of("identifier", "name")),
        invariant(
            "org-2",
            "address",
            "an organization's is never of use home",
            lambda it: _none_at_home(it.get("address", ())),
        ),
        invariant(
            "org-3",
            "telecom",
            "an organization's is never of use home",
            lambda it: _none_at_home(it.get("telecom", ())),
        ),
    ),
    "Group": (
        invariant(
            "grp-1",
            "member",
            "only an actual group has members",
            lambda it: not has(it, "member") or it.get("actual") is True,
        ),
    ),
    "AuditEvent.entity": (
        invariant("sev-1", "", "name and query exclude each other", not_both("name", "query")),
    ),
    "Task": (
        invariant("inv-1", "lastModified", "must not be before authoredOn", _was_authored_first),
    ),
    "Consent": (
        invariant(
            "ppc-1", "", "a policy or a policyRule is needed", any_of("policy", "policyRule")
        ),
    ),
    "CoverageEligibilityResponse.insurance.item": (
        invariant(
            "ces-1",
            "",
            "either a category or a productOrService must be given",
            one_of("category", "productOrService"),
        ),
    ),
    "ServiceRequest": (
        invariant(
            "prr-1", "orderDetail", "is only allowed beside a code", needs("orderDetail", "code")
        ),
    ),
    "Measure.group.stratifier": (
        invariant(
            "mea-1",
            "",
            "either one criterion or components must be given",
            lambda it: has(it, "code", "description", "criteria") != has(it, "component"),
        ),
    ),
    "MeasureReport": (
        invariant(
            "mrp-1",
            "group",
            "a report of type data-collection has none",
            lambda it: it.get("type") != "data-collection" or not has(it, "group"),
        ),
    ),
    "MeasureReport.group.stratifier.stratum": (
        invariant(
            "mrp-2",
            "",
            "either a value or components must be given",
            one_of("value", "component"),
        ),
    ),
    "Parameters.parameter": (
        invariant(
            "inv-1",
            "",
            "exactly one of value, resource and part must be given",
            _has_one_content,
        ),
    ),
}
"""The rules of each structure, by its key."""
