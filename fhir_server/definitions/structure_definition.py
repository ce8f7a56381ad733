"""Validation of resources against R4's StructureDefinitions and invariants.

The base shape first: JSON rules, unknown and missing elements, datatypes, required bindings,
reference targets, narrative (https://hl7.org/fhir/R4/validation.html, json.html). Then R4's
invariants and our own rules, in `invariants`. Every problem is told at once, each with the
FHIRPath of its element. Nothing is changed: what was sent is what gets stored.
"""

from typing import TYPE_CHECKING

from fhir_server.definitions import invariants
from fhir_server.definitions.elements import ElementDefinition, Structure, Structures
from fhir_server.definitions.narrative import narrative_problem
from fhir_server.definitions.references import reference_problem
from fhir_server.fhir.errors import CodeInvalid, FhirError, Invariant, Issues, Required, Value
from fhir_server.fhir.errors import Structure as Shape
from fhir_server.fhir.types import Json, Resource

if TYPE_CHECKING:
    from fhir_server.definitions.registry import Registry

_MOST_ISSUES = 50
_LONGEST_ECHO = 40
_MOST_CODES = 20


def validate(registry: "Registry", resource: Resource) -> None:
    """Refuses a resource that breaks R4 or a rule of ours.

    Raises:
        FhirError: its one problem: `Structure`, `Required`, `Value` or `CodeInvalid` (400) when
            the base shape is wrong; `Invariant` or `BusinessRule` (422) when a constraint is.
        Issues: all of them, those of the base shape first.
    """
    run = _Validation(registry.structures)
    run.resource(resource, "")
    found = run.shape + run.rules
    if len(found) == 1:
        raise found[0]
    if found:
        raise Issues(found[:_MOST_ISSUES])


def validate_value(registry: "Registry", datatype: str, value: Json, path: str) -> None:
    """Refuses a value that is not of a complex datatype, such as a parameter of an operation.

    Raises:
        FhirError: its one problem, placed below `path`.
        Issues: all of them.
    """
    run = _Validation(registry.structures)
    run.value(value, datatype, path)
    found = run.shape + run.rules
    if len(found) == 1:
        raise found[0]
    if found:
        raise Issues(found[:_MOST_ISSUES])


class _Validation:
    def __init__(self, structures: Structures) -> None:
        self._structures = structures
        self.shape: list[FhirError] = []
        self.rules: list[FhirError] = []
        self._local: list[tuple[str, str]] = []

    def resource(self, resource: Json, path: str) -> None:
        """Checks a resource: the outermost, a contained one, or a Bundle's or parameter's."""
        if type(resource) is not dict:
            self._refuse(path, "a resource must be a JSON object")
            return
        name = resource.get("resourceType")
        if type(name) is not str:
            self._refuse(path or "Resource", "resourceType is missing")
            return
        if self._structures.is_resource(name):
            structure = self._structures[name]
        elif path and name in self._structures.resource_types:
            # Not served: only what all resources share is known.
            structure = self._structures["Resource"]
        else:
            self._refuse(path or "Resource", f"{_echo(name)} is not a resource type of R4")
            return
        if ".contained[" in path:
            self._object(resource, structure, path)
            return
        outer, self._local = self._local, []
        self._object(resource, structure, path or name)
        contained = resource.get("contained")
        if type(contained) is list:
            self.rules += invariants.check_contained(resource, path or name)
        if self._local:
            self._dangling(contained if type(contained) is list else [])
        self._local = outer

    def value(self, value: Json, datatype: str, path: str) -> None:
        """Checks a value of a complex datatype on its own."""
        if type(value) is not dict:
            self._refuse(path, f"must be an object ({datatype}){_instead(value)}")
        else:
            self._object(value, self._structures[datatype], path)

    def _object(self, node: Json, structure: Structure, path: str) -> None:
        before = len(self.shape)
        elements = structure.elements
        for key, value in node.items():
            element = elements.get(key)
            if element is None:
                self._unlisted(node, key, value, structure, path)
            elif element.is_list:
                self._list(node, element, value, f"{path}.{key}")
            elif element.primitive is None:
                self._complex(element, value, f"{path}.{key}")
            elif not element.allows(value):
                self._illegal(element, value, f"{path}.{key}")
        if not node:
            self._refuse(path, "an object must not be empty")
        self._complete(node, structure, path)
        if structure.has_choices:
            self._choices(node, structure, path)
        if structure.key in invariants.RULES:
            self._rules(node, structure, path, self.shape[before:])

    def _dangling(self, contained: list[Json]) -> None:
        """Notes references to contained resources that are not there (ref-1)."""
        ids = {f"#{one.get('id')}" for one in contained if type(one) is dict} | {"#"}
        self.rules += [
            Invariant(
                f"{path}: there is no contained resource {_echo(text)} (ref-1)", expression=[path]
            )
            for text, path in self._local
            if text not in ids
        ]

    def _complex(self, element: ElementDefinition, value: Json, path: str) -> None:
        if type(value) is not dict:
            self._refuse(path, f"must be an object ({element.datatype}){_instead(value)}")
            return
        if element.datatype == "Resource":
            self.resource(value, path)
            return
        self._object(value, self._structures[element.datatype], path)
        if element.datatype == "Reference":
            self._reference(element, value, f"{path}.reference")
        elif element.datatype == "CodeableConcept" and element.codes is not None:
            self._bound_concept(element, value, path)
        elif element.datatype == "Narrative":
            self._narrative(value, path)

    def _list(self, node: Json, element: ElementDefinition, value: Json, path: str) -> None:
        if type(value) is not list:
            self._refuse(path, f"must be an array of {element.datatype}{_instead(value)}")
            return
        if not value:
            self._refuse(path, "an array must not be empty; leave the element out")
            return
        if element.primitive is None:
            for index, item in enumerate(value):
                self._complex(element, item, f"{path}[{index}]")
            return
        beside = node.get(f"_{element.name}")
        for index, item in enumerate(value):
            if item is None and _has_item(beside, index):
                continue
            if not element.allows(item):
                self._illegal(element, item, f"{path}[{index}]")

    def _unlisted(self, node: Json, key: str, value: Json, structure: Structure, path: str) -> None:
        element = structure.elements.get(key[1:]) if key[:1] == "_" else None
        where = f"{path}.{key[:64]}"
        if structure.key == "Resource":
            self._plain_json(value, where)
        elif element is None or element.primitive is None or element.name == "resourceType":
            self._refuse(where, f"R4 has no such element in {structure.key}")
        elif not element.is_list:
            self._beside(value, where)
        elif type(value) is not list or not value:
            self._refuse(where, "must be an array that is not empty")
        else:
            values = node.get(element.name)
            if type(values) is list and len(values) != len(value):
                self._refuse(where, f"must have as many items as {element.name}; null fills gaps")
            for index, item in enumerate(value):
                if item is not None:
                    self._beside(item, f"{where}[{index}]")
                elif not _has_item(values, index):
                    self._refuse(f"{where}[{index}]", "there is neither a value nor an extension")

    def _plain_json(self, value: Json, path: str) -> None:
        """Of a type that is not known here, JSON's own rules still hold."""
        if _is_nothing(value):
            self._refuse(path, "an element without a value must be left out")
        elif type(value) is dict:
            for key, inner in value.items():
                self._plain_json(inner, f"{path}.{key}")
        elif type(value) is list:
            for index, inner in enumerate(value):
                if inner is not None:
                    self._plain_json(inner, f"{path}[{index}]")

    def _beside(self, value: Json, path: str) -> None:
        """The id and extensions of a primitive, in the property with the underscore."""
        if type(value) is not dict:
            self._refuse(path, "must be an object with id or extension")
            return
        self._object(value, self._structures["Element"], path)

    def _choices(self, node: Json, structure: Structure, path: str) -> None:
        if len(node) < 2:
            return
        seen: dict[str, str] = {}
        for key in node:
            element = structure.elements.get(key.removeprefix("_"))
            if element is not None and element.group != element.name:
                other = seen.setdefault(element.group, element.name)
                if other != element.name:
                    self._refuse(
                        f"{path}.{element.group}", f"{other} and {element.name} exclude each other"
                    )

    def _complete(self, node: Json, structure: Structure, path: str) -> None:
        for group, names in structure.required:
            if names[0] not in node and not invariants.has(node, *names):
                self._missing(group, names, path)

    def _missing(self, group: str, names: tuple[str, ...], path: str) -> None:
        how = names[0] if len(names) == 1 else f"one of {', '.join(names)}"
        self.shape.append(
            Required(f"{path}.{group} is missing: give {how}", expression=[f"{path}.{group}"])
        )

    def _illegal(self, element: ElementDefinition, value: Json, path: str) -> None:
        if element.primitive is None or _is_nothing(value):
            self._refuse(path, "an element without a value must be left out")
        elif type(value) in (dict, list):
            self._refuse(path, f"must be one {element.datatype}{_instead(value)}")
        elif not element.primitive.is_legal(value):
            self.shape.append(
                Value(f"{path} must be {element.primitive.meaning}", expression=[path])
            )
        else:
            codes = list(element.codes or ())
            listed = ", ".join(codes[:_MOST_CODES]) + (", …" if len(codes) > _MOST_CODES else "")
            self.shape.append(
                CodeInvalid(f"{path} is {_echo(value)}, not one of {listed}", expression=[path])
            )

    def _bound_concept(self, element: ElementDefinition, value: Json, path: str) -> None:
        codings = value.get("coding")
        if element.codes is None or type(codings) is not list:
            return
        given = [one for one in codings if type(one) is dict and type(one.get("code")) is str]
        if not any(element.codes.get(one["code"]) == one.get("system") for one in given):
            self.shape.append(
                CodeInvalid(
                    f"{path} must have a coding of {', '.join(element.codes)}", expression=[path]
                )
            )

    def _reference(self, element: ElementDefinition, value: Json, path: str) -> None:
        text = value.get("reference")
        if type(text) is not str:
            return
        problem = reference_problem(text, element.targets, self._structures.resource_types)
        if problem:
            self.shape.append(Value(f"{path} {problem}", expression=[path]))
        elif text[:1] == "#":
            self._local.append((text, path))

    def _narrative(self, value: Json, path: str) -> None:
        div = value.get("div")
        if type(div) is not str or not div:
            return
        problem = narrative_problem(div)
        if problem is not None:
            kind = Value if problem.is_malformed else Invariant
            target = self.shape if problem.is_malformed else self.rules
            target.append(kind(f"{path}.div {problem.text}", expression=[f"{path}.div"]))

    def _rules(self, node: Json, structure: Structure, path: str, broken: list[FhirError]) -> None:
        # Of an element whose own children are misshapen a rule would say nothing sensible.
        if any(one.expression[0].rpartition(".")[0] == path for one in broken):
            return
        for rule in invariants.RULES[structure.key]:
            try:
                self.rules += rule(node, path)
            except (TypeError, AttributeError, KeyError, ValueError):
                if not broken:
                    raise

    def _refuse(self, path: str, message: str) -> None:
        self.shape.append(Shape(f"{path}: {message}", expression=[path]))


def _is_nothing(value: Json) -> bool:
    return value is None or (type(value) in (str, list, dict) and not value)


def _has_item(values: Json, index: int) -> bool:
    return type(values) is list and index < len(values) and values[index] is not None


def _instead(value: Json) -> str:
    kinds = {dict: "an object", list: "an array", str: "text", bool: "a boolean"}
    found = "null" if value is None else kinds.get(type(value), "a number")
    return f", not {found}"


def _echo(text: str) -> str:
    short = text if len(text) <= _LONGEST_ECHO else text[:_LONGEST_ECHO] + "…"
    return f'"{short}"'
