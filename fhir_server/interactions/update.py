"""update: a new version at a known id (https://hl7.org/fhir/R4/http.html#update)."""

from fhir_server.context import RequestContext
from fhir_server.decisions.content import ContentRules
from fhir_server.decisions.outcome import answer_of
from fhir_server.decisions.update import (
    Replacement,
    check_body_id,
    plan_conditional_update,
    plan_update,
)
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.ids import IdSource
from fhir_server.fhir.preconditions import write_condition
from fhir_server.store.store import Store


async def update(
    store: Store, rules: ContentRules, new_id: IdSource, ctx: RequestContext, request: Request
) -> Answer:
    """200 with the new version; 201 when there was none or it had been deleted.

    Without an id in the address the criteria there name the resource; when nothing matches, it
    is created.

    Raises:
        Required, Invalid: the body's id is missing or is not the address's.
        VersionConflict: If-Match names another version than the current one.
        MultipleMatches: the criteria match several resources.
        FhirError: the resource is not valid, or the present state forbids it.
    """
    condition = write_condition(request)
    if request.id:
        resource = await request.body.resource()
        check_body_id(request.type, request.id, resource)
        rules.check_shape(request.type, resource)
        replacement = Replacement(rules, ctx.principal, request.type, resource, condition)
        decide = plan_update(replacement, request.id)
        aims: tuple[tuple[str, str], ...] = ((request.type, request.id),)
    else:
        criteria = store.criteria(ctx, request.type, request.pairs)
        resource = await request.body.resource()
        rules.check_shape(request.type, resource)
        criteria = criteria.for_creating(resource)
        replacement = Replacement(rules, ctx.principal, request.type, resource, condition)
        decide = plan_conditional_update(replacement, criteria, new_id())
        aims = ()
    committed = await store.run(ctx, decide, interaction="update", aims=aims)
    return answer_of(ctx.base_url, committed.result, committed.versions)
