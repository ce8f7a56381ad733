"""Sends many resources to a server, several at a time, and tells truthfully what became of each."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from fhir_server.client.connection import Answer, Connection
from fhir_server.client.sources import DEFAULT_RANK, RANK, Item
from fhir_server.fhir.types import Json

BUSY = (429, 503)
PATIENT_ATTEMPTS = 5


@dataclass(slots=True)
class Report:
    """What became of the items.

    Attributes:
        created: how many were new, per type.
        updated: how many replaced an earlier version, per type.
        refused: origin and reason of each that the server refused.
    """

    created: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)


async def load(
    connection: Connection,
    items: Sequence[Item],
    *,
    parallel: int = 16,
    advance: Callable[[int], Json] = lambda _: None,
) -> Report:
    """Puts each item (or posts it, when it has no id), in the order of dependence.

    Items of one rank go side by side; the next rank starts when all of the last one are answered.

    Args:
        connection: the server.
        items: what to load.
        parallel: most requests under way at once.
        advance: told how many more items are done, for a progress bar.
    """
    report = Report()
    ordered = sorted(items, key=_rank)
    for _, group in groupby(ordered, key=_rank):
        waiting = iter(list(group))

        async def work(mine: Iterator[Item] = waiting) -> None:
            for item in mine:
                await _send(connection, item, report)
                advance(1)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(parallel):
                tasks.create_task(work())
    return report


def _rank(item: Item) -> int:
    return RANK.get(item.type, DEFAULT_RANK)


async def _send(connection: Connection, item: Item, report: Report) -> None:
    method, path = ("PUT", f"{item.type}/{item.id}") if item.id else ("POST", item.type)
    answer = await _patiently(connection, method, path, item.body)
    if answer.status == 201:
        report.created[item.type] += 1
    elif answer.status == 200:
        report.updated[item.type] += 1
    else:
        report.refused.append((item.origin, answer.problem()))


async def _patiently(connection: Connection, method: str, path: str, body: bytes) -> Answer:
    """Waits as long as the server asks for when it is busy; a refusal is final."""
    headers = {"Prefer": "return=minimal"}
    for _ in range(PATIENT_ATTEMPTS):
        answer = await connection.request(method, path, body, headers)
        if answer.status not in BUSY:
            return answer
        wait = answer.headers.get("Retry-After", "1")
        await asyncio.sleep(float(wait) if wait.isdigit() else 1.0)
    return await connection.request(method, path, body, headers)
