"""W6: many clients want the same slots at the same time."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

from benchmarks.booking import Book, PlainCreate, Strategy, Transaction
from benchmarks.http import Connection, Response
from benchmarks.loop import Context
from benchmarks.medplum import MedplumBook, MedplumHold
from benchmarks.procs import Meter
from benchmarks.resources import Json
from benchmarks.stats import SAMPLE_LENGTH, SAMPLES, Recorder, summary_ms

STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy
    for strategy in (PlainCreate, Book, Transaction, MedplumBook, MedplumHold)
}
_CROWD = 8
_REASONS = 8
_REASON_LENGTH = 80


class Race:
    """What the rivals were told."""

    def __init__(self, strategy: Strategy, seed: int) -> None:
        self.strategy, self._seed = strategy, seed
        self.won, self.lost = Recorder(), Recorder()
        self.outcomes: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.winners: Counter[int] = Counter()
        self.errors = 0
        self.samples: list[str] = []

    async def run(self, connection: Connection, who: int) -> None:
        """One rival tries every target once."""
        for number in self._order(who):
            target = self.strategy.targets[number]
            try:
                outcome, answer = await self.strategy.attempt(connection, target, who)
            except Exception as failure:  # noqa: BLE001 - a failure of any kind is an outcome
                connection.close()
                self._note(f"error {type(failure).__name__}", repr(failure))
                continue
            self.told(number, outcome, answer)

    def told(self, number: int, outcome: str, answer: Response) -> None:
        """Notes what a rival was told about a target."""
        if outcome == "won":
            self.won.add(answer.ns, answer.status, None)
            self.winners[number] += 1
        elif outcome == "lost":
            self.lost.add(answer.ns, answer.status, None)
            self.refusals[f"{answer.status} {_reason(answer)}"] += 1
        else:
            self._note(outcome, answer.brief())
            return
        self.outcomes[outcome] += 1

    def _note(self, outcome: str, what: str) -> None:
        self.outcomes[outcome] += 1
        self.errors += 1
        if len(self.samples) < SAMPLES:
            self.samples.append(f"{outcome}: {what}"[:SAMPLE_LENGTH])

    def _order(self, who: int) -> list[int]:
        """Nearly the same for everybody: a crowd that moves through the list."""
        rng, order = random.Random(self._seed * 31 + who), list(range(len(self.strategy.targets)))
        for at in range(0, len(order), _CROWD):
            part = order[at : at + _CROWD]
            rng.shuffle(part)
            order[at : at + _CROWD] = part
        return order

    def verdict(self, bookings: list[int]) -> Json:
        """Whether every target was booked exactly once, by the server's state and by its answers.

        Args:
            bookings: live bookings of each target, from the audit.
        """
        double = sum(count > 1 for count in bookings)
        told_two = sum(count > 1 for count in self.winners.values())
        inconsistent = sum(not target.consistent for target in self.strategy.targets)
        once = sum(count == 1 for count in bookings)
        told = len(self.won.latencies)
        return {
            "booked_once": once,
            "never_booked": sum(count == 0 for count in bookings),
            "double_booked": double,
            "two_clients_told_yes": told_two,
            "inconsistent_slots": inconsistent,
            "pass": told_two == inconsistent == 0 and once == told == len(bookings),
        }


async def w6_booking_race(ctx: Context, strategy: str, clients: int = 64, hot: int = 200) -> Json:
    """Every client tries every hot slot once, all in nearly the same order: so many rivals each."""
    way = STRATEGIES[strategy](ctx.client, ctx.manifest)
    await way.prepare(hot)
    race, meter = Race(way, ctx.seed), Meter(ctx.groups)
    connections = [ctx.client.connection() for _ in range(clients)]
    await asyncio.gather(*(each.request("GET", "metadata") for each in connections))
    meter.start()
    began = time.perf_counter()
    await asyncio.gather(*(race.run(each, who) for who, each in enumerate(connections)))
    seconds = time.perf_counter() - began
    cpu = meter.stop()
    for connection in connections:
        connection.close()
    attempts = clients * len(way.targets)
    return {
        "strategy": way.name,
        "clients": clients,
        "hot_slots": len(way.targets),
        "seconds": round(seconds, 2),
        "attempts": attempts,
        "attempts_per_s": round(attempts / seconds, 1),
        "bookings_per_s": round(len(race.won.latencies) / seconds, 1),
        "errors": race.errors,
        "outcomes": dict(race.outcomes),
        "statuses": dict(race.won.statuses + race.lost.statuses),
        "error_samples": race.samples,
        "refusals": dict(race.refusals.most_common(_REASONS)),
        "won_ms": summary_ms(race.won.latencies),
        "lost_ms": summary_ms(race.lost.latencies),
        "check": race.verdict(await way.audit()),
        "cpu_percent_of_a_core": cpu,
        "memory_mib": ctx.groups.memory_mib(),
    }


def _reason(answer: Response) -> str:
    """What a refusal says: a taken slot and a failed transaction are two things to a client."""
    try:
        issue = answer.json()["issue"][0]
        text = issue.get("details", {}).get("text") or issue.get("diagnostics") or issue["code"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "no OperationOutcome"
    return str(text)[:_REASON_LENGTH]
