"""Each invariant of R4 and each rule of ours refuses what breaks it, at its element."""

import pytest

from fhir_server.definitions.invariants import RULES
from fhir_server.fhir.codec import ExactDecimal
from fhir_server.fhir.errors import FhirError
from fhir_server.fhir.outcome import status_of
from fhir_server.fhir.types import Json

UCUM = "http://unitsofmeasure.org"
TIME = {"start": "2026-03-29T09:00:00Z", "end": "2026-03-29T09:30:00Z"}
BACKWARDS = {"start": TIME["end"], "end": TIME["start"]}

# structure, key (or details), element of the issue, what breaks it, what keeps it
CASES: list[tuple[str, str, str, Json, Json]] = [
    ("Appointment", "app-2", "end", {"status": "proposed", "start": TIME["start"]},
     {"status": "booked", **TIME}),
    ("Appointment", "app-3", "start", {"status": "booked"}, {"status": "waitlist"}),
    ("Appointment", "app-4", "cancelationReason",
     {"status": "booked", "cancelationReason": {}, **TIME},
     {"status": "noshow", "cancelationReason": {}, **TIME}),
    ("Appointment", "start-after-end", "end", {"status": "booked", **BACKWARDS},
     {"status": "booked", "start": TIME["start"], "end": TIME["start"]}),
    ("Appointment.participant", "app-1", "", {"status": "accepted"}, {"type": [{}]}),
    ("Slot", "start-after-end", "end", {"start": TIME["start"], "end": TIME["start"]}, TIME),
    ("Slot", "start-after-end", "end", BACKWARDS, {"start": TIME["start"], "_end": {"id": "e"}}),
    ("AppointmentResponse", "apr-1", "", {}, {"actor": {}}),
    ("AppointmentResponse", "start-after-end", "end", {"actor": {}, **BACKWARDS},
     {"actor": {}, **TIME}),
    ("Patient.contact", "pat-1", "", {"gender": "male"}, {"telecom": [{}]}),
    ("Organization", "org-1", "", {"active": True}, {"_name": {"id": "n"}}),
    ("Organization", "org-2", "address", {"name": "x", "address": [{}, {"use": "home"}]},
     {"name": "x", "address": [{"use": "work"}]}),
    ("Organization", "org-3", "telecom", {"name": "x", "telecom": [{"use": "home"}]},
     {"name": "x", "telecom": [{"use": "work"}]}),
    ("Group", "grp-1", "member", {"actual": False, "member": [{}]},
     {"actual": True, "member": [{}]}),
    ("AuditEvent.entity", "sev-1", "", {"name": "x", "query": "eA=="}, {"query": "eA=="}),
    ("Task", "inv-1", "lastModified", {"authoredOn": "2026-03-30", "lastModified": "2026-03-29"},
     {"authoredOn": "2026-03-29T12:00:00Z", "lastModified": "2026-03-29"}),
    ("Consent", "ppc-1", "", {}, {"policyRule": {}}),
    ("CoverageEligibilityResponse.insurance.item", "ces-1", "",
     {"category": {}, "productOrService": {}}, {"category": {}}),
    ("ServiceRequest", "prr-1", "orderDetail", {"orderDetail": [{}]},
     {"orderDetail": [{}], "code": {}}),
    ("Measure.group.stratifier", "mea-1", "", {"code": {}, "component": [{}]},
     {"component": [{}]}),
    ("MeasureReport", "mrp-1", "group", {"type": "data-collection", "group": [{}]},
     {"type": "summary", "group": [{}]}),
    ("MeasureReport.group.stratifier.stratum", "mrp-2", "", {}, {"value": {}}),
    ("Parameters.parameter", "inv-1", "", {"name": "x"}, {"name": "x", "valueString": "y"}),
    ("Parameters.parameter", "inv-1", "", {"valueString": "y", "part": [{}]}, {"resource": {}}),
    ("Questionnaire", "que-2", "item",
     {"item": [{"linkId": "1", "item": [{"linkId": "2"}]}, {"linkId": "2"}]},
     {"item": [{"linkId": "1"}, {"linkId": "2"}]}),
    ("Questionnaire.item", "que-1", "item", {"type": "group"}, {"type": "group", "item": [{}]}),
    ("Questionnaire.item", "que-1", "item", {"type": "display", "item": [{}]},
     {"type": "string", "item": [{}]}),
    ("Questionnaire.item", "que-3", "code", {"type": "display", "code": [{}]},
     {"type": "string", "code": [{}]}),
    ("Questionnaire.item", "que-4", "answerOption",
     {"type": "choice", "answerOption": [{}], "answerValueSet": "x"},
     {"type": "choice", "answerOption": [{}]}),
    ("Questionnaire.item", "que-5", "type", {"type": "boolean", "answerOption": [{}]},
     {"type": "integer", "answerOption": [{}]}),
    ("Questionnaire.item", "que-6", "", {"type": "display", "required": True},
     {"type": "string", "required": True}),
    ("Questionnaire.item", "que-8", "initial",
     {"type": "group", "item": [{}], "initial": [{}]}, {"type": "string", "initial": [{}]}),
    ("Questionnaire.item", "que-9", "readOnly", {"type": "display", "readOnly": True},
     {"type": "string", "readOnly": True}),
    ("Questionnaire.item", "que-10", "maxLength", {"type": "date", "maxLength": 1},
     {"type": "text", "maxLength": 1}),
    ("Questionnaire.item", "que-11", "initial",
     {"type": "choice", "answerOption": [{}], "initial": [{}]},
     {"type": "choice", "initial": [{}]}),
    ("Questionnaire.item", "que-12", "enableBehavior",
     {"type": "string", "enableWhen": [{}, {}, {}]},
     {"type": "string", "enableWhen": [{}, {}, {}], "enableBehavior": "any"}),
    ("Questionnaire.item", "que-13", "initial", {"type": "string", "initial": [{}, {}]},
     {"type": "string", "initial": [{}, {}], "repeats": True}),
    ("Questionnaire.item.enableWhen", "que-7", "answer",
     {"operator": "exists", "answerString": "x"}, {"operator": "exists", "answerBoolean": True}),
    ("QuestionnaireResponse.item", "qrs-1", "item", {"answer": [{}], "item": [{}]},
     {"item": [{}]}),
    ("Extension", "ext-1", "", {"url": "x"}, {"url": "x", "valueString": "y"}),
    ("Extension", "ext-1", "", {"extension": [{}], "_valueString": {}}, {"extension": [{}]}),
    ("Period", "per-1", "end", {"start": "2026-02", "end": "2026-01-31"},
     {"start": "2026-02-10", "end": "2026-02"}),
    ("ContactPoint", "cpt-2", "system", {"value": "1"}, {"value": "1", "system": "phone"}),
    ("Attachment", "att-1", "contentType", {"data": "eA=="}, {"url": "x"}),
    ("Quantity", "qty-3", "system", {"code": "mg"}, {"code": "mg", "system": UCUM}),
    ("Age", "age-1", "", {"value": 0, "code": "a"}, {"value": 1, "code": "a", "system": UCUM}),
    ("Age", "age-1", "", {"value": 1}, {"unit": "a"}),
    ("Count", "cnt-3", "", {"value": ExactDecimal("1.0"), "code": "1"},
     {"value": 1, "code": "1"}),
    ("Distance", "dis-1", "", {"value": 1, "code": "m", "system": "x"}, {"value": 1, "code": "m"}),
    ("Duration", "drt-1", "", {"code": "h"}, {"value": 1, "code": "h", "system": UCUM}),
    ("Range", "rng-2", "high", {"low": {"value": 2}, "high": {"value": 1}},
     {"low": {"value": 2, "code": "g"}, "high": {"value": 1, "code": "kg"}}),
    ("Ratio", "rat-1", "", {"numerator": {}}, {"numerator": {}, "denominator": {}}),
    ("Ratio", "rat-1", "", {}, {"extension": [{}]}),
    ("Timing.repeat", "tim-1", "durationUnit", {"duration": 1},
     {"duration": 1, "durationUnit": "h"}),
    ("Timing.repeat", "tim-2", "periodUnit", {"period": 1}, {"period": 1, "periodUnit": "h"}),
    ("Timing.repeat", "tim-4", "duration", {"duration": -1, "durationUnit": "h"}, {}),
    ("Timing.repeat", "tim-5", "period", {"period": -1, "periodUnit": "h"}, {}),
    ("Timing.repeat", "tim-6", "period", {"periodMax": 1},
     {"periodMax": 1, "period": 1, "periodUnit": "h"}),
    ("Timing.repeat", "tim-7", "duration", {"durationMax": 1},
     {"durationMax": 1, "duration": 1, "durationUnit": "h"}),
    ("Timing.repeat", "tim-8", "count", {"countMax": 1}, {"countMax": 1, "count": 1}),
    ("Timing.repeat", "tim-9", "offset", {"offset": 1, "when": ["C"]},
     {"offset": 1, "when": ["MORN"]}),
    ("Timing.repeat", "tim-10", "timeOfDay", {"timeOfDay": ["09:00:00"], "when": ["MORN"]},
     {"timeOfDay": ["09:00:00"]}),
    ("DataRequirement.codeFilter", "drq-1", "", {}, {"path": "x"}),
    ("DataRequirement.dateFilter", "drq-2", "", {"path": "x", "searchParam": "y"},
     {"searchParam": "y"}),
    ("Expression", "exp-1", "", {"language": "text/fhirpath"}, {"reference": "x"}),
    ("TriggerDefinition", "trd-1", "", {"type": "periodic", "data": [{}], "timingDate": "2026"},
     {"type": "periodic", "timingDate": "2026"}),
    ("TriggerDefinition", "trd-2", "condition",
     {"type": "named-event", "name": "x", "condition": {}},
     {"type": "data-added", "data": [{}], "condition": {}}),
    ("TriggerDefinition", "trd-3", "type", {"type": "named-event"},
     {"type": "data-added", "data": [{}]}),
]  # fmt: skip


def _broken(structure: str, node: Json) -> list[FhirError]:
    return [error for rule in RULES[structure] for error in rule(node, "X")]


def _name(error: FhirError) -> str:
    return error.details or error.diagnostics.rpartition("(")[2].rstrip(")")


@pytest.mark.parametrize(("structure", "key", "element", "wrong", "right"), CASES)
def test_rule(structure: str, key: str, element: str, wrong: Json, right: Json) -> None:
    """A rule refuses what breaks it with 422 at its element, and nothing else."""
    found = _broken(structure, wrong)
    assert [_name(error) for error in found] == [key]
    assert found[0].expression == (f"X.{element}".rstrip("."),)
    assert status_of(found[0]) == 422
    assert _broken(structure, right) == []


def test_every_rule_has_a_case() -> None:
    """No rule goes untested."""
    tested = {structure: set[str]() for structure in RULES}
    for structure, key, *_ in CASES:
        tested[structure].add(key)
    assert {name: len(keys) for name, keys in tested.items()} == {
        name: len(rules) for name, rules in RULES.items()
    }
