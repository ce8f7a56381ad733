"""Runs `fhir-server serve` as an operator does: a process of its own, ports and data of its own."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

from fhir_server.embedded import instance, process
from fhir_server.embedded.stale import MARK

COMMAND = (sys.executable, "-m", "fhir_server")
READY_SECONDS = 60.0


def environment(folder: Path, *, measured: bool = True, **settings: object) -> dict[str, str]:
    """The environment of an operator: these settings and no others.

    Args:
        folder: the data folder.
        measured: whether coverage is measured in the processes, which slows their start.
        settings: by name, as in `Settings`.
    """
    chosen = {"data_dir": folder, "demo": False, "workers": 1, **settings}
    left_out = ("FHIR_SERVER_",) if measured else ("FHIR_SERVER_", "COVERAGE_PROCESS_")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    return clean | {f"FHIR_SERVER_{k.upper()}": str(v) for k, v in chosen.items()}


def run(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], env=dict(env), capture_output=True, text=True, timeout=60
    )


class Serving:
    """One `serve`; its output goes to files beside the data folder."""

    def __init__(self, folder: Path, *, measured: bool = True, **settings: object) -> None:
        self.port = process.free_port()
        self.folder = folder
        self.env = environment(folder, measured=measured, port=self.port, **settings)
        self.base = f"http://127.0.0.1:{self.port}/fhir"
        self._process: subprocess.Popen[bytes] | None = None
        self._output = folder.with_name(folder.name + ".out")
        self._errors = folder.with_name(folder.name + ".err")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        return self._output.read_text("utf-8")

    @property
    def errors(self) -> str:
        return self._errors.read_text("utf-8")

    def start(self) -> float:
        """Starts it; the seconds until it said that it is ready."""
        began = time.monotonic()
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [*COMMAND, "serve"], env=self.env, stdout=output, stderr=errors
            )
        self.wait_for(r"^ready: (\S+)$")
        return time.monotonic() - began

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Waits for a line on standard output."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            found = re.search(pattern, self.output, re.MULTILINE)
            if found:
                return found
            assert self._process is not None
            assert self._process.poll() is None, self.errors
            time.sleep(0.02)
        raise AssertionError(f"{pattern} did not appear: {self.output}{self.errors}")

    def stop(self, number: signal.Signals) -> tuple[int, float]:
        """Sends a signal; the exit code, and the seconds it took."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(number)
        code = self._process.wait(30)
        return code, time.monotonic() - began

    def recorded(self) -> instance.Instance:
        """What it wrote down about itself."""
        found = instance.read(self.folder)
        assert found is not None
        return found

    def child(self, name: str) -> int:
        """The process number of a child."""
        return next(each.pid for each in self.recorded().processes if each.name == name)

    def token(self) -> str:
        """An operator's token."""
        done = run("token", "--scope", "system/*.cruds", env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def request(
        self, method: str, path: str, token: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and body of a FHIR request."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.base}/{path}", data, headers, method=method)  # noqa: S310
        try:
            with urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)


def marked(mark: str) -> list[psutil.Process]:
    """Every living process of a run."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if each.environ().get(MARK) == mark and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


@contextlib.contextmanager
def serving(folder: Path, *, measured: bool = True, **settings: object) -> Iterator[Serving]:
    """A server that is certainly gone afterwards."""
    server = Serving(folder, measured=measured, **settings)
    try:
        yield server
    finally:
        with contextlib.suppress(AssertionError):
            server.stop(signal.SIGTERM)
