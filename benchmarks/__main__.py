"""python -m benchmarks [all|seed|run|startup|report]: see docs/how-to/benchmark.md"""

import argparse
import datetime
import json
import os
import platform
from pathlib import Path

import uvloop

from benchmarks import dataset, report, startup, subscription, workloads
from benchmarks.http import Auth, Client
from benchmarks.own_server import own_server
from benchmarks.procs import Groups

RESULTS = Path("benchmarks/results")
LOOPS = {
    "W1": workloads.w1_read_appointment,
    "W2": workloads.w2_search_slots,
    "W3": workloads.w3_search_appointments,
    "W4": workloads.w4_create_appointment,
    "W5": workloads.w5_update_slot,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command")

    def server(p):
        p.add_argument("--base", required=True, help="FHIR base URL")
        p.add_argument(
            "--token", default=os.environ.get("FHIR_TOKEN"), help="bearer token (or FHIR_TOKEN)"
        )
        p.add_argument("--token-url")
        p.add_argument("--client-id")
        p.add_argument("--client-secret", default=os.environ.get("FHIR_CLIENT_SECRET"))
        p.add_argument("--scope")
        p.add_argument("--manifest", required=True)

    def load(p):
        p.add_argument("--workloads", default="W1,W2,W3,W4,W5,W6,W7")
        p.add_argument("--concurrency", default="1,32", help="comma-separated, for W1-W5")
        p.add_argument("--warmup", type=float, default=2)
        p.add_argument("--seconds", type=float, default=8)
        p.add_argument("--repeat", type=int, default=1)
        p.add_argument(
            "--booking", default="post,book", help="comma-separated strategies, see booking.py"
        )
        p.add_argument("--clients", type=int, default=64, help="rivals in W6")
        p.add_argument("--hot", type=int, default=200, help="hot slots in W6")
        p.add_argument("--hook-port", type=int, default=28999)
        p.add_argument("--criteria", default="Appointment")

    p = commands.add_parser("all", help="start our own server, seed it, run everything")
    load(p)
    p.add_argument("--out", default=str(RESULTS / "own.json"))
    p.add_argument("--api-processes", type=int, default=2)
    p = commands.add_parser("seed", help="make the data set, write the manifest")
    server(p)
    p.add_argument("--batch", type=int, default=0, help="entries a batch Bundle; 0: single creates")
    p = commands.add_parser("run", help="run workloads against any seeded server")
    server(p)
    load(p)
    p.add_argument("--label", required=True)
    p.add_argument("--out", required=True)
    p.add_argument(
        "--group", action="append", default=[], help="NAME=pid:N | NAME=pidfile:PATH | NAME=port:N"
    )
    p = commands.add_parser("startup", help="measure start-up time (the server must be stopped)")
    p.add_argument("--cmd", required=True)
    p.add_argument("--ready", required=True, help="URL that answers 200 when ready")
    p.add_argument("--cwd")
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--log", default="startup.log")
    p = commands.add_parser("report", help="results as a Markdown table")
    p.add_argument("results")
    parsed = parser.parse_args()
    return parsed if parsed.command else parser.parse_args(["all"])


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def plan_of(a) -> list[tuple[str, int | str | None]]:
    plan: list[tuple[str, int | str | None]] = []
    for name in a.workloads.split(","):
        if name in LOOPS:
            plan += [(name, int(c)) for c in a.concurrency.split(",") for _ in range(a.repeat)]
        elif name == "W6":
            plan += [(name, s) for s in a.booking.split(",") for _ in range(a.repeat)]
        else:
            plan += [(name, None)] * a.repeat
    return plan


async def measure(a, client_of, manifest, groups: Groups, label: str, extra: dict) -> dict:
    results = {
        "label": label,
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "cores": os.cpu_count(),
        **extra,
        "memory_before_mib": groups.memory_mib(),
        "runs": [],
    }
    for seed, (name, detail) in enumerate(plan_of(a), 1):
        ctx = workloads.Context(
            client_of(), manifest, groups, detail if name in LOOPS else 8, a.warmup, a.seconds, seed
        )
        print(f"{name} {detail or ''}", flush=True)
        try:
            if name in LOOPS:
                result = await LOOPS[name](ctx)
            elif name == "W6":
                result = await workloads.w6_booking_race(ctx, detail, a.clients, a.hot)
            else:
                result = await subscription.w7_subscription(ctx, a.hook_port, criteria=a.criteria)
        except Exception as exc:  # one workload a server cannot do must not hide the others
            result = {"error": f"{type(exc).__name__}: {exc}"}
        results["runs"].append({"workload": name, "result": result})
        Path(a.out).parent.mkdir(parents=True, exist_ok=True)
        Path(a.out).write_text(json.dumps(results, indent=1))
        short = {k: v for k, v in result.items() if k not in ("memory_mib", "sample_headers")}
        print("  " + json.dumps(short), flush=True)
    print(report.markdown(results))
    return results


def is_good(results: dict) -> bool:
    return all(
        "error" not in r["result"]
        and not r["result"].get("errors")
        and r["result"].get("check", {}).get("pass", True)
        for r in results["runs"]
    )


async def run(a):
    groups = Groups(a.group)
    manifest = dataset.load(a.manifest)
    results = await measure(a, lambda: client(a), manifest, groups, a.label, {"base": a.base})
    if not is_good(results):
        raise SystemExit("some answers were wrong; see the errors and checks above")


async def run_own(a):
    with own_server(a.api_processes) as (base, token, group_specs, seconds):
        print(f"ready after {seconds:.1f} s", flush=True)
        groups = Groups(group_specs)
        idle = groups.memory_mib()

        def new_client() -> Client:
            return Client(base, Auth(token))

        manifest = await dataset.seed(new_client())
        extra = {
            "base": base,
            "ready_s": round(seconds, 2),
            "idle_memory_mib": idle,
            "seeding": manifest["timing"],
        }
        results = await measure(a, new_client, manifest, groups, "fhir-server", extra)
    if not is_good(results):
        raise SystemExit("some answers were wrong; see the errors and checks above")


def client(a) -> Client:
    return Client(a.base, Auth(a.token, a.token_url, a.client_id, a.client_secret, a.scope))


async def seed(a):
    manifest = await dataset.seed(client(a), a.batch)
    Path(a.manifest).write_text(json.dumps(manifest))


def main():
    a = arguments()
    if a.command == "startup":
        startup.measure(a.cmd, a.ready, a.cwd, a.runs, a.log)
    elif a.command == "report":
        print(report.markdown(json.loads(Path(a.results).read_text())))
    else:
        uvloop.run({"all": run_own, "seed": seed, "run": run}[a.command](a))


if __name__ == "__main__":
    main()
