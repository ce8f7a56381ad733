"""What to offer when the time was taken: the next free Slots of the same Schedule."""

from datetime import datetime

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.canonicals import canonical
from fhir_server.fhir.dates import format_instant
from fhir_server.fhir.errors import Conflict, FhirError, Issues
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.refusals import SlotTaken
from fhir_server.search.request import parse_search
from fhir_server.settings import Settings
from fhir_server.store.store import Store

MOST = 3
EXTENSION = canonical("StructureDefinition", "alternative-slot")


class Alternative(Conflict):
    """A hint beside a refusal, not a refusal itself."""

    issue_type = "informational"


async def offer_alternatives(
    store: Store, registry: Registry, settings: Settings, ctx: RequestContext, taken: SlotTaken
) -> FhirError:
    """The refusal with up to three free Slots after the wanted time, as the caller may see them.

    The search is a courtesy: when it fails or is not allowed, the refusal goes out alone.
    """
    try:
        policy.authorize(ctx.principal, "Slot", "search-type")
        slots = await _free_slots(store, registry, settings, ctx, taken)
    except FhirError:
        return taken
    hints = [_hint(slot) for slot in slots]
    return Issues([taken, *hints]) if hints else taken


async def _free_slots(
    store: Store, registry: Registry, settings: Settings, ctx: RequestContext, taken: SlotTaken
) -> list[Resource]:
    # What overlaps the wanted time is no better than that.
    earliest: datetime = max(taken.end, ctx.now)
    request = parse_search(
        registry.types["Slot"],
        [
            ("schedule", taken.schedule),
            ("status", "free"),
            ("start", f"ge{format_instant(earliest)}"),
            ("_count", str(MOST)),
        ],
        base_url=ctx.base_url,
        limits=settings,
        now=ctx.now,
        lenient=False,
    )
    page = await store.search(ctx, request)
    return [slot.resource for slot in page.matches]


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
