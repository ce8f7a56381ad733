"""Start-up time: from spawning the command to the first good answer, and memory once idle."""

from __future__ import annotations

import shlex
import subprocess
import time
import urllib.request

from benchmarks.procs import Groups


def measure(command: str, ready_url: str, cwd: str | None, runs: int, log: str) -> list[dict]:
    results, opener = [], urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(runs):
        with open(log, "ab") as out:
            t0 = time.perf_counter()
            process = subprocess.Popen(
                shlex.split(command), cwd=cwd, stdout=out, stderr=out, start_new_session=True
            )
            while True:
                if process.poll() is not None:
                    raise SystemExit(f"the server ended with {process.returncode}; see {log}")
                try:
                    with opener.open(ready_url, timeout=2) as answer:
                        if answer.status == 200:
                            break
                except OSError:
                    pass
                time.sleep(0.02)
            seconds = time.perf_counter() - t0
        time.sleep(5)
        memory = Groups([f"server=pid:{process.pid}"]).memory_mib()["server"]
        process.terminate()
        process.wait(60)
        results.append({"ready_s": round(seconds, 2), "idle_memory_mib": memory})
        print(results[-1], flush=True)
    return results
