"""conditional update (https://hl7.org/fhir/R4/http.html#cond-update)."""

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import Client, Json, Server, patient


def identified(value: str, **changed: Json) -> Json:
    """A Patient with an identifier of system `urn:mrn`."""
    return patient(identifier=[{"system": "urn:mrn", "value": value}], **changed)


def test_one_matches_and_is_updated(client: Client) -> None:
    """200 with the next version, whether or not the body has its id."""
    value = time_ordered_id()
    stored = client.created(identified(value))
    path = f"Patient?identifier=urn:mrn|{value}"
    answer = client.put(path, identified(value, active=True))
    assert (answer.status, answer.id, answer.headers["ETag"]) == (200, stored["id"], 'W/"2"')
    answer = client.put(path, identified(value, id=stored["id"]))
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"3"')


def test_nothing_matches_and_it_is_created(client: Client) -> None:
    """201 at an id of the server's choice."""
    value = time_ordered_id()
    answer = client.put(f"Patient?identifier={value}", identified(value))
    assert answer.status == 201
    assert answer.headers["Location"].endswith(f"/Patient/{answer.id}/_history/1")


def test_nothing_matches_and_the_body_has_an_id(client: Client) -> None:
    """Created at that id, as by an update."""
    value = time_ordered_id()
    answer = client.put(f"Patient?identifier={value}", identified(value, id=f"own-{value}"))
    assert (answer.status, answer.id) == (201, f"own-{value}")


def test_nothing_matches_and_the_id_is_taken(client: Client, server: Server) -> None:
    """409: the resource with that id is another one."""
    other = client.created(patient())
    before = server.everything()
    answer = client.put("Patient?identifier=nobody", identified("nobody", id=other["id"]))
    assert (answer.status, answer.codes) == (409, ["conflict"])
    assert server.everything() == before


def test_one_matches_and_the_body_has_another_id(client: Client, server: Server) -> None:
    """400, and nothing is written."""
    value = time_ordered_id()
    client.created(identified(value))
    before = server.everything()
    answer = client.put(f"Patient?identifier={value}", identified(value, id="another"))
    assert (answer.status, answer.codes) == (400, ["invalid"])
    assert answer.expressions == ["Patient.id"]
    assert server.everything() == before


def test_several_match_and_it_is_412(client: Client, server: Server) -> None:
    """Nothing is written."""
    value = time_ordered_id()
    client.created(identified(value))
    client.created(identified(value))
    before = server.everything()
    answer = client.put(f"Patient?identifier={value}", identified(value))
    assert (answer.status, answer.codes) == (412, ["multiple-matches"])
    assert server.everything() == before


def test_if_match_is_honoured(client: Client) -> None:
    """It is about the match."""
    value = time_ordered_id()
    client.created(identified(value))
    path = f"Patient?identifier={value}"
    assert client.put(path, identified(value), If_Match='W/"2"').status == 412
    assert client.put(path, identified(value), If_Match='W/"1"').status == 200
    other = client.put("Patient?identifier=nobody", identified("nobody"), If_Match='W/"1"')
    assert other.status == 412


@pytest.mark.parametrize("path", ["Patient", "Patient?", "Patient?nonsense=1", "Patient?_count=1"])
@pytest.mark.usefixtures("unchanged")
def test_without_legal_criteria_it_is_400(client: Client, path: str) -> None:
    """Nothing is written."""
    assert client.put(path, patient()).status == 400


@pytest.mark.usefixtures("unchanged")
def test_an_invalid_body_is_refused(client: Client) -> None:
    """As by an update."""
    answer = client.put("Patient?identifier=a", patient(gender="m"))
    assert (answer.status, answer.expressions) == (400, ["Patient.gender"])


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("scope", ["system/Patient.u", "system/Patient.us", "system/Patient.cs"])
def test_it_needs_every_right(server: Server, scope: str) -> None:
    """To search, to update, and to create when nothing matches."""
    writer = Client(server.base_url, server.token(scope))
    answer = writer.put("Patient?identifier=nobody", patient())
    writer.close()
    assert answer.status == 403
