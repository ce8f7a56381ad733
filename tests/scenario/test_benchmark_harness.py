"""The harness against a server of our own: tiny data, every workload for a moment."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import report, runs
from benchmarks.dataset import Manifest, Sizes, seed
from benchmarks.http import Auth, Client
from benchmarks.own_server import own_server
from benchmarks.procs import Groups
from benchmarks.runs import Load
from benchmarks.subscription import Volumes

SIZES = Sizes(schedules=2, slots=160, patients=4, per_patient=3, update_slots=8)
LOAD = Load(
    concurrency=(2,),
    warmup=0.1,
    seconds=0.5,
    clients=8,
    hot=8,
    volumes=Volumes(
        burst=20,
        singles=10,
        paced_seconds=0.5,
        updated=4,
        updates_each=3,
        retried=4,
        refused=2,
        linger=0.2,
    ),
)


class Instance:
    """A running server with a bearer token."""

    def __init__(self, base: str, token: str, groups: Groups) -> None:
        self.base, self.token, self.groups = base, token, groups

    def client(self) -> Client:
        return Client(self.base, Auth(self.token))

    async def measured(self, manifest: Manifest, load: Load, out: Path) -> Any:
        about = {"label": "tiny", "base": self.base}
        return await runs.measure(load, self.client, manifest, self.groups, about, out)


@contextmanager
def running() -> Iterator[Instance]:
    """`serve`, with one API process."""
    with own_server(workers=1) as server:
        assert server.start() > 0
        yield Instance(server.base, server.token(), Groups(server.groups()))


async def test_every_workload_finds_our_answers_right(tmp_path: Path) -> None:
    """Seeds, runs W1-W7, finds no fault; with a damaged manifest it finds them."""
    with running() as instance:
        manifest = await seed(instance.client(), SIZES)
        results = await instance.measured(manifest, LOAD, tmp_path / "right.json")
        assert runs.faults(results) == []
        assert len(results["runs"]) == 8
        _check_figures(results)

        damaged = copy.deepcopy(manifest)
        damaged["appointments"].reverse()
        damaged["slots"].reverse()
        reads = Load(workloads=("W1", "W2", "W3"), concurrency=(1,), warmup=0, seconds=0.2)
        wrong = await instance.measured(damaged, reads, tmp_path / "wrong.json")
        assert [each.split(":")[0] for each in runs.faults(wrong)] == [
            "run 1 (W1)",
            "run 2 (W2)",
            "run 3 (W3)",
        ]
        memory = {each["group"]: each for each in instance.groups.processes()}
    assert memory["api"]["rss_mib"] > memory["api"]["pss_mib"] > 0


def _check_figures(results: Any) -> None:
    found = {run["workload"]: run["result"] for run in results["runs"]}
    for name in ("W1", "W2", "W3", "W4", "W5"):
        assert found[name]["req_per_s"] > 0
        assert set(found[name]["latency_ms"]) == {"p50", "p95", "p99", "max", "mean"}
    assert found["W6"]["check"]["double_booked"] == 0
    assert found["W6"]["attempts"] == 64
    assert found["W7"]["paced"]["created"] == 50
    assert found["W7"]["retry"]["redelivered"] == 2
    text = report.markdown(results)
    assert "double bookings: 0, inconsistent: 0, booked once: 8" in text
