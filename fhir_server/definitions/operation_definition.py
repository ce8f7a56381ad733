"""OperationDefinition artefacts (https://hl7.org/fhir/R4/operationdefinition.html)."""

from fhir_server.definitions.artefact import METADATA, Artefact, Defects
from fhir_server.definitions.registry import OperationDefinition, OperationParameter
from fhir_server.fhir.types import Json

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
    "parameter": dict.fromkeys(("name", "use", "min", "max", "documentation", "type")),
}


def compile_operation(artefact: Artefact, defects: Defects) -> OperationDefinition | None:
    """The operation; None, with its defects noted, when something it needs is missing."""
    defects.refuse_unknown(artefact, _FIELDS)
    if not defects.require(artefact, "url", "code", "kind", "system", "type", "instance"):
        return None
    content = artefact.content
    if content["kind"] != "operation":
        defects.add(artefact, "only operations are understood, no named queries")
    if (content["type"] or content["instance"]) and not content.get("resource"):
        defects.add(artefact, "resource is missing: the types that it is invoked on")
    parameters = [
        parameter
        for parameter in content.get("parameter", ())
        if _is_sound(artefact, parameter, defects)
    ]
    return OperationDefinition(
        code=content["code"],
        canonical=artefact.url,
        types=tuple(content.get("resource", ())),
        system=content["system"],
        on_type=content["type"],
        on_instance=content["instance"],
        affects_state=content.get("affectsState", True),
        inputs=tuple(_parameter(one) for one in parameters if one["use"] == "in"),
        outputs=tuple(_parameter(one) for one in parameters if one["use"] == "out"),
    )


def _is_sound(artefact: Artefact, parameter: Json, defects: Defects) -> bool:
    missing = {"name", "use", "min", "max", "type"} - parameter.keys()
    for name in sorted(missing):
        defects.add(artefact, f"parameter {parameter.get('name', '?')} has no {name}")
    return not missing


def _parameter(parameter: Json) -> OperationParameter:
    most = parameter["max"]
    return OperationParameter(
        name=parameter["name"],
        minimum=parameter["min"],
        maximum=None if most == "*" else int(most),
        type=parameter["type"],
    )
