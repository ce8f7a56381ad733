"""batch (https://hl7.org/fhir/R4/http.html#transaction)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import (
    Client,
    Server,
    appointment,
    patient,
    schedule,
    slot,
    start_server,
)
from tests.contract.test_transaction import entry, send, statuses


def test_each_entry_stands_alone(client: Client) -> None:
    """200 as a whole, a status and an OperationOutcome for each that fails."""
    stored = client.created(patient())
    answer = send(
        client,
        entry("GET", f"Patient/{stored['id']}"),
        entry("POST", "Patient", patient(gender="m")),
        entry("POST", "Patient", patient()),
        entry("GET", "Patient/nowhere"),
        entry("PUT", f"Patient/{stored['id']}", patient(id=stored["id"]), ifMatch='W/"9"'),
        entry("GET", "Nonsense"),
        {"request": 7},
        entry("DELETE", "AuditEvent/1"),
        kind="batch",
    )
    assert answer.json["type"] == "batch-response"
    assert statuses(answer) == ["200", "400", "201", "404", "412", "404", "400", "405"]
    entries = answer.json["entry"]
    assert entries[0]["resource"] == stored
    outcome = entries[1]["response"]["outcome"]
    assert outcome["issue"][0]["expression"] == ["Bundle.entry[1].resource.gender"]
    assert all("outcome" in one["response"] for one in entries[3:])
    created = entries[2]["resource"]
    assert client.get(f"Patient/{created['id']}").status == 200


def test_every_write_tells_where_its_version_is(client: Client, server: Server) -> None:
    """Updates too, other than by header."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    answer = send(client, entry("PUT", path, patient(id=stored["id"])), kind="batch")
    response = answer.json["entry"][0]["response"]
    assert response["location"] == f"{server.base_url}/{path}/_history/2"
    assert response["etag"] == 'W/"2"'


def test_deletions_come_first_and_reads_last(client: Client) -> None:
    """The same order as in a transaction."""
    stored, other = client.created(patient()), client.created(patient())
    answer = send(
        client,
        entry("GET", f"Patient/{stored['id']}"),
        entry("GET", f"Patient/{other['id']}"),
        entry("PUT", f"Patient/{other['id']}", patient(id=other["id"], active=True)),
        entry("DELETE", f"Patient/{stored['id']}"),
        kind="batch",
    )
    assert statuses(answer) == ["410", "200", "200", "204"]
    assert answer.json["entry"][1]["resource"]["active"] is True


def test_conditional_reads(client: Client) -> None:
    """304 when the client has the version already."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    answer = send(
        client,
        entry("GET", path, ifNoneMatch='W/"1"'),
        entry("GET", path, ifModifiedSince="2999-01-01T00:00:00Z"),
        entry("HEAD", path),
        kind="batch",
    )
    assert statuses(answer) == ["304", "304", "200"]
    assert not any("resource" in one for one in answer.json["entry"])


def test_operations_work_inside(client: Client) -> None:
    """$book, and what it refuses."""
    owner = client.created(schedule())
    free = client.created(slot(owner["id"], 0))
    wanted = appointment([free], status="proposed")
    parameters = {
        "resourceType": "Parameters",
        "parameter": [{"name": "appointment-resource", "resource": wanted}],
    }
    booking = entry("POST", "Appointment/$book", parameters)
    answer = send(client, booking, booking, kind="batch")
    assert sorted(statuses(answer)) == ["201", "409"]


def test_entries_may_not_refer_to_each_other(client: Client) -> None:
    """Only a transaction knows their addresses."""
    basic = {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": "urn:uuid:7"}}
    answer = send(
        client,
        entry("POST", "Basic", basic),
        entry("POST", "Patient", patient(), "urn:uuid:7"),
        kind="batch",
    )
    assert statuses(answer) == ["400", "201"]


def test_each_entry_needs_its_right(server: Server) -> None:
    """The others work."""
    limited = Client(server.base_url, server.token("system/Patient.cruds"))
    basic = {"resourceType": "Basic", "code": {"text": "x"}}
    answer = send(
        limited, entry("POST", "Basic", basic), entry("POST", "Patient", patient()), kind="batch"
    )
    limited.close()
    assert statuses(answer) == ["403", "201"]


def test_conditional_creates_in_one_batch_create_one(client: Client) -> None:
    """They are independent, and still exclude each other."""
    value = time_ordered_id()
    resource = patient(identifier=[{"system": "urn:mrn", "value": value}])
    one = entry("POST", "Patient", resource, ifNoneExist=f"identifier={value}")
    assert sorted(statuses(send(client, *[one] * 20, kind="batch"))) == ["200"] * 19 + ["201"]


def test_an_empty_batch_is_fine(client: Client) -> None:
    """There is nothing to do."""
    assert send(client, kind="batch").json["type"] == "batch-response"


@pytest.fixture(scope="module")
def narrow(
    mongodb_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """A client of a server that takes small Bundles only."""
    folder: Path = tmp_path_factory.mktemp("narrow")
    running = start_server(
        mongodb_url, redis_url, folder, max_bundle_entries=3, max_bundle_bytes=2_000
    )
    opened = Client(running.base_url, running.token("system/*.cruds"))
    yield opened
    opened.close()
    running.stop()


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_limits_are_settings(narrow: Client, kind: str) -> None:
    """Too many entries or bytes are 413, and nothing is written."""
    one = entry("POST", "Patient", patient())
    assert send(narrow, *[one] * 3, kind=kind).status == 200
    many = send(narrow, *[one] * 4, kind=kind)
    assert (many.status, many.codes) == (413, ["too-long"])
    long = entry("POST", "Patient", patient(name=[{"family": "x" * 2_000}]))
    assert send(narrow, long, kind=kind).status == 413
    assert narrow.get("Patient?_count=0").json["total"] % 3 == 0
