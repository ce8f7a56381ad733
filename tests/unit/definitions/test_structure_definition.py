"""Resources that break R4 are refused with every issue and its place; what R4 allows is taken."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.definitions.loader import load
from fhir_server.definitions.registry import Registry
from fhir_server.definitions.structure_definition import validate
from fhir_server.fhir.codec import encode, parse
from fhir_server.fhir.errors import FhirError, Issues
from fhir_server.fhir.outcome import operation_outcome, status_of
from fhir_server.fhir.types import Json, Resource
from tests.populated import populated

REGISTRY = load()
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">A visit</div>'

Found = list[tuple[str, str, str]]


def appointment(**changes: Json) -> Resource:
    """A booked appointment with one participant."""
    return {
        "resourceType": "Appointment",
        "id": "a",
        "status": "booked",
        "start": "2026-03-29T09:00:00+01:00",
        "end": "2026-03-29T09:30:00+01:00",
        "participant": [{"actor": {"reference": "Patient/1"}, "status": "accepted"}],
    } | changes


def slot(**changes: Json) -> Resource:
    """A free slot."""
    return {
        "resourceType": "Slot",
        "schedule": {"reference": "Schedule/1"},
        "status": "free",
        "start": "2026-03-29T09:00:00Z",
        "end": "2026-03-29T09:30:00Z",
    } | changes


def patient(**changes: Json) -> Resource:
    """A patient of whom nothing is known."""
    return {"resourceType": "Patient", "active": True} | changes


def without(resource: Resource, *names: str) -> Resource:
    """The resource without some of its elements."""
    return {name: value for name, value in resource.items() if name not in names}


def problem(resource: Json) -> FhirError | None:
    """The refusal of a resource, or None."""
    try:
        validate(REGISTRY, resource)
    except FhirError as error:
        return error
    return None


def issues(resource: Json) -> Found:
    """Severity, code and expression of every issue."""
    error = problem(resource)
    if error is None:
        return []
    return [
        (one["severity"], one["code"], ",".join(one["expression"]))
        for one in operation_outcome(error)["issue"]
    ]


@pytest.mark.parametrize(
    ("resource", "code", "expression"),
    [
        (appointment(colour="red"), "structure", "Appointment.colour"),
        (appointment(_colour={}), "structure", "Appointment._colour"),
        (appointment(fhir_comments=["x"]), "structure", "Appointment.fhir_comments"),
        (appointment(_participant={}), "structure", "Appointment._participant"),
        (appointment(_resourceType={"id": "x"}), "structure", "Appointment._resourceType"),
        (appointment(status="bookd"), "code-invalid", "Appointment.status"),
        (appointment(status=7), "value", "Appointment.status"),
        (appointment(status=["booked"]), "structure", "Appointment.status"),
        (appointment(status=None), "structure", "Appointment.status"),
        (appointment(status=""), "structure", "Appointment.status"),
        (appointment(description={}), "structure", "Appointment.description"),
        (appointment(start="2026-03-29T09:00:00"), "value", "Appointment.start"),
        (appointment(start="2026-03-29"), "value", "Appointment.start"),
        (appointment(start="2026-02-30T09:00:00Z"), "value", "Appointment.start"),
        (appointment(start="2026-03-29T24:00:00Z"), "value", "Appointment.start"),
        (appointment(created="yesterday"), "value", "Appointment.created"),
        (appointment(priority=-1), "value", "Appointment.priority"),
        (appointment(priority="1"), "value", "Appointment.priority"),
        (appointment(priority=True), "value", "Appointment.priority"),
        (appointment(minutesDuration=0), "value", "Appointment.minutesDuration"),
        (appointment(minutesDuration=2**31), "value", "Appointment.minutesDuration"),
        (appointment(minutesDuration=30.0), "value", "Appointment.minutesDuration"),
        (appointment(participant=[]), "structure", "Appointment.participant"),
        (appointment(participant={}), "structure", "Appointment.participant"),
        (appointment(participant=["x"]), "structure", "Appointment.participant[0]"),
        (appointment(participant=[None]), "structure", "Appointment.participant[0]"),
        (without(appointment(), "participant"), "required", "Appointment.participant"),
        (without(appointment(), "status"), "required", "Appointment.status"),
        (appointment(slot=[{"reference": "Slot/1", "x": 1}]), "structure", "Appointment.slot[0].x"),
        (appointment(slot=[{}]), "structure", "Appointment.slot[0]"),
        (appointment(slot={"reference": "Slot/1"}), "structure", "Appointment.slot"),
        (appointment(id="not/an id"), "value", "Appointment.id"),
        (appointment(id="x" * 65), "value", "Appointment.id"),
        (appointment(meta={"profile": ["a b"]}), "value", "Appointment.meta.profile[0]"),
        (appointment(meta={"profile": []}), "structure", "Appointment.meta.profile"),
        (appointment(meta={"profile": [None]}), "structure", "Appointment.meta.profile[0]"),
        (appointment(meta=[]), "structure", "Appointment.meta"),
        (appointment(description="bell\x07"), "value", "Appointment.description"),
        (patient(deceasedBoolean=True, deceasedDateTime="2026"), "structure", "Patient.deceased"),
        (patient(deceasedBoolean="true"), "value", "Patient.deceasedBoolean"),
        (
            patient(photo=[{"contentType": "image/png", "data": "a*=="}]),
            "value",
            "Patient.photo[0].data",
        ),
        (
            {"resourceType": "Group", "type": "person"},
            "required",
            "Group.actual",
        ),
        (
            {
                "resourceType": "Group",
                "type": "person",
                "actual": True,
                "characteristic": [{"code": {"text": "x"}, "exclude": False}],
            },
            "required",
            "Group.characteristic[0].value",
        ),
    ],
)
def test_broken_shape_is_refused(resource: Resource, code: str, expression: str) -> None:
    """Each way to break the base shape is one error issue at its element, and status 400."""
    assert issues(resource) == [("error", code, expression)]
    error = problem(resource)
    assert error is not None
    assert status_of(error) == 400


@pytest.mark.parametrize(
    ("resource", "expression"),
    [
        ({}, "Resource"),
        ({"id": "a"}, "Resource"),
        ({"resourceType": 7}, "Resource"),
        ({"resourceType": "Appointmint"}, "Resource"),
        ({"resourceType": "Medication"}, "Resource"),
        ({"resourceType": "Element"}, "Resource"),
        (
            patient(contained=[{"resourceType": "Nothing"}]),
            "Patient.contained[0],Patient.contained[0]",
        ),
    ],
)
def test_unknown_type_is_refused(resource: Resource, expression: str) -> None:
    """A resource needs a type that R4 has and this server knows."""
    found = issues(resource)
    assert ("error", "structure", expression.partition(",")[0]) in found
    assert len(found) == expression.count(",") + 1


def test_all_issues_are_told_at_once() -> None:
    """Shape first, then the constraints that can still be judged, each with its place."""
    resource = appointment(
        status="bookd",
        colour="red",
        end=None,
        slot=[{"reference": "Slot"}],
        participant=[{"status": "accepted"}, {"actor": {"reference": "Patient/1"}}],
    )
    assert issues(resource) == [
        ("error", "code-invalid", "Appointment.status"),
        ("error", "structure", "Appointment.end"),
        ("error", "required", "Appointment.participant[1].status"),
        ("error", "structure", "Appointment.colour"),
        ("error", "value", "Appointment.slot[0].reference"),
        ("error", "invariant", "Appointment.participant[0]"),
    ]


def test_issues_have_a_bound() -> None:
    """A hopeless resource gets no endless answer."""
    error = problem(appointment(participant=[{"status": "x"}] * 200))
    assert isinstance(error, Issues)
    assert len(error.issues) == 50


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        (appointment(status="bookd"), '"bookd", not one of proposed, pending, booked'),
        (appointment(start="2026"), "a date and time with seconds and time zone"),
        (appointment(participant={}), "must be an array of Appointment.participant, not an object"),
        (without(appointment(), "status"), "Appointment.status is missing: give status"),
        (patient(telecom=[{"system": "x" * 99}]), f'"{"x" * 40}…"'),
        (appointment(slot=[{"reference": "Patient/1"}]), "it may point to Slot"),
    ],
)
def test_refusal_says_what_to_do(resource: Resource, words: str) -> None:
    """Diagnostics name what was found and what would be right."""
    assert words in str(problem(resource))


@pytest.mark.parametrize(
    "reference",
    [
        "Slot/1",
        "Slot/1/_history/2",
        "https://ehr.example/fhir/Slot/1",
        "https://ehr.example/fhir/Slot/1/_history/2",
        "https://ehr.example/whatever?x=1",
        "urn:uuid:00000000-0000-0000-0000-000000000001",
        "urn:oid:1.2.3",
    ],
)
def test_reference_shapes_of_r4_are_taken(reference: str) -> None:
    """Relative, versioned, absolute and logical references are all legal."""
    assert issues(appointment(slot=[{"reference": reference}])) == []


@pytest.mark.parametrize(
    "reference",
    [
        "1",
        "Slot",
        "/Slot/1",
        "Slot/",
        "Slot/a b",
        "Slot/1/history/2",
        "Slot?identifier=1",
        "slot/1",
        "Nothing/1",
        "Patient/1",
        "https://ehr.example/fhir/Patient/1",
        "#not an id",
    ],
)
def test_other_references_are_refused(reference: str) -> None:
    """What is no reference, or points to a type that R4 does not allow there, is a value issue."""
    found = issues(appointment(slot=[{"reference": reference}]))
    assert found == [("error", "value", "Appointment.slot[0].reference")]


@pytest.mark.parametrize(
    "resource",
    [
        slot(),
        slot(_comment={"extension": [{"url": "urn:x", "valueBoolean": True}]}),
        slot(comment="x", _comment={"id": "c"}),
        without(slot(_start={"id": "s"}), "start"),
        patient(name=[{"given": ["Ana", None], "_given": [None, {"id": "g"}]}]),
        patient(name=[{"_given": [{"id": "g"}]}]),
        patient(name=[{"given": ["Ana"], "_given": [{"id": "g"}]}]),
        patient(extension=[{"url": "urn:x", "extension": [{"url": "y", "valueCode": "z"}]}]),
        patient(extension=[{"url": "urn:x", "_valueString": {"id": "v"}}]),
        patient(birthDate="1970-02"),
        patient(deceasedDateTime="2016-12-31T23:59:60Z"),
        patient(text={"status": "generated", "div": DIV}),
        patient(
            contained=[{"resourceType": "Organization", "id": "o", "name": "x"}],
            managingOrganization={"reference": "#o"},
        ),
        patient(
            contained=[{"resourceType": "Medication", "id": "m", "code": {"text": "x"}}],
            extension=[{"url": "urn:x", "valueReference": {"reference": "#m"}}],
        ),
        patient(
            contained=[
                {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": "#"}}
            ]
        ),
        without(appointment(status="proposed"), "start", "end"),
        appointment(status="noshow", cancelationReason={"text": "ill"}),
        appointment(end="2026-03-29T09:00:00+01:00"),
        {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": slot()}, {"resource": patient()}],
        },
    ],
)
def test_what_r4_allows_is_taken_and_left_alone(resource: Resource) -> None:
    """Legal resources pass, and validation changes nothing in them."""
    before = copy.deepcopy(resource)
    assert issues(resource) == []
    assert resource == before


@pytest.mark.parametrize(
    ("resource", "found"),
    [
        (
            patient(name=[{"given": [None], "_given": [None]}]),
            [
                ("error", "structure", "Patient.name[0].given[0]"),
                ("error", "structure", "Patient.name[0]._given[0]"),
            ],
        ),
        (
            patient(name=[{"given": ["Ana"], "_given": [None, {"id": "g"}]}]),
            [("error", "structure", "Patient.name[0]._given")],
        ),
        (
            patient(name=[{"_given": {"id": "g"}}]),
            [("error", "structure", "Patient.name[0]._given")],
        ),
        (patient(_birthDate="x"), [("error", "structure", "Patient._birthDate")]),
        (patient(_birthDate={}), [("error", "structure", "Patient._birthDate")]),
        (patient(_birthDate={"value": 1}), [("error", "structure", "Patient._birthDate.value")]),
        (
            patient(deceasedBoolean=False, _deceasedDateTime={"id": "d"}),
            [("error", "structure", "Patient.deceased")],
        ),
        (
            patient(extension=[{"valueString": "x"}]),
            [("error", "required", "Patient.extension[0].url")],
        ),
        (
            patient(extension=[{"url": "urn:x"}]),
            [("error", "invariant", "Patient.extension[0]")],
        ),
        (
            patient(extension=[{"url": "u", "valueCode": "c", "extension": [{"url": "v"}]}]),
            [
                ("error", "invariant", "Patient.extension[0].extension[0]"),
                ("error", "invariant", "Patient.extension[0]"),
            ],
        ),
        (
            patient(extension=[{"url": "u", "valueCode": "c", "valueString": "c"}]),
            [("error", "structure", "Patient.extension[0].value")],
        ),
    ],
)
def test_primitive_extensions_and_choices(resource: Resource, found: Found) -> None:
    """Properties with an underscore, extensions and choices follow R4's JSON rules."""
    assert issues(resource) == found


@pytest.mark.parametrize(
    ("contained", "reference", "found"),
    [
        ([], "#o", [("structure", "contained"), ("invariant", "managingOrganization.reference")]),
        (
            [{"resourceType": "Organization", "id": "o", "name": "x"}],
            "#p",
            [("invariant", "contained[0]"), ("invariant", "managingOrganization.reference")],
        ),
        ([{"resourceType": "Organization", "id": "o"}], "#o", [("invariant", "contained[0]")]),
        (
            [{"resourceType": "Organization", "id": "o", "name": "x", "colour": "red"}],
            "#o",
            [("structure", "contained[0].colour")],
        ),
        (
            [{"resourceType": "Medication", "id": "o", "amount": None, "list": [{"x": ""}]}],
            "#o",
            [("structure", "contained[0].amount"), ("structure", "contained[0].list[0].x")],
        ),
        (
            [
                {
                    "resourceType": "Organization",
                    "id": "o",
                    "name": "x",
                    "meta": {
                        "versionId": "1",
                        "security": [{"code": "R", "system": "urn:x"}],
                    },
                    "contained": [{"resourceType": "Patient"}],
                }
            ],
            "#o",
            [("invariant", "contained[0]")] * 3,
        ),
    ],
)
def test_contained_resources_are_checked(
    contained: list[Json], reference: str, found: list[tuple[str, str]]
) -> None:
    """Contained resources are validated as any other, and dom-2 to dom-5 and ref-1 hold."""
    resource = patient(contained=contained, managingOrganization={"reference": reference})
    assert issues(resource) == [("error", code, f"Patient.{path}") for code, path in found]


@pytest.mark.parametrize(
    ("div", "code"),
    [
        ("<div>x</div>", "invariant"),
        ('<div xmlns="http://www.w3.org/1999/xhtml"> </div>', "invariant"),
        ('<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>', "invariant"),
        ('<div xmlns="http://www.w3.org/1999/xhtml">', "value"),
        ("text", "value"),
        (7, "value"),
    ],
)
def test_narrative_is_checked(div: Json, code: str) -> None:
    """A narrative that is no safe XHTML is refused at text.div."""
    found = issues(patient(text={"status": "generated", "div": div}))
    assert found == [("error", code, "Patient.text.div")]


def test_required_binding_of_a_concept() -> None:
    """A CodeableConcept with a required binding needs a coding of the value set."""
    measure: dict[str, Any] = {"resourceType": "Measure", "status": "draft"}
    system = "http://terminology.hl7.org/CodeSystem/measure-improvement-notation"
    right = {"improvementNotation": {"coding": [{"system": system, "code": "increase"}]}}
    assert issues(measure | right) == []
    for coding in ([{"code": "increase"}], [{"system": system, "code": "more"}], ["x"]):
        found = issues(measure | {"improvementNotation": {"coding": coding}})
        assert ("error", "code-invalid", "Measure.improvementNotation") in found


@pytest.mark.parametrize("type_name", sorted(REGISTRY.types))
@pytest.mark.parametrize("turn", range(6))
def test_every_element_of_every_type_is_known(type_name: str, turn: int) -> None:
    """A resource with all of R4's elements, and each choice in turn, has the right shape."""
    resource = populated(REGISTRY.structures, type_name, turn)
    assert [one for one in issues(resource) if one[1] not in ("invariant", "business-rule")] == []


@pytest.mark.parametrize("type_name", [*sorted(REGISTRY.types), "Parameters", "Bundle"])
@pytest.mark.parametrize("turn", range(2))
def test_rules_bear_primitives_without_value(type_name: str, turn: int) -> None:
    """A primitive may have an extension in place of its value, wherever it stands."""
    resource = populated(REGISTRY.structures, type_name, turn)
    bare = {"resourceType": type_name} | _without_values(resource)
    assert all(one[1] != "structure" for one in issues(bare))


def _without_values(node: Json) -> Json:
    beside = {"extension": [{"url": "urn:x", "valueBoolean": True}]}
    bare: dict[str, Json] = {}
    for key, value in node.items():
        first = value[0] if isinstance(value, list) else value
        if isinstance(first, dict):
            inner = _without_values(first)
            bare[key] = [inner] if isinstance(value, list) else inner
        elif key not in ("resourceType", "url"):
            bare[f"_{key}"] = [beside] if isinstance(value, list) else beside
        else:
            bare[key] = value
    return bare


JUNK: st.SearchStrategy[Json] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "#x", "\x00", "9999-12-31T23:59:59-14:00", "0001-01-01",
     [], {}, [None], [[]], [{}], {"x": 1}, {"extension": [{}]}, [1], 10**30]
)  # fmt: skip


@settings(max_examples=300)
@given(st.data())
def test_no_input_breaks_the_validation(data: st.DataObject) -> None:
    """Whatever stands anywhere in a resource, it is accepted or refused, and indexable if taken."""
    type_name = data.draw(st.sampled_from(sorted(REGISTRY.types)))
    resource = populated(REGISTRY.structures, type_name, data.draw(st.integers(0, 5)))
    for _ in range(data.draw(st.integers(1, 3))):
        _spoil(resource, data.draw)
    error = problem(resource)
    if error is None:
        for parameter in REGISTRY.types[type_name].search_parameters.values():
            parameter.extract(resource)
        assert parse(encode(resource), max_depth=64)
    else:
        assert status_of(error) in (400, 422)


def _spoil(resource: Resource, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    node: Json = resource
    while True:
        if not node:
            return
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or draw(st.booleans()):
            break
        node = node[key]
    if node is not resource or key != "resourceType":
        node[key] = copy.deepcopy(draw(JUNK))


def test_registry_is_the_checkouts(registry: Registry) -> None:
    """The fixture and this module read the same artefacts."""
    assert registry.artefact_hash == REGISTRY.artefact_hash
