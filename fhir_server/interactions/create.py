"""create: a new resource at an id of the server's choice (https://hl7.org/fhir/R4/http.html#create)."""

from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.definitions.submission import check_submission
from fhir_server.fhir.errors import NotSupported
from fhir_server.fhir.exchange import Answer, Request, version_of
from fhir_server.fhir.ids import IdSource
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Decide, Plan, View, Write
from fhir_server.settings import Settings
from fhir_server.store.store import Store
from fhir_server.subscription_rules import SUBSCRIPTION, check_subscription


async def create(
    store: Store,
    registry: Registry,
    settings: Settings,
    new_id: IdSource,
    ctx: RequestContext,
    request: Request,
) -> Answer:
    """201 with the new resource and where it is.

    An id, version id or lastUpdated in the body is ignored, as R4 demands.

    Raises:
        NotSupported: If-None-Exist is given; conditional create is not offered.
        FhirError: the resource is not valid, or the present state forbids it.
    """
    if request.header(b"if-none-exist") is not None:
        raise NotSupported("Conditional create (If-None-Exist) is not offered; nothing was created")
    resource = await request.body.resource()
    resource.pop("id", None)
    check_submission(registry, request.type, resource)
    if request.type == SUBSCRIPTION:
        check_subscription(registry, settings, resource, ctx.now)
    logical_id = new_id()
    committed = await store.run(
        ctx, plan_create(request.type, logical_id, resource), interaction="create"
    )
    written = version_of(committed.versions, request.type, logical_id)
    return Answer.of_written(ctx.base_url, written, 201)


def plan_create(resource_type: str, logical_id: str, resource: Resource) -> Decide:
    """The decision to store a new resource; the guard adds what follows from it."""
    write = Write(resource_type, logical_id, "create", resource, "POST", 0)

    def decide(_view: View) -> Plan:
        return Plan(writes=(write,))

    return decide
