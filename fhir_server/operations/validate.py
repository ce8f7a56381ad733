"""$validate: whether a resource is valid, and would be accepted; nothing is ever written.

https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from dataclasses import dataclass
from typing import Final

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.decisions.content import ContentRules
from fhir_server.decisions.create import plan_create
from fhir_server.decisions.delete import plan_delete
from fhir_server.decisions.update import Replacement, check_body_id, plan_update
from fhir_server.definitions.parameters import Invocation
from fhir_server.definitions.profiles import base_type_of
from fhir_server.fhir import errors
from fhir_server.fhir.codec import encode_json
from fhir_server.fhir.errors import FhirError, Invalid, Issues, NotFound, NotSupported, Value
from fhir_server.fhir.exchange import Answer
from fhir_server.fhir.ids import IdSource, is_id
from fhir_server.fhir.outcome import issue
from fhir_server.fhir.preconditions import NO_CONDITION
from fhir_server.fhir.types import Json, Resource
from fhir_server.scheduling.plan import Decide, Plan, View
from fhir_server.settings import Settings
from fhir_server.store.rehearsal import rehearse
from fhir_server.store.store import Store

_OF_INSTANCES: Final = frozenset({"update", "delete", "profile"})
_MODES: Final = ("create", "update", "delete", "profile")
_MODE: Final = "Parameters.parameter.where(name='mode')"
_PROFILE: Final = "Parameters.parameter.where(name='profile')"
_RESOURCE: Final = "Parameters.parameter.where(name='resource')"

# They say that the question cannot be answered, or not to this caller.
_NO_ANSWER: Final = (
    errors.NotFound,
    errors.Deleted,
    errors.Login,
    errors.Forbidden,
    errors.Throttled,
    errors.Transient,
)
_ALL_OK: Final[Json] = {
    "severity": "information",
    "code": "informational",
    "details": {"text": "All OK"},
    "diagnostics": "Nothing is wrong with it. Nothing was written.",
}


async def validate(
    store: Store, settings: Settings, new_id: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """200 with an OperationOutcome, whether the resource is valid or not.

    Raises:
        FhirError: the question makes no sense or may not be asked: an unknown mode or profile,
            no resource, a missing right.
    """
    validation = _Validation(store, settings, new_id, ctx, call)
    compartments: tuple[str, ...] = ()
    mode, resource = validation.mode(), call.first("resource")
    base_type = validation.profile(mode)
    if resource is None and mode in (None, "profile") and call.id:
        policy.authorize(ctx.principal, call.type, "read")
        found = await store.read(ctx, call.type, call.id)
        resource, compartments = found.resource, found.acl
    elif resource is None and mode != "delete":
        raise errors.Required("Give the resource to validate", expression=[_RESOURCE])
    elif resource is not None and mode == "profile":
        raise Invalid("Mode profile takes the stored resource, no other", expression=[_RESOURCE])
    found_issues = await validation.issues(mode, resource, base_type)
    outcome = {"resourceType": "OperationOutcome", "issue": found_issues}
    return Answer(200, encode_json(outcome), compartments=compartments)


@dataclass(frozen=True, slots=True)
class _Validation:
    store: Store
    settings: Settings
    new_id: IdSource
    ctx: RequestContext
    call: Invocation

    def mode(self) -> str | None:
        """The mode, which the caller is allowed to ask for."""
        mode, call = self.call.first("mode"), self.call
        if call.id and not is_id(call.id):
            raise NotFound(f"There is no {call.type} with this id")
        if mode is None:
            return None
        if mode not in _MODES:
            raise Value(f"mode is one of {', '.join(_MODES)}", expression=[_MODE])
        if mode in _OF_INSTANCES and not call.id:
            raise Invalid(
                f"Mode {mode} is about a stored resource: {call.type}/[id]/$validate",
                expression=[_MODE],
            )
        policy.authorize(self.ctx.principal, call.type, "read" if mode == "profile" else mode)
        return str(mode)

    def profile(self, mode: str | None) -> str:
        """The type that the profile constrains; that of the address when none is given."""
        profile = self.call.first("profile")
        if profile is None:
            if mode == "profile":
                raise errors.Required("Mode profile needs a profile", expression=[_PROFILE])
            return self.call.type
        base_type = base_type_of(self.store.registry, profile)
        if base_type is None:
            raise NotSupported(
                f"The profile {profile[:200]} is not known here; those of the served types are: "
                f"http://hl7.org/fhir/StructureDefinition/{self.call.type}",
                expression=[_PROFILE],
            )
        return base_type

    async def issues(self, mode: str | None, resource: Json, base_type: str) -> list[Json]:
        """What the OperationOutcome tells."""
        notes: list[Json] = []
        try:
            if resource is not None:
                rules = ContentRules(self.store.registry, self.settings)
                rules.check_shape(self.call.type, resource)
                self._check_type(base_type)
                notes = [*self._unknown_profiles(resource)]
            if mode not in (None, "profile"):
                await self._check_interaction(str(mode), resource)
        except _NO_ANSWER:
            raise
        except FhirError as problem:
            if isinstance(problem, Issues) and isinstance(problem.issues[0], _NO_ANSWER):
                raise
            return [*_issues(problem, self.call.type), *notes]
        return notes or [_ALL_OK]

    def _check_type(self, base_type: str) -> None:
        if base_type not in (self.call.type, "Resource", "DomainResource"):
            raise Invalid(
                f"The profile is one of {base_type}, not of {self.call.type}",
                expression=[self.call.type],
            )

    def _unknown_profiles(self, resource: Resource) -> list[Json]:
        claimed = resource.get("meta", {}).get("profile", ())
        return [
            {
                "severity": "warning",
                "code": "not-supported",
                "diagnostics": f"The profile {one[:200]} is not known here and was not checked",
                "expression": [f"{self.call.type}.meta.profile[{index}]"],
            }
            for index, one in enumerate(claimed)
            if one is not None and base_type_of(self.store.registry, one) is None
        ]

    async def _check_interaction(self, mode: str, resource: Json) -> None:
        definition = self.store.registry.types[self.call.type]
        if mode not in definition.interactions:
            raise NotSupported(
                f"{mode} of {self.call.type} is not offered", expression=[self.call.type]
            )
        await rehearse(self.store, self.settings, self.ctx, self._decision(mode, resource))

    def _decision(self, mode: str, resource: Json) -> Decide:
        type_name, logical_id = self.call.type, self.call.id
        if mode == "delete":
            return _existing(
                type_name, logical_id, plan_delete(type_name, logical_id, NO_CONDITION)
            )
        rules = ContentRules(self.store.registry, self.settings)
        if mode == "create":
            content = {key: value for key, value in resource.items() if key != "id"}
            return plan_create(rules, type_name, self.new_id(), content)
        check_body_id(type_name, logical_id, resource)
        replacement = Replacement(rules, self.ctx.principal, type_name, resource, NO_CONDITION)
        return plan_update(replacement, logical_id)


def _existing(resource_type: str, logical_id: str, decide: Decide) -> Decide:
    def decide_if_there(view: View) -> Plan:
        current = view.get(resource_type, logical_id)
        if current is None or current.deleted:
            raise NotFound(f"There is no {resource_type}/{logical_id}")
        return decide(view)

    return decide_if_there


def _issues(problem: FhirError, place: str) -> list[Json]:
    """Each with an expression: that of the whole resource when it names no element."""
    told = problem.issues if isinstance(problem, Issues) else (problem,)
    return [{**issue(one), "expression": list(one.expression) or [place]} for one in told]
