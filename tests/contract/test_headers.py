"""What every answer carries, on success and refusal."""

import http.client
import json
import re
from urllib.parse import urlsplit

import pytest

from tests.contract.conftest import Client, patient


@pytest.mark.parametrize(
    "path", ["Patient/$meta", "Patient?_count=1", "Patient/nowhere", "Nonsense"]
)
def test_every_answer_has_the_security_headers_and_a_request_id(client: Client, path: str) -> None:
    """Also refusals."""
    answer = client.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["X-Request-Id"])


def test_a_sane_request_id_is_echoed(client: Client) -> None:
    """So that a client's log and the server's can be joined."""
    assert client.get("metadata", X_Request_Id="abc-123.X").headers["X-Request-Id"] == "abc-123.X"


@pytest.mark.parametrize("given", ["a" * 65, "a b", "<script>", "", "-a", "é"])
def test_other_request_ids_are_replaced(client: Client, given: str) -> None:
    """Nobody writes into our log what he likes."""
    echoed = client.get("metadata", X_Request_Id=given).headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", echoed)


def _sent(
    client: Client, path: str, headers: list[tuple[str, str]], body: bytes
) -> tuple[int, str]:
    """Status and diagnostics of a request with exactly these headers."""
    parts = urlsplit(f"{client.base_url}/{path}")
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.putrequest("POST", parts.path)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        told = json.loads(response.read())
    finally:
        connection.close()
    return response.status, str(told.get("issue", [{}])[0].get("diagnostics"))


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("If-Match", 'W/"1"'),
        ("If-None-Match", '"1"'),
        ("If-None-Exist", "identifier=a"),
        ("Content-Type", "application/fhir+json"),
        ("Authorization", "Bearer other"),
        ("Idempotency-Key", "abc"),
    ],
)
def test_what_can_mean_one_thing_only_is_sent_once(client: Client, name: str, value: str) -> None:
    """Nobody guesses which of two was meant; also when both are equal, in any case of letters."""
    plain = {"authorization": f"Bearer {client.token}", "content-type": "application/fhir+json"}
    headers = [*plain.items(), (name, value), (name.lower(), value)]
    status, told = _sent(client, "Patient", headers, json.dumps(patient()).encode())
    assert (status, name in told) == (400, True), told


def test_lists_may_come_in_parts(client: Client) -> None:
    """A repeated Prefer is one list, as RFC 9110 says."""
    headers = [("Authorization", f"Bearer {client.token}")]
    headers += [("Content-Type", "application/fhir+json"), ("Prefer", "handling=strict")]
    headers += [("Prefer", "return=OperationOutcome"), ("Prefer", "respond-async")]
    status, told = _sent(client, "Patient", headers, json.dumps(patient()).encode())
    assert (status, told != "None") == (201, True)
