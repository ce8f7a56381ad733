"""A Parameters resource checked against its OperationDefinition, all problems at once.

https://hl7.org/fhir/R4/parameters.html, https://hl7.org/fhir/R4/operations.html#request
"""

from collections.abc import Mapping, Sequence

from fhir_server.definitions.registry import OperationDefinition, OperationParameter, Registry
from fhir_server.definitions.structure_definition import validate
from fhir_server.fhir.errors import FhirError, Issues, NotSupported, Required, Structure, Value
from fhir_server.fhir.types import Json, Resource

Parameters = Mapping[str, Sequence[Json]]
"""The values given, by parameter name; absent parameters have no values."""

_JSON_TYPE: Mapping[str, type] = {
    "boolean": bool,
    "integer": int,
    "positiveInt": int,
    "unsignedInt": int,
}


def parse_parameters(
    registry: Registry, definition: OperationDefinition, resource: Resource
) -> Parameters:
    """The operation's inputs.

    A resource in place of a Parameters resource is taken as the only parameter of its type.

    Raises:
        FhirError: unknown, missing, repeated or wrongly typed parameters; invalid resources.
    """
    if resource.get("resourceType") != "Parameters":
        resource = _wrapped(definition, resource)
    given = resource.get("parameter", [])
    if not isinstance(given, list):
        raise Structure("Must be a list", expression=["Parameters.parameter"])
    problems: list[FhirError] = []
    inputs = {one.name: one for one in definition.inputs}
    values: dict[str, list[Json]] = {name: [] for name in inputs}
    for index, entry in enumerate(given):
        path = f"Parameters.parameter[{index}]"
        name = str(entry.get("name")) if isinstance(entry, dict) else ""
        value = None
        try:
            value = _value(registry, inputs, entry, path)
        except FhirError as problem:
            # It is there, though wrong: it counts, so that it is not reported as missing too.
            problems.append(problem)
        if name in values:
            values[name].append(value)
    problems += _cardinality(definition, values)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Issues([one for problem in problems for one in _flat(problem)])
    return values


def _flat(problem: FhirError) -> Sequence[FhirError]:
    return problem.issues if isinstance(problem, Issues) else (problem,)


def _wrapped(definition: OperationDefinition, resource: Resource) -> Resource:
    found = resource.get("resourceType")
    names = [one.name for one in definition.inputs if one.type in (found, "Resource")]
    if len(names) != 1:
        raise Structure(
            f"The body of ${definition.code} must be a Parameters resource",
            expression=["Parameters"],
        )
    return {"resourceType": "Parameters", "parameter": [{"name": names[0], "resource": resource}]}


def _value(
    registry: Registry, inputs: Mapping[str, OperationParameter], entry: Json, path: str
) -> Json:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise Structure("A parameter is an object with a name", expression=[path])
    name = entry["name"]
    declared = inputs.get(name)
    if declared is None:
        raise NotSupported(
            f"There is no parameter {name[:60]}; there are: {', '.join(sorted(inputs))}",
            expression=[path],
        )
    if declared.type[:1].isupper() and declared.type in {*registry.types, "Resource"}:
        return _resource(registry, declared, entry, path)
    key = "value" + declared.type[:1].upper() + declared.type[1:]
    if key not in entry:
        raise Value(f"{name} must be given as {key}", expression=[path])
    kind = _JSON_TYPE.get(declared.type, dict if declared.type[:1].isupper() else str)
    if type(entry[key]) is not kind:
        raise Value(f"{name} is not a {declared.type}", expression=[f"{path}.{key}"])
    return entry[key]


def _resource(registry: Registry, declared: OperationParameter, entry: Json, path: str) -> Resource:
    where = f"{path}.resource"
    resource = entry.get("resource")
    if not isinstance(resource, dict):
        raise Value(f"{declared.name} must be given as resource", expression=[where])
    found = resource.get("resourceType")
    if declared.type not in {found, "Resource"}:
        raise Value(
            f"{declared.name} must be of type {declared.type}, not {str(found)[:64]}",
            expression=[where],
        )
    validate(registry, resource)
    return resource


def _cardinality(
    definition: OperationDefinition, values: Mapping[str, Sequence[Json]]
) -> list[FhirError]:
    problems: list[FhirError] = []
    for one in definition.inputs:
        count = len(values[one.name])
        where = [f"Parameters.parameter.where(name='{one.name}')"]
        if count < one.minimum:
            problems.append(Required(f"Parameter {one.name} is missing", expression=where))
        if one.maximum is not None and count > one.maximum:
            problems.append(
                Value(f"{one.name} may be given at most {one.maximum} times", expression=where)
            )
    return problems
