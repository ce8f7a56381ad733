"""Start-up time: from spawning the command to the first good answer, and memory once idle."""

from __future__ import annotations

import shlex
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TypedDict

from benchmarks.procs import GroupMemory, Groups

_IDLE_SECONDS = 5
_POLL_SECONDS = 0.02
_STOP_SECONDS = 60


class Startup(TypedDict):
    """One start of any server."""

    ready_s: float
    idle_memory_mib: GroupMemory


def measure(command: str, ready_url: str, cwd: str | None, runs: int, log: Path) -> list[Startup]:
    """Starts and stops a server so many times.

    Args:
        ready_url: answers 200 when the server is ready.
        log: gets the server's output.

    Raises:
        SystemExit: the server ended by itself.
    """
    results: list[Startup] = []
    for _ in range(runs):
        began = time.perf_counter()
        with log.open("ab") as out:
            process = subprocess.Popen(
                shlex.split(command), cwd=cwd, stdout=out, stderr=out, start_new_session=True
            )
        while not _answers(ready_url):
            if process.poll() is not None:
                raise SystemExit(f"the server ended with {process.returncode}; see {log}")
            time.sleep(_POLL_SECONDS)
        seconds = time.perf_counter() - began
        time.sleep(_IDLE_SECONDS)
        memory = Groups([f"server=pid:{process.pid}"]).memory_mib()["server"]
        process.terminate()
        process.wait(_STOP_SECONDS)
        results.append({"ready_s": round(seconds, 2), "idle_memory_mib": memory})
        print(results[-1], flush=True)
    return results


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
