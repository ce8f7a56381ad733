"""patch, plain and conditional (https://hl7.org/fhir/R4/http.html#patch)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fhir_server.decisions.content import ContentRules
from fhir_server.decisions.criteria import Criteria
from fhir_server.decisions.outcome import Outcome
from fhir_server.definitions.fhirpath_patch import parse_fhirpath_patch
from fhir_server.fhir.errors import Deleted, FhirError, Issues, NotFound
from fhir_server.fhir.json_patch import parse_json_patch
from fhir_server.fhir.patch import Patch, PatchFailed
from fhir_server.fhir.preconditions import WriteCondition
from fhir_server.fhir.types import Json, Resource
from fhir_server.scheduling.plan import Decide, Plan, Stored, View, Write

_FIXED_META: Final = ("versionId", "lastUpdated")


def parse_patch(rules: ContentRules, document: Json) -> Patch:
    """Understand the body of a PATCH: an array is a JSON Patch, all else a FHIRPath Patch.

    Raises:
        FhirError: it is neither; all problems at once.
    """
    settings = rules.settings
    limits = {"max_bytes": settings.max_body_bytes, "max_depth": settings.max_json_depth}
    if isinstance(document, list):
        return parse_json_patch(document, **limits)
    return parse_fhirpath_patch(rules.registry.structures, document, **limits)


@dataclass(frozen=True, slots=True)
class Change:
    """A patch of one resource.

    Attributes:
        rules: for the result.
        type: the resource type.
        patch: the changes.
        condition: what If-Match demands.
        admits: whether the caller's token reaches a resource; out of reach is not there.
    """

    rules: ContentRules
    type: str
    patch: Patch
    condition: WriteCondition
    admits: Callable[[Resource], bool]

    def plan(self, current: Stored, view: View) -> Plan:
        """The write of the changed resource.

        Raises:
            VersionConflict: the condition does not hold.
            PatchFailed: the patch does not fit, or its result may not be stored.
        """
        self.condition.check(f"{current.type}/{current.id}", current.version)
        resource = self._changed(current, view)
        write = Write(current.type, current.id, "update", resource, "PATCH", current.version)
        return Plan(writes=(write,), result=Outcome(current.type, current.id, 200))

    def _changed(self, current: Stored, view: View) -> Resource:
        resource = self.patch.apply(current.resource)
        _check_identity(current.resource, resource)
        try:
            self.rules.check_shape(self.type, resource)
            self.rules.check_change(self.type, resource, view.now, current.resource)
        except FhirError as error:
            problems = error.issues if isinstance(error, Issues) else (error,)
            told = PatchFailed("The result of the patch may not be stored; nothing was changed")
            raise Issues([told, *problems]) from None
        return resource


def plan_patch(change: Change, logical_id: str) -> Decide:
    """The decision to change a resource."""

    def decide(view: View) -> Plan:
        current = view.get(change.type, logical_id)
        address = f"{change.type}/{logical_id}"
        if current is not None and current.deleted:
            change.condition.check(address, None)
            raise Deleted(f"{address} has been deleted.", version=current.version)
        if current is None or not change.admits(current.resource):
            change.condition.check(address, None)
            raise NotFound(f"There is no {address}.")
        return change.plan(current, view)

    return decide


def plan_conditional_patch(change: Change, criteria: Criteria) -> Decide:
    """The decision to change the one resource that matches."""

    def decide(view: View) -> Plan:
        found = [one for one in view.find(criteria) if change.admits(one.resource)]
        if len(found) > 1:
            raise criteria.several()
        if not found:
            raise NotFound(f"No {criteria.type} matches {criteria.text[:200]}.")
        return change.plan(found[0], view)

    return decide


def _check_identity(before: Resource, after: Resource) -> None:
    for name in ("resourceType", "id"):
        if after.get(name) != before.get(name):
            raise PatchFailed(
                f"{name} cannot be changed; nothing was changed",
                expression=[f"{before['resourceType']}.{name}"],
            )
    meta = after.get("meta", {})
    if not isinstance(meta, dict):
        return  # told better when the shape is checked
    for name in _FIXED_META:
        if name in meta and meta[name] != before.get("meta", {}).get(name):
            raise PatchFailed(
                f"meta.{name} is the server's own; nothing was changed",
                expression=[f"{before['resourceType']}.meta.{name}"],
            )
