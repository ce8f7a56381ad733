"""patch: changes to the current version (https://hl7.org/fhir/R4/http.html#patch)."""

from fhir_server.context import RequestContext
from fhir_server.decisions.content import ContentRules
from fhir_server.decisions.outcome import answer_of
from fhir_server.decisions.patch import Change, parse_patch, plan_conditional_patch, plan_patch
from fhir_server.fhir.errors import NotFound
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.ids import is_id
from fhir_server.fhir.preconditions import write_condition
from fhir_server.store.store import Store


async def patch(store: Store, rules: ContentRules, ctx: RequestContext, request: Request) -> Answer:
    """200 with the new version; without its content when the token may not read it.

    Without an id in the address the criteria there name the resource.

    Raises:
        NotFound: there is nothing to change that the caller may know of.
        Deleted: it has been deleted.
        VersionConflict: If-Match names another version than the current one.
        MultipleMatches: the criteria match several resources.
        PatchFailed: an operation does not fit, a test fails, or the result may not be stored.
        FhirError: the patch is malformed, or the present state forbids the result.
    """
    if request.id and not is_id(request.id):
        raise NotFound(f"There is no {request.type} with this id")
    condition = write_condition(request)
    criteria = None if request.id else store.criteria(ctx, request.type, request.pairs)
    document = await request.body.patch()
    admits = store.reach(ctx, request.type, "patch")
    change = Change(rules, request.type, parse_patch(rules, document), condition, admits)
    decide = (
        plan_patch(change, request.id)
        if criteria is None
        else plan_conditional_patch(change, criteria)
    )
    committed = await store.run(ctx, decide, interaction="patch")
    answer = answer_of(ctx.base_url, committed.result, committed.versions)
    if not store.may_read(ctx, committed.versions[0]):
        answer.body = b""
    return answer
