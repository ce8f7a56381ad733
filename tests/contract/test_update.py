"""update (https://hl7.org/fhir/R4/http.html#update)."""

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import Client, Server, patient


def test_update_makes_the_next_version(client: Client) -> None:
    """200, the new ETag, and the content replaced as a whole."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    answer = client.put(path, {"resourceType": "Patient", "id": stored["id"], "active": True})
    assert answer.status == 200
    assert answer.headers["ETag"] == 'W/"2"'
    assert answer.headers["Location"] is None
    assert answer.json["meta"]["versionId"] == "2"
    assert "name" not in client.get(path).json


def test_update_at_a_new_id_creates(client: Client, server: Server) -> None:
    """201 with Location; the id is the client's."""
    logical_id = f"own.{time_ordered_id()}"
    answer = client.put(f"Patient/{logical_id}", patient(id=logical_id))
    assert answer.status == 201
    assert answer.headers["Location"] == f"{server.base_url}/Patient/{logical_id}/_history/1"


def test_update_revives_something_deleted(client: Client) -> None:
    """201, and the version goes on counting."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    client.delete(path)
    answer = client.put(path, patient(id=stored["id"]))
    assert answer.status == 201
    assert answer.headers["ETag"] == 'W/"3"'
    assert client.get(path).status == 200


def test_update_without_the_right_to_create_does_not_create(client: Client, server: Server) -> None:
    """The scope u alone changes what is there and creates nothing."""
    logical_id = time_ordered_id()
    path = f"Patient/{logical_id}"
    writer = Client(server.base_url, server.token("system/Patient.u"))
    assert writer.put(path, patient(id=logical_id)).status == 403
    assert client.get(path).status == 404
    client.put(path, patient(id=logical_id))
    assert writer.put(path, patient(id=logical_id)).status == 200
    writer.close()


@pytest.mark.parametrize("etag", ['W/"1"', '"1"', "*"])
def test_update_with_the_current_version_in_if_match(client: Client, etag: str) -> None:
    """Weak, strong, or any."""
    stored = client.created(patient())
    answer = client.put(f"Patient/{stored['id']}", patient(id=stored["id"]), If_Match=etag)
    assert answer.status == 200


def test_update_with_another_version_in_if_match_is_412(client: Client) -> None:
    """Somebody else's change is not overwritten."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    client.put(path, patient(id=stored["id"]))
    answer = client.put(path, patient(id=stored["id"], active=False), If_Match='W/"1"')
    assert answer.status == 412
    assert answer.codes == ["conflict"]
    assert "active" not in client.get(path).json


@pytest.mark.usefixtures("unchanged")
def test_if_match_on_nothing_is_412(client: Client) -> None:
    """What the client has seen is not there."""
    answer = client.put("Patient/nowhere", patient(id="nowhere"), If_Match='W/"1"')
    assert answer.status == 412


@pytest.mark.parametrize("etag", ["1", "W/1", 'W/"one"', "", '"1", "2"'])
def test_malformed_if_match_is_400(client: Client, etag: str) -> None:
    """Never ignored."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    answer = client.put(path, patient(id=stored["id"]), If_Match=etag)
    assert answer.status == 400
    assert answer.codes == ["invalid"]
    assert client.get(path).headers["ETag"] == 'W/"1"'


def test_if_none_match_star_only_creates(client: Client) -> None:
    """A second one is 412."""
    logical_id = time_ordered_id()
    path, body = f"Patient/{logical_id}", patient(id=logical_id)
    assert client.put(path, body, If_None_Match="*").status == 201
    assert client.put(path, body, If_None_Match="*").status == 412


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("body", "code"),
    [(patient(), "required"), (patient(id="other"), "invalid")],
    ids=["missing", "different"],
)
def test_the_body_must_have_the_id_of_the_address(client: Client, body: object, code: str) -> None:
    """400 naming the id, as R4 demands."""
    answer = client.put("Patient/nowhere", body)
    assert answer.status == 400
    assert answer.codes == [code]
    assert answer.expressions == ["Patient.id"]


@pytest.mark.usefixtures("unchanged")
def test_update_at_an_id_takes_no_criteria(client: Client) -> None:
    """Either the id names the resource or the criteria do."""
    assert client.put("Patient/nowhere?x=y", patient(id="nowhere")).status == 400


def test_update_honours_prefer(client: Client) -> None:
    """As create does."""
    stored = client.created(patient())
    path, body = f"Patient/{stored['id']}", patient(id=stored["id"])
    assert client.put(path, body, Prefer="return=minimal").body == b""
    told = client.put(path, body, Prefer="return=OperationOutcome")
    assert told.issues[0]["severity"] == "information"
