"""An instance of our own server with empty data, on a free port, ended afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS, STOP_SECONDS = 75.0, 20.0
BEHIND = ("sequencer", "deliverer", "worker", "beat")
"""The processes that start once the server is ready."""

_READY = "ready: "
_PREFIX = "FHIR_SERVER_"
_POLL_SECONDS = 0.02
_LOG_LINES = 20


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*arguments: str) -> list[str]:
    """Our command line, with this interpreter."""
    return [sys.executable, "-m", "fhir_server", *arguments]


class OwnServer:
    """`fhir-server serve` in a folder; it can be stopped and started again on the same data.

    Attributes:
        base: the FHIR base URL.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        port = free_port()
        self.base = f"http://127.0.0.1:{port}/fhir"
        self._folder, self._data = folder, folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        # Nobody's own settings: they could name a database with somebody's data.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(_PREFIX)}
        self._environment = clean | {
            _PREFIX + "PORT": str(port),
            _PREFIX + "DATA_DIR": str(self._data),
            _PREFIX + "DEMO": "false",
            _PREFIX + "ALLOW_LOOPBACK_ENDPOINTS": "true",
            _PREFIX + "WORKERS": str(workers),
        }

    def start(self) -> float:
        """Starts it; the seconds until it says that it is ready.

        Raises:
            SystemExit: it ended, or was not ready in time.
        """
        output = self._folder / "serve.log"
        began = time.perf_counter()
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                command("serve"), env=self._environment, stdout=file, stderr=subprocess.STDOUT
            )
        while time.perf_counter() - began < READY_SECONDS:
            has_ended = self._process.poll() is not None
            lines = output.read_text("utf-8", errors="replace")
            if any(line.startswith(_READY) for line in lines.splitlines()):
                return time.perf_counter() - began
            if has_ended:
                break
            time.sleep(_POLL_SECONDS)
        raise SystemExit(self._failure(output))

    def _failure(self, output: Path) -> str:
        """What is known of a start that failed; the folder with the logs will be gone."""
        said = output.read_text("utf-8", errors="replace")
        log = self._data / "logs" / "api.log"
        lines = log.read_text("utf-8", errors="replace").splitlines() if log.exists() else []
        return "\n".join(["the server did not become ready:", said, *lines[-_LOG_LINES:]])

    def stop(self) -> float:
        """Stops it if it runs; the seconds that took.

        Raises:
            subprocess.TimeoutExpired: it did not stop and was killed.
        """
        began = time.perf_counter()
        process = self._process
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            # Only now: who was interrupted while waiting comes here again.
            self._process = None
        return time.perf_counter() - began

    def token(self) -> str:
        """A bearer token for everything, which outlives a restart."""
        return subprocess.run(
            command("token", "--scope", "system/*.cruds", "--expires", "7200"),
            env=self._environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.strip()

    def groups(self) -> list[str]:
        """Its process groups for the meter, once all have been started.

        Raises:
            SystemExit: some did not start.
        """
        end = time.monotonic() + READY_SECONDS
        pids: dict[str, int] = {}
        while time.monotonic() < end:
            run = json.loads((self._data / "run.json").read_text("utf-8"))
            pids = {each["name"]: each["pid"] for each in run["processes"]}
            pids.pop("ready", None)  # greets and ends
            if set(BEHIND) <= set(pids):
                return [f"{name}=pid:{pid}" for name, pid in pids.items()]
            time.sleep(_POLL_SECONDS)
        raise SystemExit(f"only these processes were started: {', '.join(pids)}")


@contextmanager
def own_server(workers: int) -> Iterator[OwnServer]:
    """A server with empty data, not started yet; stopped and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="fhir-bench-") as folder:
        server = OwnServer(Path(folder), workers)
        try:
            yield server
        finally:
            server.stop()
