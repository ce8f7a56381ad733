"""The command line: python -m benchmarks [all|seed|run|startup|report]."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.dataset import Sizes
from benchmarks.http import Auth, Client
from benchmarks.race import STRATEGIES
from benchmarks.runs import WORKLOADS, Load
from benchmarks.subscription import Volumes

HERE = Path(__file__).parent
TARGETS = HERE / "targets.json"
RESULTS = HERE / "results"


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; without a command it is `all`.

    Args:
        given: instead of the process's own arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    one = commands.add_parser("all", help="start our own server, seed it, run everything")
    _sizes(one)
    _load(one)
    one.add_argument("--out", type=Path, default=RESULTS / "own.json")
    one.add_argument("--api-processes", type=int, default=2)
    one.add_argument("--targets", type=Path, default=TARGETS, help="figures to compare with")
    one = commands.add_parser("seed", help="make the data set, write the manifest")
    _server(one)
    _sizes(one)
    one.add_argument("--batch", type=int, default=0, help="entries a batch Bundle; 0: single ones")
    one = commands.add_parser("run", help="run workloads against any seeded server")
    _server(one)
    _load(one)
    one.add_argument("--label", required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument(
        "--group",
        action="append",
        default=[],
        help="NAME=pid:N | NAME=pidfile:PATH | NAME=port:N; can be given several times",
    )
    one.add_argument("--targets", type=Path, help="figures to compare with")
    one = commands.add_parser("startup", help="measure start-up time of a stopped server")
    one.add_argument("--cmd", required=True)
    one.add_argument("--ready", required=True, help="URL that answers 200 when ready")
    one.add_argument("--cwd")
    one.add_argument("--runs", type=int, default=3)
    one.add_argument("--log", type=Path, default=Path("startup.log"))
    one = commands.add_parser("report", help="results as Markdown tables")
    one.add_argument("results", type=Path)
    one.add_argument("--targets", type=Path, help="figures to compare with")
    arguments = parser.parse_args(given)
    return arguments if arguments.command else parser.parse_args(["all"])


def _server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", required=True, help="FHIR base URL")
    parser.add_argument(
        "--token", default=os.environ.get("FHIR_TOKEN"), help="bearer token (or FHIR_TOKEN)"
    )
    parser.add_argument("--token-url")
    parser.add_argument("--client-id")
    parser.add_argument("--client-secret", default=os.environ.get("FHIR_CLIENT_SECRET"))
    parser.add_argument("--scope")
    parser.add_argument("--manifest", type=Path, required=True)


def _sizes(parser: argparse.ArgumentParser) -> None:
    default = Sizes()
    parser.add_argument("--schedules", type=int, default=default.schedules)
    parser.add_argument("--slots", type=int, default=default.slots)
    parser.add_argument("--patients", type=int, default=default.patients)
    parser.add_argument("--per-patient", type=int, default=default.per_patient)
    parser.add_argument("--update-slots", type=int, default=default.update_slots)


def _load(parser: argparse.ArgumentParser) -> None:
    default, volumes = Load(), Volumes()
    parser.add_argument("--workloads", type=_names(WORKLOADS), default=default.workloads)
    parser.add_argument(
        "--concurrency", type=_numbers, default=default.concurrency, help="for W1-W5, as in 1,32"
    )
    parser.add_argument("--warmup", type=float, default=default.warmup, help="seconds, W1-W5")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="W1-W5")
    parser.add_argument("--repeat", type=int, default=default.repeat)
    parser.add_argument(
        "--booking",
        type=_names(tuple(STRATEGIES)),
        default=default.booking,
        help=f"strategies of W6: {', '.join(STRATEGIES)}",
    )
    parser.add_argument("--clients", type=int, default=default.clients, help="rivals in W6")
    parser.add_argument("--hot", type=int, default=default.hot, help="hot slots in W6")
    parser.add_argument("--hook-port", type=int, default=default.hook_port, help="0: a free one")
    parser.add_argument("--criteria", default=default.criteria, help="of W7's Subscription")
    parser.add_argument("--notifications", type=int, default=volumes.burst, help="W7's burst")
    parser.add_argument("--paced-rate", type=float, default=volumes.paced_rate, help="W7, a second")
    parser.add_argument("--paced-seconds", type=float, default=volumes.paced_seconds, help="W7")


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def parsed(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} not among {', '.join(known)}")
        return names

    return parsed


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def load_of(a: argparse.Namespace) -> Load:
    """What is to be measured."""
    return Load(
        workloads=a.workloads,
        concurrency=a.concurrency,
        warmup=a.warmup,
        seconds=a.seconds,
        repeat=a.repeat,
        booking=a.booking,
        clients=a.clients,
        hot=a.hot,
        hook_port=a.hook_port,
        criteria=a.criteria,
        volumes=Volumes.of(a.notifications, a.paced_rate, a.paced_seconds),
    )


def sizes_of(a: argparse.Namespace) -> Sizes:
    """How large the data set is to be.

    Raises:
        ValueError: the workloads could not check their answers with it.
    """
    return Sizes(a.schedules, a.slots, a.patients, a.per_patient, a.update_slots)


def client_of(a: argparse.Namespace) -> Client:
    """The server to measure."""
    return Client(a.base, Auth(a.token, a.token_url, a.client_id, a.client_secret, a.scope))
