"""python -m benchmarks [all|seed|run|startup|report]: see docs/how-to/benchmark.md."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from types import FrameType

import uvloop

from benchmarks import arguments, dataset, report, runs, startup, targets
from benchmarks.http import Auth, Client
from benchmarks.own_server import OwnServer, own_server
from benchmarks.procs import Groups
from benchmarks.resources import Json


def run_own(a: argparse.Namespace) -> None:
    """Measures a server of our own: two starts, memory, and every workload.

    Raises:
        SystemExit: a workload broke, an answer was wrong or a check failed.
    """
    sizes, load = arguments.sizes_of(a), arguments.load_of(a)
    with own_server(a.api_processes) as server:
        _, first = _started(server, "without data")
        token = server.token()

        def new_client() -> Client:
            return Client(server.base, Auth(token))

        print("seeding", flush=True)
        manifest = uvloop.run(dataset.seed(new_client(), sizes))
        first["stop_s"] = round(server.stop(), 2)
        resources = sum(part["count"] for part in manifest["timing"].values())
        groups, second = _started(server, f"again, with {resources} resources")
        about = {
            "label": "fhir-server",
            "base": server.base,
            "starts": [first, second],
            "seeding": manifest["timing"],
        }
        results = uvloop.run(runs.measure(load, new_client, manifest, groups, about, a.out))
        second["stop_s"] = round(server.stop(), 2)
    runs.write(a.out, results)
    _conclude(results, a.targets)


def _started(server: OwnServer, data: str) -> tuple[Groups, Json]:
    """Starts the server, and waits until it is idle to look at its memory."""
    print(f"starting the server {data}", flush=True)
    seconds = server.start()
    groups = Groups(server.groups())
    idle = groups.settle()
    processes = groups.processes()
    largest = max(each["rss_mib"] for each in processes if each["group"] == "api")
    print(
        f"  ready after {seconds:.1f} s, largest API process {largest} MiB"
        + ("" if idle else " (it did not come to rest)"),
        flush=True,
    )
    return groups, {
        "data": data,
        "ready_s": round(seconds, 2),
        "idle": idle,
        "api_process_rss_mib": largest,
        "processes": processes,
    }


def run(a: argparse.Namespace) -> None:
    """Measures any seeded server.

    Raises:
        SystemExit: a workload broke, an answer was wrong or a check failed.
    """
    results = uvloop.run(
        runs.measure(
            arguments.load_of(a),
            lambda: arguments.client_of(a),
            dataset.load(a.manifest),
            Groups(a.group),
            {"label": a.label, "base": a.base},
            a.out,
        )
    )
    _conclude(results, a.targets)


def _conclude(results: Json, compared: Path | None) -> None:
    _print_report(results, compared)
    wrong = runs.faults(results)
    if wrong:
        raise SystemExit("\n".join(wrong))


def _print_report(results: Json, compared: Path | None) -> None:
    print(f"\n{report.markdown(results)}")
    if compared is not None:
        print(targets.markdown(results, targets.load(compared)))


def seed(a: argparse.Namespace) -> None:
    """Makes the data set on any server."""
    client, sizes = arguments.client_of(a), arguments.sizes_of(a)
    manifest = uvloop.run(dataset.seed(client, sizes, a.batch))
    a.manifest.write_text(json.dumps(manifest), "utf-8")


def start(a: argparse.Namespace) -> None:
    """Measures how any server starts."""
    startup.measure(a.cmd, a.ready, a.cwd, a.runs, a.log)


def show(a: argparse.Namespace) -> None:
    """Prints results that were measured before."""
    _print_report(json.loads(a.results.read_text("utf-8")), a.targets)


COMMANDS = {"all": run_own, "seed": seed, "run": run, "startup": start, "report": show}


def _interrupt(number: int, _: FrameType | None) -> None:
    """Ends like Ctrl-C does, so that a server of our own does not outlive us."""
    sys.exit(128 + number)


def main() -> None:
    """Runs a command; ends with code 1 when an answer was wrong."""
    signal.signal(signal.SIGTERM, _interrupt)
    chosen = arguments.parse()
    COMMANDS[chosen.command](chosen)


if __name__ == "__main__":
    main()
