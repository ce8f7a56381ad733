"""A Parameters resource checked against its OperationDefinition, all problems at once.

A string that is understood like a search parameter (`searchType`) may also come as the datatype
that such a parameter searches: a token as code, Coding or CodeableConcept, a reference as uri or
Reference. What is given under an alias counts for the parameter that it is another name of.

https://hl7.org/fhir/R4/parameters.html, https://hl7.org/fhir/R4/operations.html#request
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fhir_server.definitions.primitives import PRIMITIVES
from fhir_server.definitions.registry import OperationDefinition, OperationParameter, Registry
from fhir_server.definitions.structure_definition import validate, validate_value
from fhir_server.fhir.errors import FhirError, Issues, NotSupported, Required, Structure, Value
from fhir_server.fhir.exchange import Pairs
from fhir_server.fhir.types import Json, Resource

Parameters = Mapping[str, Sequence[Json]]
"""The values given, by parameter name; absent parameters have no values, aliases no entry."""

_Read = Callable[[], Json]

_JSON_TYPE: Mapping[str, type] = {
    "boolean": bool,
    "integer": int,
    "positiveInt": int,
    "unsignedInt": int,
}
_ALSO: Mapping[str, tuple[str, ...]] = {
    "token": ("code", "uri", "Coding", "CodeableConcept"),
    "reference": ("uri", "Reference"),
    "dateTime": ("instant", "date"),
}
"""The datatypes in which a value may come as well, by search type or datatype."""
_BOOLEANS = {"true": True, "false": False}
_INTEGER = re.compile(r"-?[0-9]{1,10}")
_WITH_ZONE = frozenset({"instant", "dateTime"})


@dataclass(frozen=True, slots=True)
class Invocation:
    """An operation as it is called.

    Attributes:
        definition: the operation.
        type: the resource type it is called on; empty for the whole system.
        id: the logical id it is called on, unchecked; empty above the instance level.
        parameters: its inputs.
        pairs: those of the inputs that stood in the URL.
    """

    definition: OperationDefinition
    type: str
    id: str
    parameters: Parameters
    pairs: Pairs = ()

    def first(self, name: str) -> Json | None:
        """The value of a parameter that is given at most once; None when it is absent."""
        return next(iter(self.parameters[name]), None)


def parse_parameters(
    registry: Registry,
    definition: OperationDefinition,
    resource: Resource | None,
    pairs: Pairs = (),
) -> Parameters:
    """The operation's inputs.

    A resource in place of a Parameters resource is taken as the first parameter of its type. A
    parameter of type Resource is handed on as it is; whoever takes any resource judges it.

    Args:
        registry: the types.
        definition: the operation.
        resource: the body; None when there is none.
        pairs: the parameters in the URL, of primitive types only.

    Raises:
        FhirError: unknown, missing, repeated or wrongly typed parameters; invalid resources.
    """
    inputs = {one.name: one for one in definition.inputs}
    problems: list[FhirError] = []
    values: dict[str, list[Json]] = {one.name: [] for one in definition.inputs if not one.alias_of}
    for name, read in (*_in_body(registry, definition, resource), *_in_url(inputs, pairs)):
        value = None
        try:
            value = read()
        except FhirError as problem:
            # It is there, though wrong: it counts, so that it is not reported as missing too.
            problems.append(problem)
        if name in inputs:
            values[inputs[name].alias_of or name].append(value)
    problems += _cardinality(definition, values)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Issues([one for problem in problems for one in _flat(problem)])
    return values


def _in_body(
    registry: Registry, definition: OperationDefinition, resource: Resource | None
) -> Iterator[tuple[str, _Read]]:
    if resource is None:
        return
    if resource.get("resourceType") != "Parameters":
        resource = _wrapped(definition, resource)
    given = resource.get("parameter", [])
    if not isinstance(given, list):
        raise Structure("Must be a list", expression=["Parameters.parameter"])
    inputs = {one.name: one for one in definition.inputs}
    for index, entry in enumerate(given):
        name = str(entry.get("name")) if isinstance(entry, dict) else ""
        yield name, partial(_value, registry, inputs, entry, f"Parameters.parameter[{index}]")


def _in_url(inputs: Mapping[str, OperationParameter], pairs: Pairs) -> Iterator[tuple[str, _Read]]:
    for name, text in pairs:
        yield name, partial(_of_url, inputs, name, text)


def _flat(problem: FhirError) -> Sequence[FhirError]:
    return problem.issues if isinstance(problem, Issues) else (problem,)


def _wrapped(definition: OperationDefinition, resource: Resource) -> Resource:
    found = resource.get("resourceType")
    names = [one.name for one in definition.inputs if one.type in (found, "Resource")]
    if not names:
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
        raise NotSupported(_unknown(name, inputs), expression=[path])
    if declared.type[:1].isupper() and declared.type in {*registry.types, "Resource"}:
        return _resource(registry, declared, entry, path)
    datatype = _datatype(declared, entry, path)
    key = _key(datatype)
    kind = _JSON_TYPE.get(datatype, dict if datatype[:1].isupper() else str)
    if type(entry[key]) is not kind:
        raise Value(f"{name} is not a {datatype}", expression=[f"{path}.{key}"])
    primitive = PRIMITIVES.get(datatype)
    if primitive is None and datatype in registry.structures:
        validate_value(registry, datatype, entry[key], f"{path}.{key}")
    elif primitive is not None and not primitive.is_legal(entry[key]):
        raise Value(f"{name} must be {primitive.meaning}", expression=[f"{path}.{key}"])
    return entry[key]


def _datatype(declared: OperationParameter, entry: Json, path: str) -> str:
    """The datatype in which a value comes."""
    offered = (declared.type, *_ALSO.get(declared.search_type or declared.type, ()))
    for one in offered:
        if _key(one) in entry:
            return one
    keys = " or ".join(map(_key, offered))
    raise Value(f"{declared.name} must be given as {keys}", expression=[path])


def _key(datatype: str) -> str:
    return "value" + datatype[:1].upper() + datatype[1:]


def _of_url(inputs: Mapping[str, OperationParameter], name: str, text: str) -> Json:
    declared = inputs.get(name)
    if declared is None:
        raise NotSupported(_unknown(name, inputs))
    primitive = PRIMITIVES.get(declared.type)
    if primitive is None:
        raise NotSupported(f"{name} is a {declared.type}: send it in the body, not in the URL")
    value: Json = text
    if declared.type == "boolean":
        value = _BOOLEANS.get(text)
    elif declared.type in _JSON_TYPE:
        value = int(text) if _INTEGER.fullmatch(text) else None
    elif declared.type in _WITH_ZONE:
        # A + that was not percent-encoded arrives as a space.
        value = text.replace(" ", "+")
    if not primitive.is_legal(value):
        raise Value(f"{name} must be {primitive.meaning}")
    return value


def _unknown(name: str, inputs: Mapping[str, OperationParameter]) -> str:
    offered = f"there are: {', '.join(sorted(inputs))}" if inputs else "there are none"
    return f"There is no parameter {name[:60]}; {offered}"


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
    if declared.type != "Resource":
        validate(registry, resource)
    return resource


def _cardinality(
    definition: OperationDefinition, values: Mapping[str, Sequence[Json]]
) -> list[FhirError]:
    problems: list[FhirError] = []
    for one in definition.inputs:
        if one.alias_of:
            continue
        count = len(values[one.name])
        where = [f"Parameters.parameter.where(name='{one.name}')"]
        if count < one.minimum:
            problems.append(Required(f"Parameter {one.name} is missing", expression=where))
        if one.maximum is not None and count > one.maximum:
            problems.append(
                Value(f"{one.name} may be given at most {one.maximum} times", expression=where)
            )
    return problems
