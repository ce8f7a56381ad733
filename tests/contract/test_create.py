"""create (https://hl7.org/fhir/R4/http.html#create)."""

import pytest

from tests.contract.conftest import Client, Server, patient


def test_create_answers_201_with_location_and_representation(
    client: Client, server: Server
) -> None:
    """Location names the version, under the configured base and not under the Host header."""
    answer = client.post("Patient", patient(), Host="elsewhere.example")
    assert answer.status == 201
    assert answer.json["meta"]["versionId"] == "1"
    assert answer.headers["Location"] == f"{server.base_url}/Patient/{answer.id}/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"].endswith(" GMT")
    assert client.get(f"Patient/{answer.id}").json == answer.json


def test_create_ignores_id_version_and_time_of_the_body(client: Client) -> None:
    """They are the server's to give."""
    meta = {"versionId": "77", "lastUpdated": "2001-01-01T00:00:00Z", "tag": [{"code": "x"}]}
    answer = client.post("Patient", patient(id="mine", meta=meta))
    assert answer.status == 201
    assert answer.id != "mine"
    assert answer.json["meta"]["versionId"] == "1"
    assert answer.json["meta"]["lastUpdated"] > "2026"
    assert answer.json["meta"]["tag"] == [{"code": "x"}]
    assert client.get("Patient/mine").status == 404


@pytest.mark.parametrize("ignored", ["not an id", 7, None, ["a"]])
def test_create_ignores_even_an_impossible_id(client: Client, ignored: object) -> None:
    """What is ignored is not judged."""
    assert client.post("Patient", patient(id=ignored)).status == 201


def test_create_with_return_minimal_has_no_body(client: Client) -> None:
    """Location and ETag tell all."""
    answer = client.post("Patient", patient(), Prefer="return=minimal")
    assert (answer.status, answer.body) == (201, b"")
    assert client.get(answer.headers["Location"]).status == 200


def test_create_with_return_operation_outcome(client: Client) -> None:
    """An OperationOutcome without errors."""
    answer = client.post("Patient", patient(), Prefer="return=OperationOutcome")
    assert answer.status == 201
    assert [one["severity"] for one in answer.issues] == ["information"]


@pytest.mark.usefixtures("unchanged")
def test_create_refuses_parameters(client: Client) -> None:
    """None is offered."""
    assert client.post("Patient?identifier=a", patient()).status == 400
