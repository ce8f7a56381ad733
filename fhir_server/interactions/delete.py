"""delete: gone from reads and searches, kept in history (https://hl7.org/fhir/R4/http.html#delete)."""

from fhir_server.context import RequestContext
from fhir_server.decisions.delete import plan_conditional_delete, plan_delete
from fhir_server.decisions.outcome import answer_of
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.ids import is_id
from fhir_server.fhir.preconditions import write_condition
from fhir_server.settings import Settings
from fhir_server.store.store import Store


async def delete(store: Store, settings: Settings, ctx: RequestContext, request: Request) -> Answer:
    """204; also when nothing is there (any more), for deleting twice is no mistake.

    Without an id in the address the criteria there name the resource, or, where the
    CapabilityStatement says so, several.

    Raises:
        VersionConflict: If-Match names another version than the current one.
        MultipleMatches: the criteria match more resources than may be deleted at once.
        Conflict: others depend on it.
    """
    condition = write_condition(request)
    if not request.id:
        multiple = store.registry.types[request.type].conditional_delete == "multiple"
        most = settings.max_conditional_deletes + 1 if multiple else 2
        criteria = store.criteria(ctx, request.type, request.pairs, most=most)
        decide = plan_conditional_delete(criteria, condition, multiple=multiple)
    elif is_id(request.id):
        decide = plan_delete(request.type, request.id, condition)
    else:
        condition.check(f"{request.type} of this id", None)
        return Answer(204)
    aims = ((request.type, request.id),) if request.id else ()
    committed = await store.run(ctx, decide, interaction="delete", aims=aims)
    return answer_of(ctx.base_url, committed.result, committed.versions)
