"""delete: gone from reads and searches, kept in history (https://hl7.org/fhir/R4/http.html#delete)."""

from fhir_server.context import RequestContext
from fhir_server.fhir.exchange import Answer, Request, version_of
from fhir_server.fhir.ids import is_id
from fhir_server.fhir.preconditions import WriteCondition, write_condition
from fhir_server.scheduling.plan import Decide, Plan, View, Write
from fhir_server.store.store import Store


async def delete(store: Store, ctx: RequestContext, request: Request) -> Answer:
    """204; also when nothing is there (any more), for deleting twice is no mistake.

    Raises:
        VersionConflict: If-Match names another version than the current one.
        Conflict: others depend on it.
    """
    condition = write_condition(request)
    if not is_id(request.id):
        condition.check(f"{request.type} of this id", None)
        return Answer(204)
    decide = plan_delete(request.type, request.id, condition)
    committed = await store.run(ctx, decide, interaction="delete")
    if committed.result is None:
        return Answer(204)
    written = version_of(committed.versions, request.type, request.id)
    return Answer(204, b"", written.version, written.last_updated)


def plan_delete(resource_type: str, logical_id: str, condition: WriteCondition) -> Decide:
    """The decision to mark the resource deleted; without a result when it is not there."""

    def decide(view: View) -> Plan:
        current = view.get(resource_type, logical_id)
        live = None if current is None or current.deleted else current.version
        condition.check(f"{resource_type}/{logical_id}", live)
        if live is None:
            return Plan()
        write = Write(resource_type, logical_id, "delete", None, "DELETE", live)
        return Plan(writes=(write,), result=live)

    return decide
