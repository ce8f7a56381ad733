"""The demo, its walk through a day, and the loader, as commands against a running server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_server.embedded import process
from fhir_server.settings import PREFIX

PATIENT = "7d5b6f0e-6f6e-4c64-9d6c-0b8f2a3c1d11"


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of our commands, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "fhir_server", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
    )


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which a server with the demo clinic is running."""
    environment = os.environ | {
        PREFIX + "PORT": str(process.free_port()),
        PREFIX + "DATA_DIR": str(tmp_path_factory.mktemp("demo")),
        PREFIX + "WORKERS": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "fhir_server", "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            assert any(line.startswith("curl ") for line in server.stdout)
            yield environment
        finally:
            server.terminate()
            server.communicate(timeout=20)


def test_the_walk_through_a_day_succeeds(serving: dict[str, str]) -> None:
    """Tokens, a booking each way, a lost race, an answer, a cancellation, five notifications."""
    played = run(serving, "demo", "--walkthrough")
    assert (played.returncode, played.stderr) == (0, "")
    lines = played.stdout.splitlines()
    assert lines[0] == "the demo clinic is already there"
    assert lines[-1] == "done: everything arrived, in order, once"
    assert sum(line.startswith("    409 slot-taken") for line in lines) == 1
    received = [
        line.split() for line in lines[lines.index("[subscriber] received, in order:") : -1]
    ]
    numbered = [(words[0], words[2]) for words in received if words[0].endswith(":")]
    assert numbered == [
        ("1:", "pending"),
        ("2:", "booked"),
        ("3:", "booked"),
        ("4:", "booked"),
        ("5:", "cancelled"),
    ]


def test_files_are_loaded_in_an_order_that_works(serving: dict[str, str], tmp_path: Path) -> None:
    """A Slot in a file before its Schedule's; a Bundle's urn:uuid; twice makes nothing twice."""
    slot = {
        "resourceType": "Slot",
        "id": "load-1",
        "schedule": {"reference": "Schedule/load"},
        "status": "free",
        "start": "2036-01-01T09:00:00+00:00",
        "end": "2036-01-01T09:30:00+00:00",
    }
    schedule = {
        "resourceType": "Schedule",
        "id": "load",
        "actor": [{"reference": f"urn:uuid:{PATIENT}"}],
    }
    person = {"fullUrl": f"urn:uuid:{PATIENT}", "resource": {"resourceType": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": schedule}]}
    bundle["entry"] = [person, {"resource": schedule}]
    (tmp_path / "a.ndjson").write_text(json.dumps(slot) + "\n", "utf-8")
    (tmp_path / "b.json").write_text(json.dumps(bundle), "utf-8")
    first, second = (run(serving, "load", str(tmp_path)) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout.splitlines()[-4:] == [
        "Patient: 1 created, 0 updated",
        "Schedule: 1 created, 0 updated",
        "Slot: 1 created, 0 updated",
        "3 loaded, 0 refused",
    ]
    assert "Patient: 0 created" in second.stdout


def test_what_is_refused_is_told_with_its_reason(serving: dict[str, str], tmp_path: Path) -> None:
    """The exit code is 1; the rest is loaded."""
    (tmp_path / "bad.json").write_text('{"resourceType":"Patient","colour":1}', "utf-8")
    (tmp_path / "good.json").write_text('{"resourceType":"Patient"}', "utf-8")
    ran = run(serving, "load", str(tmp_path))
    assert ran.returncode == 1
    assert "1 loaded, 1 refused" in ran.stdout
    assert "bad.json: 400 Patient.colour" in ran.stderr


def test_without_a_server_a_command_says_what_to_do(tmp_path: Path) -> None:
    """One plain line, exit code 2."""
    environment = os.environ | {PREFIX + "DATA_DIR": str(tmp_path)}
    ran = run(environment, "demo")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1
    assert "no server is running" in ran.stderr
