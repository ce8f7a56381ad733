"""FHIRPath Patch (https://hl7.org/fhir/R4/fhirpatch.html)."""

from typing import Any

import pytest

from fhir_server.definitions.fhirpath_patch import parse_fhirpath_patch
from fhir_server.fhir.errors import FhirError, Issues
from fhir_server.fhir.patch import PatchFailed
from tests.fixtures_store import loaded

Json = Any


def operation(kind: str, path: str, **parts: Json) -> Json:
    """One operation; numbers become indexes, text the name, dicts value parts."""
    listed: list[Json] = [
        {"name": "type", "valueCode": kind},
        {"name": "path", "valueString": path},
    ]
    for name, value in parts.items():
        if isinstance(value, int):
            listed.append({"name": name, "valueInteger": value})
        elif isinstance(value, str):
            listed.append({"name": name, "valueString": value})
        else:
            listed.append({"name": name, **value})
    return {"name": "operation", "part": listed}


def patched(resource: Json, *operations: Json) -> Json:
    """The resource after the operations."""
    parameters = {"resourceType": "Parameters", "parameter": list(operations)}
    structures = loaded().structures
    patch = parse_fhirpath_patch(structures, parameters, max_bytes=10_000, max_depth=32)
    return patch.apply(resource)


PATIENT: Json = {
    "resourceType": "Patient",
    "id": "a",
    "name": [{"use": "official", "family": "Okafor", "given": ["Ada", "B"]}, {"family": "Nick"}],
    "telecom": [
        {"system": "phone", "value": "1"},
        {"system": "email", "value": "2"},
        {"system": "phone", "value": "3"},
    ],
    "deceasedBoolean": False,
    "birthDate": "1980-02-29",
    "_birthDate": {"extension": [{"url": "urn:x", "valueString": "y"}]},
}


@pytest.mark.parametrize(
    ("one", "path", "expected"),
    [
        (operation("add", "Patient", name="gender", value={"valueCode": "female"}),
         ["gender"], "female"),
        (operation("add", "Patient", name="multipleBirth", value={"valueInteger": 2}),
         ["multipleBirthInteger"], 2),
        (operation("add", "Patient.name[0]", name="given", value={"valueString": "C"}),
         ["name", 0, "given"], ["Ada", "B", "C"]),
        (operation("add", "Patient", name="contact", value={"part": [
            {"name": "name", "valueHumanName": {"family": "X"}},
            {"name": "relationship", "valueCodeableConcept": {"text": "r"}},
            {"name": "gender", "valueCode": "male"}]}),
         ["contact"],
         [{"name": {"family": "X"}, "relationship": [{"text": "r"}], "gender": "male"}]),
        (operation("insert", "Patient.name[0].given", index=0, value={"valueString": "C"}),
         ["name", 0, "given"], ["C", "Ada", "B"]),
        (operation("insert", "Patient.name[0].given", index=2, value={"valueString": "C"}),
         ["name", 0, "given"], ["Ada", "B", "C"]),
        (operation("insert", "Patient.contact", index=0, value={"part": [
            {"name": "name", "valueHumanName": {"family": "X"}}]}),
         ["contact"], [{"name": {"family": "X"}}]),
        (operation("delete", "Patient.name.where(use = 'official')"),
         ["name"], [{"family": "Nick"}]),
        (operation("delete", "Patient.name[0].given[1]"), ["name", 0, "given"], ["Ada"]),
        (operation("delete", "Patient.contact"), ["id"], "a"),
        (operation("delete", "Patient.telecom.where(system='phone').last()"),
         ["telecom"], PATIENT["telecom"][:2]),
        (operation("replace", "Patient.birthDate", value={"valueDate": "1990"}),
         ["birthDate"], "1990"),
        (operation("replace", "Patient.deceased", value={"valueDateTime": "2020"}),
         ["deceasedDateTime"], "2020"),
        (operation("replace", "Patient.name.first().family", value={"valueString": "X"}),
         ["name", 0, "family"], "X"),
        (operation("replace", "Patient.name[1]", value={"valueHumanName": {"text": "X"}}),
         ["name", 1], {"text": "X"}),
        (operation("replace", "Patient.telecom.where(system='email').value",
                   value={"valueString": "X"}),
         ["telecom", 1, "value"], "X"),
        (operation("move", "Patient.telecom", source=0, destination=2),
         ["telecom"], [PATIENT["telecom"][1], PATIENT["telecom"][2], PATIENT["telecom"][0]]),
        (operation("add", "Resource", name="active", value={"valueBoolean": True}),
         ["active"], True),
    ],
)  # fmt: skip
def test_operations(one: Json, path: list[Any], expected: Json) -> None:
    """Each as the standard says; the resource given is left as it is."""
    found = patched(PATIENT, one)
    for step in path:
        found = found[step]
    assert found == expected
    assert PATIENT["telecom"][2]["value"] == "3"
    assert PATIENT["name"][0]["given"] == ["Ada", "B"]


def test_another_type_of_a_choice_replaces_the_old_one() -> None:
    """There is never more than one."""
    one = operation("replace", "Patient.deceased", value={"valueDateTime": "2020"})
    assert "deceasedBoolean" not in patched(PATIENT, one)


def test_what_is_deleted_takes_its_extensions_along() -> None:
    """And the last item its list."""
    after = patched(PATIENT, operation("delete", "Patient.birthDate"))
    assert not {"birthDate", "_birthDate"} & after.keys()
    after = patched({**PATIENT, "name": [{"text": "x"}]}, operation("delete", "Patient.name[0]"))
    assert "name" not in after


@pytest.mark.parametrize(
    "one",
    [
        operation("add", "Patient", name="birthDate", value={"valueDate": "1990"}),
        operation("add", "Patient", name="deceased", value={"valueDateTime": "1990"}),
        operation("add", "Patient", name="nonsense", value={"valueDate": "1990"}),
        operation("add", "Patient", name="resourceType", value={"valueCode": "Group"}),
        operation("add", "Patient.name", name="text", value={"valueString": "x"}),
        operation("add", "Patient.birthDate", name="id", value={"valueString": "x"}),
        operation("add", "Patient.contact", name="gender", value={"valueCode": "male"}),
        operation("add", "Patient", name="multipleBirth", value={"valueString": "x"}),
        operation("insert", "Patient.name[0].given", index=3, value={"valueString": "C"}),
        operation("insert", "Patient.birthDate", index=0, value={"valueDate": "1990"}),
        operation("insert", "Patient", index=0, value={"valueDate": "1990"}),
        operation("delete", "Patient.name"),
        operation("delete", "Patient"),
        operation("delete", "Patient.nonsense"),
        operation("delete", "Group.name"),
        operation("replace", "Patient.gender", value={"valueCode": "male"}),
        operation("replace", "Patient.name.given", value={"valueString": "x"}),
        operation("replace", "Patient", value={"valueString": "x"}),
        operation("move", "Patient.telecom", source=0, destination=3),
        operation("move", "Patient.contact", source=0, destination=0),
        operation("delete", "Patient.name.where(nonsense = 'x')"),
        operation("delete", "Patient.name.where((((use = 'x')"),
        operation("delete", "Patient.birthDate.extension('urn:x')"),
    ],
)
def test_what_does_not_fit_fails(one: Json) -> None:
    """And says which operation."""
    with pytest.raises(FhirError) as refused:
        patched(PATIENT, one)
    if isinstance(refused.value, PatchFailed):
        assert refused.value.expression == ("Parameters.parameter[0]",)


@pytest.mark.parametrize(
    "parameters",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": [7]},
        {"resourceType": "Parameters", "parameter": [{"name": "x", "part": []}]},
        {"resourceType": "Parameters", "parameter": [{"name": "operation"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [7]}]},
        {"resourceType": "Parameters", "parameter": [operation("nonsense", "Patient")]},
        {"resourceType": "Parameters", "parameter": [operation("delete", "")]},
        {"resourceType": "Parameters", "parameter": [operation("delete", "Patient name")]},
        {"resourceType": "Parameters", "parameter": [operation("delete", "Patient.repeat(x)")]},
        {"resourceType": "Parameters", "parameter": [operation("delete", "Patient.x" * 400)]},
        {"resourceType": "Parameters", "parameter": [operation("delete", "Patient", name="x")]},
        {"resourceType": "Parameters", "parameter": [operation("add", "Patient", name="x")]},
        {"resourceType": "Parameters",
         "parameter": [operation("add", "Patient", name="x", value={"valueA": 1, "valueB": 2})]},
        {"resourceType": "Parameters",
         "parameter": [operation("add", "Patient", name="x", value={"nonsense": 1})]},
        {"resourceType": "Parameters",
         "parameter": [operation("add", "Patient", name="x", value={"part": []})]},
        {"resourceType": "Parameters",
         "parameter": [operation("move", "Patient.name", source=-1, destination=0)]},
        {"resourceType": "Parameters", "parameter": [operation("delete", "Patient")] * 501},
    ],
)  # fmt: skip
def test_what_is_no_patch_is_malformed(parameters: Json) -> None:
    """Before anything is applied."""
    with pytest.raises(FhirError) as refused:
        parse_fhirpath_patch(loaded().structures, parameters, max_bytes=99, max_depth=9)
    assert not isinstance(refused.value, PatchFailed)


def test_all_malformed_operations_are_told_at_once() -> None:
    """With their places."""
    with pytest.raises(Issues) as refused:
        patched(PATIENT, {}, operation("delete", "Patient.name[0]"), {})
    assert [one.expression for one in refused.value.issues] == [
        ("Parameters.parameter[0]",),
        ("Parameters.parameter[2]",),
    ]


def test_deeply_nested_conditions_end_in_a_refusal() -> None:
    """Not in a stack overflow."""
    condition = "(" * 200 + "use = 'official'" + ")" * 200
    with pytest.raises(FhirError):
        patched(PATIENT, operation("delete", f"Patient.name.where({condition}).nonsense"))
