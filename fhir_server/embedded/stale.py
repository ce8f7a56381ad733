"""Ends what a killed `serve` left behind, and nothing else."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from fhir_server.embedded.instance import Instance, Recorded

MARK = "FHIRSERVER_RUN"
"""Environment variable that every process of a run carries; its value is random per run."""

_CLOCK_SLACK_SECONDS = 1.0


def describe(name: str, pid: int) -> Recorded | None:
    """The record of a running process; None when it has ended already."""
    try:
        found = psutil.Process(pid)
        return Recorded(name, pid, found.create_time(), tuple(found.cmdline()))
    except psutil.NoSuchProcess:
        return None


def take_over(previous: Instance, *, seconds: float = 6.0) -> list[str]:
    """Ends every process of an earlier run that is still alive.

    In the order in which they would have been stopped: each gets SIGTERM and its share of the
    time, whoever is left gets SIGKILL, which neither MongoDB's journal nor Redis's append-only
    file minds.

    Returns:
        The names of the processes ended.
    """
    leaders = [(each.name, _identify(each)) for each in previous.processes]
    alive = [(name, found) for name, found in leaders if found is not None]
    others = _marked(previous.mark, {found.pid for _, found in alive})
    # All at once: most of them noticed the death of their parent long ago.
    _end([found for name, found in alive if name not in ("mongod", "redis")] + others, seconds / 2)
    _end([found for name, found in alive if name in ("mongod", "redis")], seconds / 2)
    return [name for name, _ in alive]


def _identify(recorded: Recorded) -> psutil.Process | None:
    """The process, if its number still means the same process."""
    with contextlib.suppress(psutil.Error):
        found = psutil.Process(recorded.pid)
        same_start = abs(found.create_time() - recorded.created) < _CLOCK_SLACK_SECONDS
        if same_start and _program(found.cmdline()) == _program(recorded.command):
            return found
    return None


def _program(command: Sequence[str]) -> str:
    """The program's name; its arguments do not count, because Redis rewrites them while it runs."""
    return Path(command[0].split(" ")[0]).name if command else ""


def _marked(mark: str, known: set[int]) -> list[psutil.Process]:
    """Processes of that run that nobody wrote down: children of the children."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            unknown = process.pid not in known and process.pid != os.getpid()
            if unknown and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def _end(processes: Iterable[psutil.Process], seconds: float) -> None:
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=seconds)
