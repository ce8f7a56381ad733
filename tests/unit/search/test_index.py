"""The index document of a resource, and the compartments it belongs to."""

import pytest

from fhir_server.definitions.registry import TypeDefinition
from fhir_server.search.index import build_index
from fhir_server.search.main_date import NO_DATE, main_date
from tests.searches import BASE_URL, definition, indexed, registry

APPOINTMENT = {
    "resourceType": "Appointment",
    "id": "a1",
    "meta": {"versionId": "1", "lastUpdated": "2026-11-20T12:00:00.000Z"},
    "status": "booked",
    "start": "2026-12-01T09:00:00Z",
    "slot": [{"reference": "Slot/s1"}],
    "participant": [
        {"actor": {"reference": "Patient/p1"}, "status": "accepted"},
        {"actor": {"reference": f"{BASE_URL}/Practitioner/d1"}, "status": "accepted"},
        {"actor": {"reference": "http://other.example/fhir/Patient/p2"}, "status": "accepted"},
        {"type": [{"text": "somebody"}], "status": "needs-action"},
    ],
}


def test_index_of_an_appointment() -> None:
    """Terms, the main date, the last update and the id; no date twice."""
    ix = indexed(APPOINTMENT).ix
    assert ix == {
        "t": [
            "actor=Patient/p1",
            "actor=Practitioner/d1",
            "actor=http://other.example/fhir/Patient/p2",
            "part-status=accepted",
            "part-status=http://hl7.org/fhir/participationstatus|accepted",
            "part-status=http://hl7.org/fhir/participationstatus|needs-action",
            "part-status=needs-action",
            "patient=Patient/p1",
            "patient=http://other.example/fhir/Patient/p2",
            "practitioner=Practitioner/d1",
            "slot=Slot/s1",
            "status=booked",
            "status=http://hl7.org/fhir/appointmentstatus|booked",
        ],
        "i": "a1",
        "s": 1_796_115_600_000_000,
        "u": 1_795_176_000_000_000,
    }


def test_compartments_are_those_of_our_own_resources() -> None:
    """A patient of another server is in no compartment of ours."""
    assert indexed(APPOINTMENT).acl == ["Patient/p1", "Practitioner/d1"]


def test_resource_is_in_its_own_compartment() -> None:
    """Whoever may see a patient's data may see the patient."""
    assert indexed({"resourceType": "Patient", "id": "p1"}).acl == ["Patient/p1"]
    assert indexed({"resourceType": "Patient"}).acl == []


def test_slot_is_in_no_compartment() -> None:
    """Slots are a directory."""
    slot = {"resourceType": "Slot", "id": "s", "schedule": {"reference": "Schedule/1"}}
    assert indexed(slot).acl == []


def test_missing_main_date_comes_last() -> None:
    """It is a number too, so that pages need no special case."""
    assert indexed({"resourceType": "Appointment", "id": "a"}).ix["s"] == NO_DATE


def test_period_is_sorted_by_its_start_and_searched_by_its_range() -> None:
    """A main date that is no instant is stored both ways."""
    ix = indexed({"resourceType": "Encounter", "period": {"start": "1970-01-01"}}).ix
    assert ix["s"] == 0
    assert ix["d"] == {"date": [{"l": 0, "h": 2**63 - 1}]}


def test_values_without_content_are_not_indexed() -> None:
    """Extensions, nulls, empty objects and dates nobody can read select nothing.

    What has some other content is known to be present.
    """
    patient = {
        "resourceType": "Patient",
        "name": [{"given": [None, "Ann"], "_given": [{"extension": []}, None]}, {}],
        "identifier": [{}, {"assigner": {"display": "x"}}],
        "telecom": [{"system": "phone"}],
        "_birthDate": {"extension": [{"url": "http://example.org", "valueBoolean": True}]},
        "communication": [{"language": {"text": "Spanish"}}, {"language": {"coding": [{}]}}],
        "generalPractitioner": [{"display": "Dr. No"}],
    }
    ix = indexed(patient).ix
    assert ix == {
        "t": [
            "deceased=false",
            "general-practitioner:present",
            "given=ann",
            "identifier:present",
            "language:text=spanish",
            "name=ann",
            "phone:present",
            "phonetic=AN",
            "telecom:present",
        ],
        "x": ["given=ann\tAnn", "name=ann\tAnn"],
    }
    odd = {"resourceType": "Patient", "birthDate": "someday"}
    assert "d" not in indexed(odd).ix


@pytest.mark.parametrize("resource_type", sorted(registry().types))
def test_every_declared_parameter_can_be_indexed(resource_type: str) -> None:
    """An empty resource of any type has an index document."""
    index = indexed({"resourceType": resource_type, "id": "x"})
    assert index.ix["i"] == "x"


@pytest.mark.parametrize("resource_type", sorted(registry().types))
def test_main_date_is_a_declared_date_parameter(resource_type: str) -> None:
    """The table names only what exists."""
    main = main_date(resource_type)
    if main is not None:
        parameter = definition(resource_type).search_parameters[main.code]
        assert parameter.type == "date"
        assert main.point == (parameter.datatypes == ("instant",))


def test_equal_definitions_are_not_confused() -> None:
    """What is compiled belongs to one definition, not to a type's name."""
    slot = definition("Slot")
    other = TypeDefinition("Slot", frozenset(), {}, {}, update_create=False)
    resource = {"resourceType": "Slot", "id": "s", "status": "free"}
    assert build_index(other, resource, BASE_URL).ix == {"t": [], "s": NO_DATE}
    assert "status=free" in build_index(slot, resource, BASE_URL).ix["t"]
