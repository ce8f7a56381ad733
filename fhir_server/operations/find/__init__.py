"""$find: Appointments that could be booked, each a free Slot of a Schedule that is meant.

https://profiles.ihe.net/ITI/Scheduling/ITI-115.html, https://fhir.org/guides/argonaut/scheduling/
"""

from collections.abc import Iterable, Sequence

from fhir_server.context import RequestContext
from fhir_server.definitions.parameters import Invocation
from fhir_server.fhir.codec import encode_json
from fhir_server.fhir.dates import microseconds
from fhir_server.fhir.exchange import Answer
from fhir_server.fhir.ids import IdSource
from fhir_server.fhir.types import Json, Resource
from fhir_server.operations.find.directory import Directory
from fhir_server.operations.find.schedules import find_schedules
from fhir_server.operations.find.slots import SlotSearch, service_conditions
from fhir_server.operations.find.wish import Wish, read_wish
from fhir_server.scheduling.find import FreeSlot, proposal
from fhir_server.scheduling.find_reasons import NO_SCHEDULE, WINDOW_PAST, Reason, nothing
from fhir_server.scheduling.occupancy import target
from fhir_server.settings import Settings
from fhir_server.store.store import Store

_ASK_WHY = "Ask with explain=true for the reasons."
_TRY_OTHER = "Try another time or fewer criteria."


async def find(
    store: Store, settings: Settings, new_id: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """200 with a searchset Bundle: the earliest offers, or an OperationOutcome when there are none.

    `total` counts the offers in the Bundle.

    Raises:
        Forbidden: the token may not search a type that the criteria lead through.
        TooCostly: the time is too long, or too much would have to be looked at.
        FhirError: a value is not legal.
    """
    del new_id
    wish = read_wish(call.parameters, ctx.base_url, settings)
    directory = Directory(await store.searches(ctx), ctx)
    offers, reasons = await _answer(directory, wish)
    entries = [_entry(proposal(one, wish.extras), "match") for one in offers]
    if not offers:
        hint = _TRY_OTHER if wish.explain else _ASK_WHY
        entries = [_entry(nothing(reasons, hint), "outcome")]
    bundle = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(offers),
        "entry": entries,
    }
    return Answer(200, encode_json(bundle), compartments=_patients(wish, ctx.base_url))


async def _answer(directory: Directory, wish: Wish) -> tuple[Sequence[FreeSlot], Sequence[Reason]]:
    meant = await find_schedules(directory, wish)
    if not meant.agendas:
        return (), [Reason(NO_SCHEDULE, detail=", ".join(meant.unfulfilled))]
    if wish.window.end <= microseconds(directory.ctx.now):
        return (), [Reason(WINDOW_PAST)]
    codes = await service_conditions(directory, wish, meant.agendas)
    search = SlotSearch(directory, wish, meant.agendas, codes)
    offers = await search.offers()
    if offers or not wish.explain:
        return offers, ()
    return (), await search.reasons()


def _entry(resource: Resource, mode: str) -> Json:
    return {"resource": resource, "search": {"mode": mode}}


def _patients(wish: Wish, base_url: str) -> Iterable[str]:
    found = (target(one, base_url) for one in wish.extras.patients)
    return sorted({one for one in found if one is not None})
