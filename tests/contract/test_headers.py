"""What every answer carries, on success and refusal."""

import re

import pytest

from tests.contract.conftest import Client


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
