"""Children, ports and logs."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from fhir_server.embedded import process, stale
from fhir_server.embedded.instance import Instance, Recorded

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
STUBBORN = (
    sys.executable,
    "-c",
    (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); "
        "time.sleep(60)"
    ),
)


def run_of(*processes: Recorded, mark: str = "nobody") -> Instance:
    """The record of an earlier run."""
    return Instance(mark, "mongodb://x/", "redis://x/", "http://x/fhir", processes)


def test_child_that_obeys_ends_by_itself(tmp_path: Path) -> None:
    """SIGTERM is enough."""
    child = process.spawn(SLEEP, log=tmp_path / "log", env=os.environ)
    assert process.end(child, seconds=10)
    assert child.returncode == -signal.SIGTERM


def test_child_that_does_not_obey_is_killed(tmp_path: Path) -> None:
    """After its time it gets SIGKILL."""
    log = tmp_path / "log"
    child = process.spawn(STUBBORN, log=log, env=os.environ)
    while process.last_line(log) != "up":
        time.sleep(0.01)
    assert not process.end(child, seconds=0.1)
    assert child.returncode == -signal.SIGKILL


def test_child_dies_with_its_parent(tmp_path: Path) -> None:
    """A killed parent takes its children along."""
    program = (
        "import os, pathlib, sys, time; from fhir_server.embedded import process;"
        f"child = process.spawn({SLEEP!r}, log=pathlib.Path({str(tmp_path / 'log')!r}),"
        " env=os.environ); print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    """The same port every time, another one when somebody else has it."""
    first = process.kept_port(tmp_path)
    assert process.kept_port(tmp_path) == first
    with socket.create_server((process.LOOPBACK, first)):
        assert process.kept_port(tmp_path) != first


def test_long_log_is_moved_aside(tmp_path: Path) -> None:
    """A log does not grow without bound."""
    log = tmp_path / "api.log"
    log.write_bytes(b"x" * (process.LOG_BYTES + 1))
    process.rotate(log)
    assert not log.exists()
    assert (tmp_path / "api.log.1").stat().st_size == process.LOG_BYTES + 1


def test_last_line_is_ours_without_the_name(tmp_path: Path) -> None:
    """The reason a child gave, fit for our own line."""
    log = tmp_path / "log"
    assert process.last_line(log) == "it said nothing"
    log.write_text("noise\nfhir-server: the disk is full\n\n")
    assert process.last_line(log) == "the disk is full"


def test_stale_child_is_ended(tmp_path: Path) -> None:
    """A process of the earlier run is recognised and ended."""
    child = process.spawn(SLEEP, log=tmp_path / "log", env=os.environ)
    recorded = stale.describe("api", child.pid)
    assert recorded is not None
    assert stale.take_over(run_of(recorded), seconds=4) == ["api"]
    child.wait(10)
    assert not psutil.pid_exists(child.pid)


def test_grandchild_is_known_by_its_mark(tmp_path: Path) -> None:
    """Nobody wrote it down, but it carries the run's mark."""
    child = process.spawn(SLEEP, log=tmp_path / "log", env=os.environ | {stale.MARK: "abc"})
    assert stale.take_over(run_of(mark="abc"), seconds=4) == []
    child.wait(10)
    assert not psutil.pid_exists(child.pid)


def test_strangers_process_is_left_alone(tmp_path: Path) -> None:
    """A process number that means something else by now is nobody's to end."""
    child = process.spawn(SLEEP, log=tmp_path / "log", env=os.environ)
    try:
        known = stale.describe("api", child.pid)
        assert known is not None
        older = Recorded("api", child.pid, known.created - 100, known.command)
        other = Recorded("api", child.pid, known.created, ("/bin/other",))
        assert stale.take_over(run_of(older, other), seconds=4) == []
        assert child.poll() is None
    finally:
        process.end(child, seconds=5)
