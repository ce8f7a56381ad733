"""The shapes of R4's types, compiled from StructureDefinitions.

Source of truth are the StructureDefinition and ValueSet artefacts, which carry R4 4.0.1's own
facts: names, cardinalities, types, reference targets and required bindings
(https://hl7.org/fhir/R4/structuredefinition.html). A type is compiled when it is first needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fhir_server.definitions.primitives import PRIMITIVES, Primitive
from fhir_server.fhir.types import Json, Resource

RESOURCE_TYPES = "http://hl7.org/fhir/ValueSet/resource-types"
"""The value set of all of R4's resource types."""

_NESTED = ("BackboneElement", "Element")


@dataclass(frozen=True, slots=True)
class ElementDefinition:
    """An element under the name that it has in JSON; a choice has one for each of its types.

    Attributes:
        name: the JSON name, for example `valueQuantity`.
        group: the name in FHIRPath, for example `value`; the same as `name` unless it is a choice.
        datatype: the FHIR type; of a nested element, the key of its structure.
        is_list: whether JSON holds an array.
        primitive: how a value is checked; None for a complex type.
        targets: of a reference, the types it may point to; empty for any.
        codes: of a required binding, the legal codes and the code system of each.
        allows: whether a JSON value is a legal one; of a complex type never.
        in_summary: whether it is part of the resource's summary.
    """

    name: str
    group: str
    datatype: str
    is_list: bool
    primitive: Primitive | None
    targets: frozenset[str]
    codes: Mapping[str, str] | None
    allows: Callable[[Json], bool]
    in_summary: bool = False


@dataclass(frozen=True, slots=True)
class Structure:
    """The elements of a type or of a nested element.

    Attributes:
        key: the type's name, or the path of a nested element, for example
            `Appointment.participant`.
        elements: by JSON name.
        required: FHIRPath name and JSON names of each mandatory element.
        groups: element names by FHIRPath name; one unless it is a choice.
        has_choices: whether any element is a choice.
    """

    key: str
    elements: Mapping[str, ElementDefinition]
    required: tuple[tuple[str, tuple[str, ...]], ...]
    groups: Mapping[str, tuple[str, ...]]
    has_choices: bool


class Structures:
    """All shapes by key. Immutable, though it compiles them one by one.

    Args:
        definitions: StructureDefinitions by type name.
        value_sets: the code system of each code, by the value set's URL.

    Attributes:
        value_sets: as given.
    """

    def __init__(
        self, definitions: Mapping[str, Resource], value_sets: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._definitions = definitions
        self.value_sets = value_sets
        self._compiled: dict[str, Structure] = {}
        self.resource_types = frozenset(value_sets.get(RESOURCE_TYPES, ()))

    def __contains__(self, type_name: str) -> bool:
        """Whether there is a StructureDefinition of that type."""
        return type_name in self._definitions

    def __getitem__(self, key: str) -> Structure:
        """The structure of a type or nested element.

        Raises:
            KeyError: there is none.
        """
        found = self._compiled.get(key)
        if found is None:
            _TypeCompiler(self, self._definitions[key.partition(".")[0]]).run()
            found = self._compiled[key]
        return found

    def is_resource(self, type_name: str) -> bool:
        """Whether the name is that of a concrete resource type with a StructureDefinition."""
        definition = self._definitions.get(type_name)
        return (
            definition is not None
            and definition.get("kind") == "resource"
            and not definition.get("abstract")
        )

    def codes(self, value_set: str) -> Mapping[str, str]:
        """The code system of each legal code.

        Raises:
            KeyError: there is no such ValueSet artefact.
        """
        return self.value_sets[value_set.partition("|")[0]]

    def add(self, structure: Structure) -> None:
        """Keeps a compiled structure."""
        self._compiled[structure.key] = structure

    def compile(self, type_name: str) -> None:
        """Compiles a type, and every type that its elements are of.

        Raises:
            KeyError: it names a type or value set that does not exist.
        """
        own = self._definitions[type_name].get("type", type_name)
        self[own]
        for key in [key for key in self._compiled if key.partition(".")[0] == own]:
            for element in self._compiled[key].elements.values():
                if element.primitive is None:
                    self[element.datatype]


class _TypeCompiler:
    def __init__(self, structures: Structures, definition: Resource) -> None:
        self._structures = structures
        self._definition = definition
        self._root: str = definition["type"]
        listed = definition.get("differential") or definition["snapshot"]
        self._children: dict[str, list[Json]] = {}
        self._own_type: dict[str, str] = {}
        for element in listed["element"]:
            parent, _, _ = element["path"].rpartition(".")
            self._children.setdefault(parent, []).append(element)

    def run(self) -> None:
        base = self._definition.get("baseDefinition", "").rpartition("/")[2]
        self._compile(self._root, base)

    def _compile(self, key: str, base: str) -> None:
        inherited = self._structures[base] if base else None
        elements = dict(inherited.elements) if inherited else {}
        required = dict(inherited.required) if inherited else {}
        if key == self._root and self._definition["kind"] == "resource":
            elements["resourceType"] = _plain("resourceType", "code")
        for definition in self._children.get(key, ()):
            found = self._elements(definition)
            elements |= {element.name: element for element in found}
            if definition.get("min"):
                required[found[0].group] = tuple(element.name for element in found)
        groups: dict[str, list[str]] = {}
        for element in elements.values():
            groups.setdefault(element.group, []).append(element.name)
        self._structures.add(
            Structure(
                key,
                elements,
                tuple(required.items()),
                {group: tuple(names) for group, names in groups.items()},
                len(groups) < len(elements),
            )
        )

    def _elements(self, definition: Json) -> list[ElementDefinition]:
        path: str = definition["path"]
        name = path.rpartition(".")[2]
        if "contentReference" in definition:
            datatype = definition["contentReference"].partition("#")[2]
            return [self._element(definition, name, name, datatype, frozenset())]
        is_choice = name.endswith("[x]")
        group = name.removesuffix("[x]")
        found = []
        for type_ in definition["type"]:
            datatype = _type_code(type_, path)
            json_name = group + datatype[0].upper() + datatype[1:] if is_choice else name
            if datatype in _NESTED and path in self._children:
                self._compile(path, datatype)
                datatype = path
            targets = frozenset(
                profile.rpartition("/")[2] for profile in type_.get("targetProfile", ())
            ) - {"Resource"}
            found.append(self._element(definition, json_name, group, datatype, targets))
        return found

    def _element(
        self, definition: Json, name: str, group: str, datatype: str, targets: frozenset[str]
    ) -> ElementDefinition:
        binding = definition.get("binding", {})
        is_bound = binding.get("strength") == "required" and "valueSet" in binding
        codes = self._structures.codes(binding["valueSet"]) if is_bound else None
        return ElementDefinition(
            name=name,
            group=group,
            datatype=datatype,
            is_list=definition["max"] not in ("0", "1"),
            primitive=PRIMITIVES.get(datatype),
            targets=targets,
            codes=codes,
            allows=_allows(PRIMITIVES.get(datatype), codes),
            in_summary=definition.get("isSummary", False),
        )


def _plain(name: str, datatype: str) -> ElementDefinition:
    return ElementDefinition(
        name,
        name,
        datatype,
        is_list=False,
        primitive=PRIMITIVES[datatype],
        targets=frozenset(),
        codes=None,
        allows=PRIMITIVES[datatype].is_legal,
    )


def _allows(primitive: Primitive | None, codes: Mapping[str, str] | None) -> Callable[[Json], bool]:
    if primitive is None:
        return _nothing
    if codes is None:
        return primitive.is_legal

    def is_listed(value: Json) -> bool:
        return type(value) is str and value in codes

    return is_listed


def _nothing(_value: Json) -> bool:
    return False


def _type_code(type_: Json, path: str) -> str:
    """The FHIR type; HL7's own files give the ids of elements as types of FHIRPath."""
    code: str = type_["code"]
    if code.startswith("http://hl7.org/fhirpath/"):
        return "id" if path == "Resource.id" else "string"
    return code
