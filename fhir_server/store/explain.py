"""How MongoDB answers a search: every command that it sends, explained."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from pymongo.errors import PyMongoError

from fhir_server.store.errors import translate
from fhir_server.store.find import Database, Document
from fhir_server.store.searches import Searches

_EXPLAINED = frozenset({"find", "aggregate", "count"})
_LEFT_OUT = frozenset({"readConcern", "maxTimeMS", "batchSize"})


@dataclass(frozen=True, slots=True)
class Step:
    """One command and how it was answered.

    Attributes:
        command: `find`, `aggregate` or `count`.
        collection: the resource type.
        stages: of the plan that won, the last one first.
        indexes: those that it reads, with their bounds.
        keys: how many index entries were looked at.
        documents: how many documents were looked at.
        returned: how many came out.
        milliseconds: how long it took.
    """

    command: str
    collection: str
    stages: tuple[str, ...]
    indexes: tuple[tuple[str, Document], ...]
    keys: int
    documents: int
    returned: int
    milliseconds: int

    @property
    def scans_collection(self) -> bool:
        """Whether every document of the type was looked at for want of an index."""
        return "COLLSCAN" in self.stages


async def explain(
    searches: Searches, run: Callable[[Searches], Awaitable[object]]
) -> tuple[Step, ...]:
    """The commands that a search sends, in their order.

    Args:
        searches: those of a token; what it may not see is not looked at.
        run: does the search.

    Raises:
        FhirError: as the search itself.
    """
    recorder = _Recorder(searches.database)
    await run(replace(searches, database=cast("Database", recorder)))
    try:
        return tuple([await _explained(searches.database, one) for one in recorder.commands])
    except PyMongoError as error:
        raise translate(error) from error


class _Recorder:
    """A database that remembers what it was asked."""

    client = None

    def __init__(self, database: Database) -> None:
        self._database = database
        self.name = database.name
        self.commands: list[Document] = []

    async def command(self, command: Document, **options: Any) -> Document:
        if next(iter(command)) in _EXPLAINED:
            self.commands.append(command)
        return await self._database.command(command, **options)


async def _explained(database: Database, command: Document) -> Step:
    kept = {name: value for name, value in command.items() if name not in _LEFT_OUT}
    told = await database.command({"explain": kept, "verbosity": "executionStats"})
    # Of a pipeline, only the part that reads the collection has a plan.
    inner = told["stages"][0]["$cursor"] if "stages" in told else told
    stats = inner.get("executionStats", {})
    stages = list(_stages(inner.get("queryPlanner", {}).get("winningPlan", {})))
    name, collection = next(iter(command.items()))
    return Step(
        command=name,
        collection=collection,
        stages=tuple(one["stage"] for one in stages),
        indexes=tuple(
            (one["indexName"], one.get("indexBounds", {})) for one in stages if "indexName" in one
        ),
        keys=stats.get("totalKeysExamined", 0),
        documents=stats.get("totalDocsExamined", 0),
        returned=stats.get("nReturned", 0),
        milliseconds=stats.get("executionTimeMillis", 0),
    )


def _stages(plan: Any) -> Iterator[Document]:
    if isinstance(plan, dict):
        if "stage" in plan:
            yield plan
        # The newer engine puts the readable plan beside its own.
        branches = [plan["queryPlan"]] if "queryPlan" in plan else plan.values()
        for branch in branches:
            yield from _stages(branch)
    elif isinstance(plan, list):
        for branch in plan:
            yield from _stages(branch)
