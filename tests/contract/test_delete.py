"""delete (https://hl7.org/fhir/R4/http.html#delete)."""

import pytest

from tests.contract.conftest import Client, patient


def test_delete_hides_the_resource_and_keeps_its_history(client: Client) -> None:
    """204; then 410, found by no search, and one more version."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    answer = client.delete(path)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["ETag"] == 'W/"2"'
    assert client.get(path).status == 410
    assert "entry" not in client.get(f"Patient?_id={stored['id']}").json
    assert client.get(f"{path}/_history").json["total"] == 2


def test_deleting_twice_is_no_mistake(client: Client) -> None:
    """204 again, and no further version."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    client.delete(path)
    assert client.delete(path).status == 204
    assert client.get(f"{path}/_history").json["total"] == 2


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("logical_id", ["nowhere", "a_b", "a" * 65])
def test_deleting_nothing_is_no_mistake(client: Client, logical_id: str) -> None:
    """204, and nothing is written."""
    assert client.delete(f"Patient/{logical_id}").status == 204


def test_delete_honours_if_match(client: Client) -> None:
    """Another version is 412, the current one goes through."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    assert client.delete(path, If_Match='W/"2"').status == 412
    assert client.delete(path, If_Match="two").status == 400
    assert client.get(path).status == 200
    assert client.delete(path, If_Match='W/"1"').status == 204


@pytest.mark.usefixtures("unchanged")
def test_delete_at_an_id_takes_no_criteria(client: Client) -> None:
    """Either the id names the resource or the criteria do."""
    assert client.delete("Patient/nowhere?identifier=a").status == 400


def test_delete_may_tell_what_it_did(client: Client) -> None:
    """200 with an OperationOutcome when the client prefers one."""
    stored = client.created(patient())
    answer = client.delete(f"Patient/{stored['id']}", Prefer="return=OperationOutcome")
    assert answer.status == 200
    assert answer.issues[0]["severity"] == "information"
