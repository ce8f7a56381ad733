"""create, plain and conditional (https://hl7.org/fhir/R4/http.html#create, #ccreate)."""

from fhir_server.decisions.content import ContentRules
from fhir_server.decisions.criteria import Criteria
from fhir_server.decisions.outcome import Outcome
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Decide, Plan, View, Write


def plan_create(
    rules: ContentRules,
    resource_type: str,
    logical_id: str,
    resource: Resource,
    criteria: Criteria | None = None,
) -> Decide:
    """The decision to store a new resource, unless one that matches is there.

    Args:
        rules: for the content.
        resource_type: its type.
        logical_id: its id.
        resource: its content, of valid shape.
        criteria: of If-None-Exist; None for a plain create.
    """
    write = Write(resource_type, logical_id, "create", resource, "POST", 0)

    def decide(view: View) -> Plan:
        if criteria is not None:
            found = view.find(criteria)
            if len(found) > 1:
                raise criteria.several()
            if found:
                known = found[0]
                return Plan(result=Outcome(known.type, known.id, 200, known, written=False))
        rules.check_change(resource_type, resource, view.now, None)
        locks = () if criteria is None else criteria.locks
        outcome = Outcome(resource_type, logical_id, 201)
        return Plan(writes=(write,), locks=locks, result=outcome)

    return decide
