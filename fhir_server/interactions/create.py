"""create: a new resource at an id of the server's choice (https://hl7.org/fhir/R4/http.html#create)."""

from fhir_server.context import RequestContext
from fhir_server.decisions.content import ContentRules
from fhir_server.decisions.create import plan_create
from fhir_server.decisions.criteria import criteria_of_header
from fhir_server.decisions.outcome import answer_of
from fhir_server.fhir.errors import NotSupported
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.ids import IdSource
from fhir_server.store.store import Store


async def create(
    store: Store, rules: ContentRules, new_id: IdSource, ctx: RequestContext, request: Request
) -> Answer:
    """201 with the new resource and where it is; 200 when If-None-Exist names one that is there.

    An id, version id or lastUpdated in the body is ignored, as R4 demands.

    Raises:
        MultipleMatches: If-None-Exist matches several resources.
        FhirError: the resource is not valid, or the present state forbids it.
    """
    pairs = criteria_of_header(request.header(b"if-none-exist"))
    if pairs is not None and not rules.registry.types[request.type].conditional_create:
        raise NotSupported(f"Conditional create (If-None-Exist) of {request.type} is not offered")
    resource = await request.body.resource()
    resource.pop("id", None)
    rules.check_shape(request.type, resource)
    criteria = None
    if pairs is not None:
        criteria = store.criteria(ctx, request.type, pairs).for_creating(resource)
    decide = plan_create(rules, request.type, new_id(), resource, criteria)
    committed = await store.run(ctx, decide, interaction="create")
    return answer_of(ctx.base_url, committed.result, committed.versions)
