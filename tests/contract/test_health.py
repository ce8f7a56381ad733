"""/health/live, /health/ready, /metrics."""

import socket

import pytest

from tests.contract.conftest import Client, patient, start_server


def test_live_and_ready_need_no_token(anonymous: Client) -> None:
    """Each check is told by name."""
    assert anonymous.get("/health/live").status == 200
    answer = anonymous.get("/health/ready")
    assert answer.status == 200
    assert answer.json["status"] == "ready"
    assert answer.json["checks"] == {"mongodb": "ok", "redis": "ok"}
    assert answer.json["sequencer_lag_seconds"] >= 0
    assert anonymous.send("HEAD", "/health/ready").status == 200


def test_not_ready_without_redis(
    mongodb_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """503 that names what is missing; alive all the same."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        running = start_server(mongodb_url, url, tmp_path_factory.mktemp("no-redis"))
        asking = Client(running.base_url, None)
        answer, alive = asking.get("/health/ready"), asking.get("/health/live")
        asking.close()
        running.stop()
    assert (answer.status, alive.status) == (503, 200)
    assert answer.json["status"] == "not ready"
    assert answer.json["checks"] == {"mongodb": "ok", "redis": "not reachable"}


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
