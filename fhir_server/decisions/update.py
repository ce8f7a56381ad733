"""update, plain and conditional (https://hl7.org/fhir/R4/http.html#update, #cond-update)."""

from dataclasses import dataclass

from fhir_server.auth import policy
from fhir_server.context import Principal
from fhir_server.decisions.content import ContentRules
from fhir_server.decisions.criteria import Criteria
from fhir_server.decisions.outcome import Outcome
from fhir_server.fhir.errors import Conflict, Invalid, MethodNotAllowed, Required
from fhir_server.fhir.ids import is_id
from fhir_server.fhir.preconditions import WriteCondition
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Action, Decide, Plan, Stored, View, Write

_NO_ID = "An id has 1 to 64 of the characters A-Z, a-z, 0-9, - and ."
# Legal ids, which clients take out of every address (RFC 3986, section 5.2.4).
_DOTS = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class Replacement:
    """A resource that a client wants stored in place of another, or anew.

    Attributes:
        rules: for the content.
        principal: who asks; creating needs a right of its own.
        type: the resource type.
        resource: the new content, of valid shape.
        condition: what If-Match or If-None-Match demands.
    """

    rules: ContentRules
    principal: Principal | None
    type: str
    resource: Resource
    condition: WriteCondition

    def plan(self, view: View, logical_id: str, current: Stored | None) -> Plan:
        """The write of the next version, after a look at what is there.

        Raises:
            FhirError: the condition does not hold, or the content is not allowed.
        """
        is_new = current is None or current.deleted
        self.condition.check(
            f"{self.type}/{logical_id}", None if current is None or is_new else current.version
        )
        if is_new:
            self.allow_creation()
        previous = None if current is None or is_new else current.resource
        self.rules.check_change(self.type, self.resource, view.now, previous)
        action: Action = "create" if is_new else "update"
        expected = 0 if current is None else current.version
        write = Write(self.type, logical_id, action, self.resource, "PUT", expected)
        return Plan(writes=(write,), result=Outcome(self.type, logical_id, 201 if is_new else 200))

    def allow_creation(self, right: str = "update-create") -> None:
        """Refuse when the caller may not create a resource this way.

        Raises:
            MethodNotAllowed: nobody may.
            Forbidden: the token does not allow it.
        """
        if right == "update-create" and not self.rules.registry.types[self.type].update_create:
            raise MethodNotAllowed(
                f"{self.type} cannot be created at an id of the client's choice; use POST",
                allow=(),
            )
        policy.authorize(self.principal, self.type, right)


def check_body_id(resource_type: str, logical_id: str, resource: Resource) -> None:
    """Refuse an address that is no id, and a body whose id is not the address's.

    Raises:
        Required, Invalid: it is so.
    """
    if not is_id(logical_id):
        raise Invalid(_NO_ID)
    if logical_id in _DOTS:
        raise Invalid(f"The id {logical_id} cannot be part of an address; choose another")
    if resource.get("resourceType") != resource_type:
        return  # told better when the shape is checked
    path = f"{resource_type}.id"
    if "id" not in resource:
        raise Required(f"The body has no id; it must be {logical_id}", expression=[path])
    if resource["id"] != logical_id:
        raise Invalid(
            f"The body's id is not the address's, which is {logical_id}", expression=[path]
        )


def plan_update(replacement: Replacement, logical_id: str) -> Decide:
    """The decision to store the next version at an id."""

    def decide(view: View) -> Plan:
        return replacement.plan(view, logical_id, view.get(replacement.type, logical_id))

    return decide


def plan_conditional_update(replacement: Replacement, criteria: Criteria, fresh_id: str) -> Decide:
    """The decision to store the next version of what matches, or a new resource.

    Args:
        replacement: the new content; its id, if it has one, must be that of the match.
        criteria: which.
        fresh_id: the id when nothing matches and the content has none.
    """
    own_id = replacement.resource.get("id")

    def decide(view: View) -> Plan:
        found = view.find(criteria)
        if len(found) > 1:
            raise criteria.several()
        if found:
            known = found[0]
            if own_id is not None and own_id != known.id:
                raise Invalid(
                    f"The body's id is not that of the match, {known.type}/{known.id}; "
                    "leave it out or send that one",
                    expression=[f"{known.type}.id"],
                )
            return replacement.plan(view, known.id, known)
        return _creation(replacement, criteria, view, own_id, fresh_id)

    return decide


def _creation(
    replacement: Replacement, criteria: Criteria, view: View, own_id: str | None, fresh_id: str
) -> Plan:
    resource_type = replacement.type
    if own_id is None:
        replacement.condition.check(f"a {resource_type} that matches", None)
        replacement.allow_creation("create")
        replacement.rules.check_change(resource_type, replacement.resource, view.now, None)
        write = Write(resource_type, fresh_id, "create", replacement.resource, "PUT", 0)
        outcome = Outcome(resource_type, fresh_id, 201)
        return Plan(writes=(write,), locks=criteria.locks, result=outcome)
    current = view.get(resource_type, own_id)
    if current is not None and not current.deleted:
        raise Conflict(
            f"Nothing matches the criteria, and {resource_type}/{own_id} is taken by a resource "
            "that does not match them"
        )
    plan = replacement.plan(view, own_id, current)
    return Plan(writes=plan.writes, locks=criteria.locks, result=plan.result)
