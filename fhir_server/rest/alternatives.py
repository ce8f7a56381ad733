"""What to offer when the time was taken: the next free Slots of the same Schedule."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from fhir_server.auth import policy
from fhir_server.context import Principal, RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.canonicals import canonical
from fhir_server.fhir.dates import format_instant, microseconds
from fhir_server.fhir.errors import Conflict, FhirError, Issues
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.find import Agenda, free_slots
from fhir_server.scheduling.refusals import SlotTaken
from fhir_server.search.request import parse_search
from fhir_server.settings import Settings
from fhir_server.store.agenda import unoccupied
from fhir_server.store.store import Store

MOST = 3
EXTENSION = canonical("StructureDefinition", "alternative-slot")

_LOOKED_AT: Final = 20
_SHARED_SECONDS: Final = 0.05
_MOST_KNOWN: Final = 1_000

_Key = tuple[str, Principal | None, str, datetime]


class _Known(NamedTuple):
    hints: asyncio.Task[list[FhirError]]
    until: float


class Alternative(Conflict):
    """A hint beside a refusal, not a refusal itself."""

    issue_type = "informational"


class Alternatives:
    """Finds what to offer; one per process.

    Many lose the race for the same Slot at the same moment. They share one search for a blink.

    Args:
        store: searches what the caller may see.
        registry: the served types.
        settings: bounds searches.
        monotonic: seconds of a timer that never goes back.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        settings: Settings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings
        self._monotonic = monotonic
        self._known: dict[_Key, _Known] = {}

    async def offer(self, ctx: RequestContext, taken: SlotTaken) -> FhirError:
        """The refusal with up to three Slots after the wanted time that can be booked.

        They are among the next twenty free ones that the caller may see.

        The search is a courtesy: when it fails or is not allowed, the refusal goes out alone.
        """
        try:
            policy.authorize(ctx.principal, "Slot", "search-type")
            hints = await self._hints(ctx, taken)
        except FhirError:
            return taken
        return Issues([taken, *hints]) if hints else taken

    async def _hints(self, ctx: RequestContext, taken: SlotTaken) -> list[FhirError]:
        # What overlaps the wanted time is no better than that.
        earliest = max(taken.end, ctx.now)
        key = (ctx.tenant, ctx.principal, taken.schedule, earliest)
        known = self._known.get(key)
        if known is None or known.until <= self._monotonic():
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            task = asyncio.create_task(self._search(ctx, taken.schedule, earliest))
            known = self._known[key] = _Known(task, self._monotonic() + _SHARED_SECONDS)
        # Whoever hangs up must not cancel it for the others.
        return await asyncio.shield(known.hints)

    async def _search(
        self, ctx: RequestContext, schedule: str, earliest: datetime
    ) -> list[FhirError]:
        request = parse_search(
            self._registry.types["Slot"],
            [
                ("schedule", schedule),
                ("status", "free"),
                ("start", f"ge{format_instant(earliest)}"),
                ("_count", str(_LOOKED_AT)),
            ],
            base_url=ctx.base_url,
            limits=self._settings,
            now=ctx.now,
            lenient=False,
        )
        page = await self._store.search(ctx, request)
        # Free by its status, a Slot may still lie over time that is held or closed.
        agendas = {schedule: Agenda({"id": schedule.partition("/")[2]}, ())}
        slots = free_slots((one.resource for one in page.matches), agendas, ctx.base_url)
        database = self._store.database(ctx.tenant)
        bookable = await unoccupied(database, slots, microseconds(ctx.now))
        return [_hint(one.slot) for one in bookable[:MOST]]


def _hint(slot: Resource) -> FhirError:
    reference = f"Slot/{slot['id']}"
    parts = [
        {"url": "slot", "valueReference": {"reference": reference}},
        {"url": "start", "valueInstant": slot["start"]},
        {"url": "end", "valueInstant": slot["end"]},
    ]
    return Alternative(
        f"Free instead: {reference}, {slot['start']} to {slot['end']}",
        severity="information",
        extension=[{"url": EXTENSION, "extension": parts}],
    )
