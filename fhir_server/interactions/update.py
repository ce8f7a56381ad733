"""update: a new version at a known id (https://hl7.org/fhir/R4/http.html#update)."""

from collections.abc import Callable

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.definitions.submission import check_submission
from fhir_server.fhir.errors import Invalid, MethodNotAllowed, Required
from fhir_server.fhir.exchange import Answer, Request, version_of
from fhir_server.fhir.ids import is_id
from fhir_server.fhir.preconditions import WriteCondition, write_condition
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Action, Decide, Plan, View, Write
from fhir_server.settings import Settings
from fhir_server.store.store import Store
from fhir_server.subscription_rules import SUBSCRIPTION, check_subscription


async def update(
    store: Store, registry: Registry, settings: Settings, ctx: RequestContext, request: Request
) -> Answer:
    """200 with the new version; 201 when there was none or it had been deleted.

    Raises:
        Required, Invalid: the body's id is missing or is not the address's.
        VersionConflict: If-Match names another version than the current one.
        FhirError: the resource is not valid, or the present state forbids it.
    """
    if not is_id(request.id):
        raise Invalid("An id has 1 to 64 of the characters A-Z, a-z, 0-9, - and .")
    condition = write_condition(request)
    resource = await request.body.resource()
    _check_id(request, resource)
    check_submission(registry, request.type, resource)
    may_create = registry.types[request.type].update_create

    def allow_creation() -> None:
        if not may_create:
            raise MethodNotAllowed(
                f"{request.type} cannot be created at an id of the client's choice; use POST",
                allow=(),
            )
        policy.authorize(ctx.principal, request.type, "update-create")

    def check_content(previous: Resource | None) -> None:
        if request.type == SUBSCRIPTION:
            check_subscription(registry, settings, resource, ctx.now, previous=previous)

    decide = plan_update(request, resource, condition, allow_creation, check_content)
    committed = await store.run(ctx, decide, interaction="update")
    written = version_of(committed.versions, request.type, request.id)
    return Answer.of_written(ctx.base_url, written, 201 if committed.result else 200)


def _check_id(request: Request, resource: Resource) -> None:
    if resource.get("resourceType") != request.type:
        return  # told better when the submission is checked
    path = f"{request.type}.id"
    if "id" not in resource:
        raise Required(f"The body has no id; it must be {request.id}", expression=[path])
    if resource["id"] != request.id:
        raise Invalid(
            f"The body's id is not the address's, which is {request.id}", expression=[path]
        )


def plan_update(
    request: Request,
    resource: Resource,
    condition: WriteCondition,
    allow_creation: Callable[[], None],
    check_content: Callable[[Resource | None], None],
) -> Decide:
    """The decision to store the next version; its plan's result tells whether it is a creation.

    Args:
        request: names the resource.
        resource: its new content.
        condition: what If-Match or If-None-Match demands.
        allow_creation: raises when the caller may not create the resource this way.
        check_content: raises when the content is not allowed in place of the live one.
    """

    def decide(view: View) -> Plan:
        current = view.get(request.type, request.id)
        is_new = current is None or current.deleted
        live = None if current is None or current.deleted else current.version
        condition.check(f"{request.type}/{request.id}", live)
        if is_new:
            allow_creation()
        check_content(None if current is None or is_new else current.resource)
        action: Action = "create" if is_new else "update"
        expected = 0 if current is None else current.version
        write = Write(request.type, request.id, action, resource, "PUT", expected)
        return Plan(writes=(write,), result=is_new)

    return decide
