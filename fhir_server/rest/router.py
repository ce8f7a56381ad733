"""From method and path to an interaction, by the registry and without patterns.

https://hl7.org/fhir/R4/http.html#summary
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fhir_server.definitions.registry import OperationDefinition, Registry, TypeDefinition
from fhir_server.fhir.errors import FhirError, MethodNotAllowed, UnknownAddress
from fhir_server.fhir.ids import is_id

CAPABILITIES = "capabilities"
SMART_CONFIGURATION = "smart-configuration"
OPERATION = "operation"
TRANSACTION = "transaction"
"""Stands for batches too: which of them it is, only the Bundle tells."""
SEARCH_SYSTEM = "search-system"
PUBLIC = frozenset({CAPABILITIES, SMART_CONFIGURATION})
"""Interactions that need no access token."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes.

    Attributes:
        interaction: FHIR's code, or one of the constants of this module.
        form: whether parameters may come as a form body.
        operation: canonical URL of the operation.
        compartment: `Type/id` of the compartment that is searched.
    """

    interaction: str
    type: str = ""
    id: str = ""
    version_id: str = ""
    form: bool = False
    operation: str = ""
    compartment: str = ""


_TYPE_LEVEL = {"GET": "search-type", "POST": "create"}
_CONDITIONAL = {"PUT": "update", "DELETE": "delete", "PATCH": "patch"}
_INSTANCE_LEVEL = {"GET": "read", "PUT": "update", "DELETE": "delete", "PATCH": "patch"}


class Router:
    """Resolves addresses below the FHIR base.

    Args:
        registry: what is declared; nothing else has a route.
    """

    def __init__(self, registry: Registry) -> None:
        self._types = registry.types
        self._interactions = registry.interactions
        self._compartments = frozenset(registry.compartments)
        self._operations: Mapping[tuple[str, str], OperationDefinition] = {
            (resource_type, definition.code): definition
            for definition in registry.operations.values()
            for resource_type in (*definition.types, *([""] if definition.system else []))
        }

    def resolve(self, method: str, segments: list[str]) -> Route:
        """The interaction at an address.

        Args:
            method: HTTP method; HEAD goes wherever GET does.
            segments: the decoded path below the FHIR base, split at slashes.

        Raises:
            UnknownAddress: nothing is there.
            MethodNotAllowed: something is, and the method is not declared for it.
        """
        if method == "HEAD":
            method = "GET"
        searched = self._search(method, segments)
        if searched is not None:
            return searched
        definition = self._types.get(segments[0]) if segments else None
        if definition is None:
            return self._system(method, segments)
        match segments:
            case [name]:
                offered = {**_TYPE_LEVEL, **_conditional(definition)}
                return _declared(method, offered, definition, Route("", name))
            case [name, second]:
                return self._second(method, definition, name, second)
            case [name, logical_id, "_history"]:
                only = {"GET": "history-instance"}
                return _declared(method, only, definition, Route("", name, logical_id))
            case [name, logical_id, third] if third.startswith("$"):
                return self._operation(method, third, Route(OPERATION, name, logical_id))
            case [name, logical_id, "_history", version_id]:
                route = Route("", name, logical_id, version_id)
                return _declared(method, {"GET": "vread"}, definition, route)
            case _:
                raise _unknown(segments)

    def _search(self, method: str, segments: list[str]) -> Route | None:
        """A search of several types or in a compartment, if it is one."""
        if segments[-1:] == ["_search"] and len(segments) != 2:
            form, verb, place = True, "POST", segments[:-1]
        else:
            form, verb, place = False, "GET", segments
        if method != verb:
            return None
        match place:
            case [] if SEARCH_SYSTEM in self._interactions:
                return Route(SEARCH_SYSTEM, form=form)
            case [name, logical_id, searched] if name in self._compartments and is_id(logical_id):
                compartment = f"{name}/{logical_id}"
                if searched == "*":
                    return Route(SEARCH_SYSTEM, form=form, compartment=compartment)
                definition = self._types.get(searched)
                if definition is not None and name in definition.compartments:
                    return Route("search-type", searched, form=form, compartment=compartment)
        return None

    def _second(self, method: str, definition: TypeDefinition, name: str, second: str) -> Route:
        if second.startswith("$"):
            return self._operation(method, second, Route(OPERATION, name))
        if second == "_search":
            route = Route("", name, form=True)
            return _declared(method, {"POST": "search-type"}, definition, route)
        if second == "_history":
            return _declared(method, {"GET": "history-type"}, definition, Route("", name))
        return _declared(method, _INSTANCE_LEVEL, definition, Route("", name, second))

    def _system(self, method: str, segments: list[str]) -> Route:
        match segments:
            case []:
                offered = {"GET": SEARCH_SYSTEM, "POST": TRANSACTION}
                allow = [verb for verb, code in offered.items() if code in self._interactions]
                if method != "POST" or "POST" not in allow:
                    raise _not_allowed(method, "This interaction on the base URL", allow)
                return Route(TRANSACTION)
            case ["metadata"]:
                return _only_get(method, CAPABILITIES)
            case [".well-known", "smart-configuration"]:
                return _only_get(method, SMART_CONFIGURATION)
            case ["_history"] if "history-system" in self._interactions:
                return _only_get(method, "history-system")
            case ["_history"]:
                raise _not_allowed(method, "The history of all types", ())
            case ["_search"]:
                allow = ["POST"] if SEARCH_SYSTEM in self._interactions else []
                raise _not_allowed(method, "A search of all types", allow)
            case [name] if name.startswith("$"):
                return self._operation(method, name, Route(OPERATION))
        raise _unknown(segments)

    def _operation(self, method: str, segment: str, route: Route) -> Route:
        definition = self._operations.get((route.type, segment[1:]))
        on_level = definition is not None and (
            definition.on_instance if route.id else definition.on_type or not route.type
        )
        if definition is None or not on_level:
            raise UnknownAddress(
                f"There is no operation {segment[:80]} here; "
                "CapabilityStatement.rest.resource.operation lists those there are"
            )
        allow = ("POST",) if definition.affects_state else ("GET", "POST")
        if method not in allow:
            raise _not_allowed(method, f"Operation ${definition.code}", allow)
        return Route(OPERATION, route.type, route.id, operation=definition.canonical)


def _conditional(definition: TypeDefinition) -> Mapping[str, str]:
    """The interactions on one resource that may name it by criteria instead of its id."""
    declared = {
        "update": definition.conditional_update,
        "patch": definition.conditional_update,
        "delete": definition.conditional_delete != "not-supported",
    }
    return {verb: code for verb, code in _CONDITIONAL.items() if declared[code]}


def _only_get(method: str, interaction: str) -> Route:
    if method != "GET":
        raise _not_allowed(method, interaction, ("GET",))
    return Route(interaction)


def _declared(
    method: str, offered: Mapping[str, str], definition: TypeDefinition, route: Route
) -> Route:
    interaction = offered.get(method)
    if interaction is None or interaction not in definition.interactions:
        allow = [verb for verb, code in offered.items() if code in definition.interactions]
        raise _not_allowed(method, f"{interaction or method} of {definition.name}", allow)
    return Route(interaction, route.type, route.id, route.version_id, form=route.form)


def _not_allowed(method: str, what: str, allow: Iterable[str]) -> FhirError:
    verbs = [verb for one in allow for verb in ((one, "HEAD") if one == "GET" else (one,))]
    offered = f"offered: {', '.join(verbs)}" if verbs else "nothing is offered at this address"
    return MethodNotAllowed(
        f"{what} is not declared in the CapabilityStatement and not available by {method[:20]}; "
        f"{offered}",
        allow=verbs,
    )


def _unknown(segments: list[str]) -> FhirError:
    shown = "/".join(segments)[:120]
    if len(segments) <= 2 and segments[0][:1].isalpha():
        return UnknownAddress(
            f"Resource type {segments[0][:64]} is not served here; "
            "CapabilityStatement.rest.resource lists the types that are"
        )
    return UnknownAddress(f"There is nothing at {shown}")
