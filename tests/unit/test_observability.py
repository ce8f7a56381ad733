"""Logs in both formats, and metrics of several processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LOG = """
import logging
import structlog
from fhir_server.observability import configure_logging
configure_logging("{format}", "info")
structlog.get_logger("x").debug("hidden")
structlog.get_logger("x").info("seen", status=200)
logging.getLogger("some.library").warning("careful %s", "now")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("x").exception("failed")
"""

COUNT = """
from fhir_server.observability import request_meter
request_meter().observe("read", "Patient", 200, 0.01)
"""

COLLECT = """
from fhir_server.observability import metrics_text
print(metrics_text().decode())
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, for logging and metrics are process-wide."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )


def test_json_logs_are_one_object_a_line_on_standard_error() -> None:
    """Ours and the libraries'; standard output stays free for results."""
    done = run(LOG.format(format="json"))
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["seen", "careful now", "failed"]
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert "ZeroDivisionError" in lines[2]["exception"]


def test_console_logs_are_for_human_eyes() -> None:
    """No colours when nobody watches."""
    done = run(LOG.format(format="console"))
    assert "seen" in done.stderr
    assert "hidden" not in done.stderr
    assert "careful now" in done.stderr
    assert "\x1b[" not in done.stderr


@pytest.mark.parametrize("processes", [1, 3])
def test_metrics_of_all_processes_are_added_up(tmp_path: Path, processes: int) -> None:
    """With PROMETHEUS_MULTIPROC_DIR, whoever is asked tells of all."""
    for _ in range(processes):
        run(COUNT, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    text = run(COLLECT, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)).stdout
    wanted = 'fhir_server_requests_total{interaction="read",status="2xx",type="Patient"}'
    assert f"{wanted} {float(processes)}" in text
