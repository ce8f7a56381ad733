"""Numbers and order survive the sudden death of the processes that carry them."""

import asyncio
import random
import time
from collections.abc import Callable

from tests.fixtures_events import (
    Clinic,
    Process,
    Received,
    Receiver,
    basic,
    subscription,
)

Start = Callable[..., Process]


class Writers:
    """Clients that write new versions of a few resources all the time."""

    def __init__(self, clinic: Clinic, count: int) -> None:
        self.clinic = clinic
        self.committed = 0
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(count)]

    async def _write(self, number: int) -> None:
        while not self._stop.is_set():
            await self.clinic.put(basic(f"b{number}"))
            self.committed += 1
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)


def first_sights(requests: list[Received]) -> list[int]:
    """Each number when it came for the first time."""
    return list(dict.fromkeys(one.number for one in requests))


def check_complete(receiver: Receiver, path: str, total: int) -> None:
    """All numbers came, first sights in order, and each number always meant the same version."""
    accepted = [one for one in receiver.accepted if one.path.startswith(path)]
    assert first_sights(accepted) == list(range(1, total + 1))
    meanings: dict[int, set[bytes]] = {}
    for one in accepted:
        meanings.setdefault(one.number, set()).add(one.body)
    assert all(len(bodies) == 1 for bodies in meanings.values())
    ids = {one.headers["webhook-id"] for one in accepted}
    assert len(ids) == total
    last: dict[str, int] = {}
    for number in range(1, total + 1):
        one = next(one for one in accepted if one.number == number)
        version = int(one.json["meta"]["versionId"])
        assert version == last.get(one.path, 0) + 1
        last[one.path] = version


async def test_killed_processes_lose_nothing(
    clinic: Clinic,
    receiver: Receiver,
    processes: Start,
) -> None:
    """1..N without gap, in order of commit, while sequencers and deliverers die under load."""
    group = [
        processes(name, subscription_timeout_seconds=1, sweep_seconds=1)
        for name in ("sequencer", "sequencer", "deliverer", "deliverer")
    ]
    for name in ("s1", "s2"):
        await clinic.put(subscription(name, receiver.url))
        await clinic.status(name, "active", 30)
    chance = random.Random(4)
    receiver.answer = lambda _: 503 if chance.random() < 0.05 else 200
    writers = Writers(clinic, 4)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        await asyncio.sleep(1)
        victim = chance.choice(group)
        victim.kill()
        victim.start()
    await writers.stop()
    total = writers.committed
    assert total > 50
    await receiver.until(
        lambda: all(len(set(receiver.numbers(f"/{name}/"))) == total for name in ("s1", "s2")),
        60,
    )
    for name in ("s1", "s2"):
        check_complete(receiver, f"/{name}/", total)
    for process in group:
        assert process.stop() < 5
        assert process.code == 0
        assert "Traceback" not in process.log()
