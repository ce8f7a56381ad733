"""An instance of our own server with empty data, on a free port, ended afterwards."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS, STOP_SECONDS = 60, 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fhir_server", *arguments]


@contextmanager
def own_server(workers: int):
    """Yields (base URL, token, process groups for the meter, seconds until ready)."""
    with tempfile.TemporaryDirectory(prefix="fhir-bench-") as folder:
        environment = {
            **os.environ,
            "FHIR_SERVER_PORT": str(free_port()),
            "FHIR_SERVER_DATA_DIR": folder,
            "FHIR_SERVER_DEMO": "false",
            "FHIR_SERVER_ALLOW_LOOPBACK_ENDPOINTS": "true",
            "FHIR_SERVER_WORKERS": str(workers),
        }
        began = time.perf_counter()
        process = subprocess.Popen(
            command("serve"),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            base = _wait_until_ready(process)
            seconds = time.perf_counter() - began
            token = subprocess.run(
                command("token", "--scope", "system/*.cruds", "--expires", "7200"),
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            ).stdout.strip()
            yield base, token, _groups(Path(folder)), seconds
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)


def _wait_until_ready(process) -> str:
    lines = []
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        line = process.stdout.readline()
        if not line:
            break
        lines.append(line)
        if line.startswith("ready: "):
            return line.removeprefix("ready: ").strip()
    raise SystemExit("the server did not become ready:\n" + "".join(lines))


def _groups(folder: Path) -> list[str]:
    run = json.loads((folder / "run.json").read_text())
    return [f"{each['name']}=pid:{each['pid']}" for each in run["processes"]]
