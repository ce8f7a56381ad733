"""OperationDefinition artefacts (https://hl7.org/fhir/R4/operationdefinition.html)."""

from collections.abc import Collection

from fhir_server.definitions.artefact import METADATA, Artefact, Defects
from fhir_server.definitions.registry import OperationDefinition, OperationParameter
from fhir_server.fhir.canonicals import canonical
from fhir_server.fhir.types import Json

ALIAS = canonical("StructureDefinition", "alias-of")
"""The extension of a parameter that is another name of the one it tells."""

_FIELDS = {
    **METADATA,
    "kind": None,
    "affectsState": None,
    "code": None,
    "comment": None,
    "resource": None,
    "system": None,
    "type": None,
    "instance": None,
    "parameter": {
        **dict.fromkeys(("name", "use", "min", "max", "documentation", "type", "searchType")),
        "extension": None,
    },
}


ANY_TYPE = "Resource"
"""In `resource`: every type that the CapabilityStatement lets have the operation."""


def compile_operation(
    artefact: Artefact, declared: Collection[str], defects: Defects
) -> OperationDefinition | None:
    """The operation; None, with its defects noted, when something it needs is missing.

    Args:
        artefact: the OperationDefinition.
        declared: the types whose operations name it in the CapabilityStatement; an empty name
            for the system's.
        defects: takes what is wrong.
    """
    defects.refuse_unknown(artefact, _FIELDS)
    if not defects.require(artefact, "url", "code", "kind", "system", "type", "instance"):
        return None
    content = artefact.content
    if content["kind"] != "operation":
        defects.add(artefact, "only operations are understood, no named queries")
    if (content["type"] or content["instance"]) and not content.get("resource"):
        defects.add(artefact, "resource is missing: the types that it is invoked on")
    types = _types(artefact, declared, defects)
    parameters = [
        parameter
        for parameter in content.get("parameter", ())
        if _is_sound(artefact, parameter, defects)
    ]
    _check_aliases(artefact, parameters, defects)
    return OperationDefinition(
        code=content["code"],
        canonical=artefact.url,
        types=types,
        system=content["system"],
        on_type=content["type"],
        on_instance=content["instance"],
        affects_state=content.get("affectsState", True),
        inputs=tuple(_parameter(one) for one in parameters if one["use"] == "in"),
        outputs=tuple(_parameter(one) for one in parameters if one["use"] == "out"),
    )


def _types(artefact: Artefact, declared: Collection[str], defects: Defects) -> tuple[str, ...]:
    content = artefact.content
    named = [name for name in declared if name]
    listed = content.get("resource", ())
    if content["system"] != ("" in declared):
        defects.add(artefact, "system differs from the CapabilityStatement's rest.operation")
    if ANY_TYPE not in listed:
        for name in sorted(set(named) ^ set(listed)):
            defects.add(artefact, f"{name}: the CapabilityStatement and resource differ")
    return tuple(dict.fromkeys(named))


def _is_sound(artefact: Artefact, parameter: Json, defects: Defects) -> bool:
    missing = {"name", "use", "min", "max", "type"} - parameter.keys()
    for name in sorted(missing):
        defects.add(artefact, f"parameter {parameter.get('name', '?')} has no {name}")
    return not missing


def _check_aliases(artefact: Artefact, parameters: list[Json], defects: Defects) -> None:
    own = {one["name"]: one for one in parameters if one["use"] == "in" and not _alias(one)}
    for one in parameters:
        meant = _alias(one)
        if meant and meant not in own:
            defects.add(artefact, f"parameter {one['name']} is an alias of {meant}, which is none")
        elif meant and (one["type"], one["min"]) != (own[meant]["type"], 0):
            defects.add(artefact, f"parameter {one['name']} must be optional, with {meant}'s type")


def _alias(parameter: Json) -> str:
    extensions = parameter.get("extension", ())
    return next((str(one["valueCode"]) for one in extensions if one["url"] == ALIAS), "")


def _parameter(parameter: Json) -> OperationParameter:
    most = parameter["max"]
    return OperationParameter(
        name=parameter["name"],
        minimum=parameter["min"],
        maximum=None if most == "*" else int(most),
        type=parameter["type"],
        search_type=parameter.get("searchType", ""),
        alias_of=_alias(parameter),
    )
