"""Reads the three artefact folders into a registry, or tells everything that is wrong with them.

`profiles/` holds the shapes: StructureDefinition, ValueSet, CodeSystem, CompartmentDefinition;
`capability/` what is offered: CapabilityStatement, SearchParameter, OperationDefinition;
`subscriptions/` examples of Subscriptions. A file is named `ResourceType-id.json`. What a file
says and the code does not interpret is a defect.
"""

import hashlib
from collections.abc import Iterable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import orjson

from fhir_server.definitions.artefact import METADATA, Artefact, ArtefactErrors, Defects
from fhir_server.definitions.capability_statement import check_statement
from fhir_server.definitions.compartment_definition import (
    check_compartments,
    compile_compartments,
)
from fhir_server.definitions.elements import Structures
from fhir_server.definitions.operation_definition import compile_operation
from fhir_server.definitions.registry import OperationDefinition, Registry, TypeDefinition
from fhir_server.definitions.search_compiler import SearchCompiler
from fhir_server.definitions.search_parameter import SearchParameter
from fhir_server.definitions.structure_definition import validate
from fhir_server.definitions.terminology import compile_value_sets
from fhir_server.fhir.errors import FhirError, Issues
from fhir_server.fhir.types import Json

FOLDERS: Mapping[str, frozenset[str]] = {
    "profiles": frozenset(
        {"StructureDefinition", "ValueSet", "CodeSystem", "CompartmentDefinition"}
    ),
    "capability": frozenset({"CapabilityStatement", "SearchParameter", "OperationDefinition"}),
    "subscriptions": frozenset({"Subscription"}),
}
"""The folders, and the resource types that each may hold."""

_STRUCTURE_DEFINITION = {
    **METADATA,
    **dict.fromkeys(
        (
            "fhirVersion", "mapping", "kind", "abstract", "context", "type", "baseDefinition",
            "derivation", "snapshot", "differential",
        )
    ),
}  # fmt: skip

_Kinds = Mapping[str, list[Artefact]]


def load(root: Traversable | None = None) -> Registry:
    """The registry of all artefacts.

    Args:
        root: holds the three folders. Default: those inside the installed package, else those of
            the checkout.

    Raises:
        ArtefactErrors: anything at all is wrong; names every defect of every file.
    """
    defects = Defects()
    digest = hashlib.sha256()
    artefacts = list(_read(root or _default_root(), defects, digest))
    _refuse_duplicates(artefacts, defects)
    try:
        registry = _compile(artefacts, defects, digest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        registry = None
        defects.found.append(f"an artefact has not the shape of its type: {error!r}")
    if defects.found or registry is None:
        raise ArtefactErrors(defects.found or ["capability: there is no CapabilityStatement"])
    return registry


def _default_root() -> Traversable:
    packaged = resources.files("fhir_server") / "_artefacts"
    return packaged if packaged.is_dir() else Path(__file__).parents[2]


def _read(root: Traversable, defects: Defects, digest: "hashlib._Hash") -> Iterable[Artefact]:
    for folder, types in FOLDERS.items():
        place = root / folder
        if not place.is_dir():
            defects.found.append(f"{folder}: the folder is missing in {root}")
            continue
        for file in sorted(place.iterdir(), key=lambda one: one.name):
            if not file.name.endswith(".json"):
                continue
            body = file.read_bytes()
            digest.update(file.name.encode() + b"\0" + body)
            artefact = _artefact(f"{folder}/{file.name}", body, types, defects)
            if artefact is not None:
                yield artefact


def _artefact(path: str, body: bytes, types: frozenset[str], defects: Defects) -> Artefact | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        defects.found.append(f"{path}: not valid JSON: {error.msg} at {place}")
        return None
    if not isinstance(content, dict) or content.get("resourceType") not in types:
        allowed = ", ".join(sorted(types))
        defects.found.append(f"{path}: resourceType must be one of {allowed}")
        return None
    named = f"{content['resourceType']}-{content.get('id')}.json"
    if path.rpartition("/")[2] != named:
        defects.found.append(f"{path}: the file must be named {named}, after its type and id")
    return Artefact(path, content)


def _refuse_duplicates(artefacts: Iterable[Artefact], defects: Defects) -> None:
    seen: dict[str, str] = {}
    for artefact in artefacts:
        if artefact.url:
            if artefact.url in seen:
                defects.add(artefact, f"{artefact.url} is also the url of {seen[artefact.url]}")
            seen.setdefault(artefact.url, artefact.path)


def _compile(
    artefacts: Iterable[Artefact], defects: Defects, digest: "hashlib._Hash"
) -> Registry | None:
    kinds: dict[str, list[Artefact]] = {name: [] for folder in FOLDERS.values() for name in folder}
    for artefact in artefacts:
        kinds[artefact.type].append(artefact)
    structures = _structures(kinds, defects)
    statements = kinds["CapabilityStatement"]
    if structures is None or len(statements) != 1:
        if len(statements) != 1:
            defects.found.append("capability: there must be exactly one CapabilityStatement")
        return None
    compartments = compile_compartments(kinds["CompartmentDefinition"], defects)
    offer = _Offer(statements[0], kinds, structures, defects)
    registry = Registry(
        types=offer.types(compartments),
        operations=offer.operations(),
        compartments=tuple(sorted(compartments)),
        structures=structures,
        statement=statements[0].content,
        artefact_hash=digest.hexdigest(),
    )
    check_compartments(
        kinds["CompartmentDefinition"],
        {name: one.search_parameters for name, one in registry.types.items()},
        defects,
    )
    for artefact in kinds["Subscription"]:
        _check_example(registry, artefact, defects)
    return registry


def _structures(kinds: _Kinds, defects: Defects) -> Structures | None:
    value_sets = compile_value_sets(kinds["ValueSet"], kinds["CodeSystem"], defects)
    definitions = {}
    for artefact in kinds["StructureDefinition"]:
        defects.refuse_unknown(artefact, _STRUCTURE_DEFINITION)
        if artefact.content.get("derivation") == "constraint":
            if artefact.content.get("type") != "Extension":
                defects.add(artefact, "of constraints only extensions are understood")
        elif defects.require(artefact, "url", "kind", "type"):
            definitions[artefact.content["type"]] = artefact
    structures = Structures(
        {name: artefact.content for name, artefact in definitions.items()}, value_sets
    )
    sound = True
    for name, artefact in definitions.items():
        try:
            structures.compile(name)
        except (KeyError, TypeError) as error:
            defects.add(artefact, f"cannot be interpreted: {error}")
            sound = False
    return structures if sound else None


def _check_example(registry: Registry, artefact: Artefact, defects: Defects) -> None:
    try:
        validate(registry, artefact.content)
    except Issues as several:
        for issue in several.issues:
            defects.add(artefact, f"{', '.join(issue.expression)}: {issue.diagnostics}")
    except FhirError as issue:
        defects.add(artefact, f"{', '.join(issue.expression)}: {issue.diagnostics}")


class _Offer:
    """What the CapabilityStatement offers, bound to the artefacts that it names."""

    def __init__(
        self, statement: Artefact, kinds: _Kinds, structures: Structures, defects: Defects
    ) -> None:
        self._statement = statement
        self._structures = structures
        self._defects = defects
        self._rest: Json = check_statement(statement, defects) or {}
        self._search = SearchCompiler(kinds["SearchParameter"], structures, defects)
        self._operations = {one.url: one for one in kinds["OperationDefinition"]}
        self._named: set[str] = set()

    def types(
        self, compartments: Mapping[str, Mapping[str, tuple[str, ...]]]
    ) -> Mapping[str, TypeDefinition]:
        """The served types; notes SearchParameters that no type names."""
        types = {}
        for resource in self._rest.get("resource", ()):
            name = resource.get("type", "")
            if not self._structures.is_resource(name):
                self._refuse(f"there is no StructureDefinition of {name}")
                continue
            if name in types:
                self._refuse(f"{name} is there twice")
            types[name] = TypeDefinition(
                name=name,
                interactions=frozenset(one["code"] for one in resource.get("interaction", ())),
                search_parameters=self._search_parameters(name, resource),
                compartments={
                    own: members[name] for own, members in compartments.items() if name in members
                },
                update_create=resource.get("updateCreate", False),
                conditional_create=resource.get("conditionalCreate", False),
                conditional_update=resource.get("conditionalUpdate", False),
                conditional_delete=resource.get("conditionalDelete", "not-supported"),
            )
        for url, artefact in self._search.by_url.items():
            if url not in self._named:
                self._defects.add(artefact, "no type in the CapabilityStatement names it")
        return types

    def operations(self) -> Mapping[str, OperationDefinition]:
        """The operations; notes those named and missing, and those there and not named."""
        named: dict[str, list[str]] = {}
        for resource in (*self._rest.get("resource", ()), {**self._rest, "type": ""}):
            for one in resource.get("operation", ()):
                named.setdefault(one.get("definition", ""), []).append(resource.get("type"))
        for url, types in named.items():
            if url not in self._operations:
                self._refuse(f"{types[0] or 'system'}: operation {url} does not exist")
        compiled = {}
        for url, artefact in self._operations.items():
            if url not in named:
                self._defects.add(artefact, "no type in the CapabilityStatement names it")
                continue
            operation = compile_operation(artefact, named[url], self._defects)
            if operation is not None:
                compiled[url] = operation
        return compiled

    def _search_parameters(self, name: str, resource: Json) -> Mapping[str, SearchParameter]:
        found: dict[str, SearchParameter] = {}
        for common, listed in (
            (True, self._rest.get("searchParam", ())),
            (False, resource.get("searchParam", ())),
        ):
            for one in listed:
                artefact = self._search.by_url.get(one.get("definition", ""))
                if artefact is None:
                    self._refuse(f"{name}: search parameter {one.get('definition')} does not exist")
                    continue
                self._named.add(artefact.url)
                if self._fits(name, one, artefact, common=common):
                    compiled = self._search.compile(artefact, name)
                    if compiled is not None:
                        found[compiled.code] = compiled
        return found

    def _fits(self, name: str, declared: Json, artefact: Artefact, *, common: bool) -> bool:
        content = artefact.content
        if declared.get("name") != content["code"] or declared.get("type") != content["type"]:
            self._refuse(f"{name}: {declared.get('name')} differs from {artefact.path}")
            return False
        if ("Resource" if common else name) not in content["base"]:
            self._refuse(f"{name}: {artefact.path} has another base")
            return False
        return True

    def _refuse(self, message: str) -> None:
        self._defects.add(self._statement, message)
