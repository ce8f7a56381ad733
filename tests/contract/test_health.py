"""/health/live, /health/ready, /metrics."""

import pytest

from tests.contract.conftest import Client, patient


def test_live_and_ready_need_no_token(anonymous: Client) -> None:
    """Each check is told by name."""
    assert anonymous.get("/health/live").status == 200
    answer = anonymous.get("/health/ready")
    assert answer.status == 200
    assert answer.json["status"] == "ready"
    assert answer.json["checks"] == {"mongodb": "ok", "redis": "ok"}
    assert anonymous.send("HEAD", "/health/ready").status == 200


def test_metrics_count_requests_by_interaction_type_and_status(client: Client) -> None:
    """In Prometheus' format, without anything about a patient."""
    stored = client.created(patient())
    client.get(f"Patient/{stored['id']}")
    answer = client.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = answer.body.decode()
    assert 'fhir_server_requests_total{interaction="read",status="2xx",type="Patient"}' in text
    assert "fhir_server_request_seconds_bucket" in text
    assert stored["id"] not in text


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_only_reading_is_offered(client: Client, path: str) -> None:
    """405 with Allow."""
    answer = client.send("POST", path, {})
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
