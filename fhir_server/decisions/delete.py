"""delete, plain and conditional (https://hl7.org/fhir/R4/http.html#delete, #cdelete)."""

from fhir_server.decisions.criteria import Criteria
from fhir_server.decisions.outcome import Outcome
from fhir_server.fhir.errors import MultipleMatches
from fhir_server.fhir.preconditions import WriteCondition
from fhir_server.scheduling.plan import Decide, Plan, View, Write


def plan_delete(resource_type: str, logical_id: str, condition: WriteCondition) -> Decide:
    """The decision to mark a resource deleted; nothing to do when it is not there."""

    def decide(view: View) -> Plan:
        current = view.get(resource_type, logical_id)
        live = None if current is None or current.deleted else current.version
        condition.check(f"{resource_type}/{logical_id}", live)
        if live is None:
            return Plan(result=Outcome(resource_type, logical_id, 204, written=False))
        write = Write(resource_type, logical_id, "delete", None, "DELETE", live)
        return Plan(writes=(write,), result=Outcome(resource_type, logical_id, 204))

    return decide


def plan_conditional_delete(
    criteria: Criteria, condition: WriteCondition, *, multiple: bool
) -> Decide:
    """The decision to delete what matches; nothing to do when nothing does.

    Args:
        criteria: which.
        condition: of If-Match, for a single match.
        multiple: whether several matches are all deleted; else they are refused.
    """

    def decide(view: View) -> Plan:
        found = view.find(criteria)
        if len(found) > 1 and not multiple:
            raise criteria.several()
        if multiple and len(found) == criteria.most:
            raise MultipleMatches(
                f"More than {criteria.most - 1} {criteria.type} resources match; "
                "narrow the criteria and delete them in parts"
            )
        for one in found:
            condition.check(f"{one.type}/{one.id}", one.version)
        if not found:
            condition.check(f"a {criteria.type} that matches", None)
        writes = tuple(
            Write(one.type, one.id, "delete", None, "DELETE", one.version) for one in found
        )
        single = found[0].id if len(found) == 1 else ""
        outcome = Outcome(criteria.type, single, 204, written=bool(found))
        return Plan(writes=writes, result=outcome)

    return decide
