"""conditional delete (https://hl7.org/fhir/R4/http.html#cdelete)."""

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import Client, Json, Server, appointment, patient, schedule, slot


def identified(value: str, **changed: Json) -> Json:
    """A Patient with an identifier of system `urn:mrn`."""
    return patient(identifier=[{"system": "urn:mrn", "value": value}], **changed)


def test_one_matches_and_is_deleted(client: Client) -> None:
    """204, and it is gone."""
    value = time_ordered_id()
    stored = client.created(identified(value))
    answer = client.delete(f"Patient?identifier={value}")
    assert (answer.status, answer.headers["ETag"]) == (204, 'W/"2"')
    assert client.get(f"Patient/{stored['id']}").status == 410


@pytest.mark.usefixtures("unchanged")
def test_nothing_matches_and_it_is_204(client: Client) -> None:
    """There is nothing to delete."""
    assert client.delete("Patient?identifier=nobody").status == 204


def test_several_match_and_it_is_412(client: Client, server: Server) -> None:
    """Where only single deletes are declared."""
    value = time_ordered_id()
    client.created(identified(value))
    client.created(identified(value))
    before = server.everything()
    answer = client.delete(f"Patient?identifier={value}")
    assert (answer.status, answer.codes) == (412, ["multiple-matches"])
    assert server.everything() == before


def test_several_are_deleted_where_that_is_declared(client: Client) -> None:
    """All free Slots of a Schedule, and no other."""
    owner = client.created(schedule())
    slots = [client.created(slot(owner["id"], start)) for start in (0, 15, 30, 45)]
    client.created(appointment(slots[:1]))
    answer = client.delete(f"Slot?schedule=Schedule/{owner['id']}&status=free")
    assert answer.status == 204
    assert [client.get(f"Slot/{one['id']}").status for one in slots] == [200, 410, 410, 410]


def test_one_that_cannot_be_deleted_keeps_all(client: Client, server: Server) -> None:
    """All or nothing: an Appointment holds one of the Slots."""
    owner = client.created(schedule())
    slots = [client.created(slot(owner["id"], start)) for start in (0, 15)]
    client.created(appointment(slots[:1]))
    before = server.everything()
    answer = client.delete(f"Slot?schedule=Schedule/{owner['id']}")
    assert (answer.status, answer.codes) == (409, ["conflict"])
    assert server.everything() == before


def test_if_match_is_honoured(client: Client) -> None:
    """It is about the match."""
    value = time_ordered_id()
    client.created(identified(value))
    assert client.delete(f"Patient?identifier={value}", If_Match='W/"2"').status == 412
    assert client.delete(f"Patient?identifier={value}", If_Match='W/"1"').status == 204
    assert client.delete(f"Patient?identifier={value}", If_Match="*").status == 412


@pytest.mark.parametrize("path", ["Patient", "Slot", "Slot?", "Slot?nonsense=1", "Slot?_count=2"])
@pytest.mark.usefixtures("unchanged")
def test_without_legal_criteria_nothing_is_deleted(client: Client, path: str) -> None:
    """Least of all everything."""
    assert client.delete(path).status == 400


def test_it_is_not_declared_for_audit_events(client: Client) -> None:
    """They cannot be deleted at all."""
    assert client.delete("AuditEvent?type=a").status == 405


@pytest.mark.usefixtures("unchanged")
def test_it_needs_the_right_to_search(server: Server) -> None:
    """Else it would tell what is there."""
    writer = Client(server.base_url, server.token("system/Patient.d"))
    answer = writer.delete("Patient?identifier=a")
    writer.close()
    assert answer.status == 403
