"""Search expressions select what FHIRPath says, with the FHIR type of every value."""

import copy
import importlib
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from fhir_server.definitions.fhirpath import ExpressionError, compile_expression, element_type
from fhir_server.definitions.loader import load
from fhir_server.definitions.registry import Registry
from fhir_server.definitions.search_parameter import Element
from fhir_server.fhir.codec import encode_json
from fhir_server.fhir.types import Json, Resource
from tests.populated import populated

PATIENT: Resource = {
    "resourceType": "Patient",
    "id": "p",
    "gender": "female",
    "name": [{"given": ["Ana", "Eva"], "family": "Roca"}, {"_family": {"id": "x"}}],
    "telecom": [
        {"system": "phone", "value": "1"},
        {"system": "email", "value": "2"},
        {"value": "3"},
    ],
    "deceasedDateTime": "2026",
    "contained": [{"resourceType": "Practitioner", "id": "doc"}],
    "generalPractitioner": [
        {"reference": "#doc"},
        {"reference": "Organization/1"},
        {"reference": "https://ehr.example/fhir/Practitioner/2/_history/3"},
        {"type": "Practitioner", "identifier": {"value": "4"}},
        {"reference": "urn:uuid:00000000-0000-0000-0000-000000000001"},
        {"reference": "#absent"},
        {"display": "somebody"},
    ],
    "extension": [{"url": "https://ehr.example/x", "valueString": "a"}],
}


def _select(registry: Registry, expression: str, resource: Resource = PATIENT) -> list[Element]:
    return compile_expression(registry.structures, expression, resource["resourceType"])(resource)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Patient.id", [("id", "p")]),
        ("Resource.id", [("id", "p")]),
        ("gender", [("code", "female")]),
        ("Patient.name.given", [("string", "Ana"), ("string", "Eva")]),
        ("Patient.name.given.first()", [("string", "Ana")]),
        ("Patient.name.family", [("string", "Roca")]),
        ("Patient.name.family | Patient.gender", [("string", "Roca"), ("code", "female")]),
        ("Person.name.family | Patient.gender", [("code", "female")]),
        ("Person.telecom.where(system = 'phone').value | Patient.gender", [("code", "female")]),
        ("(Person.link.target as Reference) | Patient.gender", [("code", "female")]),
        ("Person.active.exists() | Patient.gender", [("code", "female")]),
        ("Patient.telecom.where(system='phone').value", [("string", "1")]),
        ("Patient.telecom.where(system != 'phone').value", [("string", "2")]),
        ("Patient.telecom.where(system.exists().not()).value", [("string", "3")]),
        ("Patient.telecom.where(system.empty()).value", [("string", "3")]),
        ("Patient.telecom.where(system = 'phone' or value = '3').value",
         [("string", "1"), ("string", "3")]),
        ("Patient.telecom.where(system = 'phone' and value = '3').value", []),
        ("Patient.telecom.exists(system = 'fax')", [("boolean", False)]),
        ("Patient.deceased", [("dateTime", "2026")]),
        ("(Patient.deceased as dateTime)", [("dateTime", "2026")]),
        ("Patient.deceased.as(FHIR.dateTime)", [("dateTime", "2026")]),
        ("Patient.deceased.ofType(boolean)", []),
        ("Patient.deceased.is(dateTime)", [("boolean", True)]),
        ("Patient.deceased is boolean", [("boolean", False)]),
        ("Patient.deceased.exists() and Patient.deceased != false", [("boolean", True)]),
        ("Patient.birthDate.exists() and Patient.birthDate != '2000'", [("boolean", False)]),
        ("Patient.multipleBirth = 2", []),
        ("Patient.extension('https://ehr.example/x').value.as(string)", [("string", "a")]),
        ("Patient.where(hasExtension('https://ehr.example/y')).gender", []),
        ("Patient.where(hasExtension('https://ehr.example/x')).gender", [("code", "female")]),
    ],
)  # fmt: skip
def test_expression_selects(
    registry: Registry, expression: str, expected: list[tuple[str, Json]]
) -> None:
    """Each construct selects the values and types that FHIRPath gives it."""
    found = _select(registry, expression)
    assert [(one.datatype, one.value) for one in found] == expected


def test_resolve_goes_by_the_reference(registry: Registry) -> None:
    """The type of a target comes from the literal, a contained resource, or Reference.type."""
    expression = "Patient.generalPractitioner.where(resolve() is Practitioner)"
    found = [one.value for one in _select(registry, expression)]
    assert found == [PATIENT["generalPractitioner"][index] for index in (0, 2, 3)]


def test_code_carries_the_system_of_its_binding(registry: Registry) -> None:
    """A code with a required binding says which system it is of; others do not."""
    assert _select(registry, "Patient.gender") == [
        Element("code", "female", "http://hl7.org/fhir/administrative-gender")
    ]
    extension = _select(registry, "Patient.language", {"resourceType": "Patient", "language": "en"})
    assert extension == [Element("code", "en", None)]


def test_values_of_several_systems_carry_their_own(registry: Registry) -> None:
    """Where a binding spans systems, each code has its own."""
    task = {"resourceType": "Task", "intent": "order"}
    assert _select(registry, "Task.intent", task)[0].system == "http://hl7.org/fhir/request-intent"
    task["intent"] = "unknown"
    assert _select(registry, "Task.intent", task)[0].system == "http://hl7.org/fhir/task-intent"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("Patient.nmae", "Patient has no element nmae"),
        ("Patient.gender.value", "code has no element value"),
        ("Patient.deceased.as(Period)", "never a Period"),
        ("Patient.name.given.join(',')", "join() is not supported"),
        ("Patient.generalPractitioner.resolve()", "only be tested with `is`"),
        ("Patient.generalPractitioner.resolve() as Patient", "only be tested with `is`"),
        ("Patient.extension(url)", "needs a URL in quotes"),
        ("Patient.name.where(family='x'", "expected ')'"),
        ("Person.name.where(family='x'", "a bracket is not closed"),
        ("Patient.name.", "expected a name"),
        ("Patient.name family", "unexpected 'family'"),
        ("Patient.name[0]", "cannot read '[0]'"),
        ("Person.name", "selects nothing of Patient"),
        ("", "unexpected ''"),
        ("= 3", "unexpected '='"),
    ],
)
def test_wrong_expression_is_refused(registry: Registry, expression: str, words: str) -> None:
    """What is malformed, misspelt or not understood is an error, never an empty result."""
    with pytest.raises(ExpressionError) as caught:
        compile_expression(registry.structures, expression, "Patient")
    assert words in str(caught.value)


def test_component_starts_at_the_composite(registry: Registry) -> None:
    """A component's expression starts at the element that the composite selects."""
    parameter = registry.types["Measure"].search_parameters["context-type-quantity"]
    use_context = {"code": {"code": "age"}, "valueRange": {"low": {"value": 1}}}
    selected = parameter.extract({"resourceType": "Measure", "useContext": [use_context]})
    assert [one.datatype for one in selected] == ["UsageContext"]
    assert [part.code for part in parameter.components] == ["context-type", "context-quantity"]
    values = [part.extract(selected[0].value) for part in parameter.components]
    assert values == [
        [Element("Coding", {"code": "age"})],
        [Element("Range", {"low": {"value": 1}})],
    ]


def test_element_type_names_every_choice(registry: Registry) -> None:
    """The possible types of an expression are known without a resource."""
    assert element_type(registry.structures, "Patient.deceased", "Patient") == (
        "boolean",
        "dateTime",
    )


REGISTRY = load()
CASES = [(name, turn) for name in sorted(REGISTRY.types) for turn in range(4)]


@pytest.mark.parametrize(("type_name", "turn"), CASES)
def test_every_standard_expression_agrees_with_fhirpathpy(type_name: str, turn: int) -> None:
    """On resources with every element, the closures and the FHIRPath library select the same."""
    # Floats, since the library knows no other decimals.
    resource = json.loads(encode_json(populated(REGISTRY.structures, type_name, turn)))
    selected = 0
    for parameter in REGISTRY.types[type_name].search_parameters.values():
        found = [one.value for one in parameter.extract(resource)]
        expression = _expression(parameter.url, type_name)
        if "hasExtension" in expression:  # Not of FHIRPath itself, and not of the library.
            continue
        assert _distinct(found) == _distinct(_oracle(expression, resource)), parameter.url
        selected += len(found)
    assert selected >= 3


def _expression(url: str, type_name: str) -> str:
    root = Path(__file__).parents[3] / "capability"
    artefact = orjson.loads((root / f"SearchParameter-{url.rpartition('/')[2]}.json").read_bytes())
    expression: str = artefact["expression"]
    return expression.replace("Resource.", f"{type_name}.")


def _distinct(values: list[Json]) -> list[str]:
    """Without duplicates, which FHIRPath's `|` removes and an index does not mind."""
    return sorted({encode_json(value).decode() for value in values})


def _oracle(expression: str, resource: Resource) -> list[Json]:
    library: Any = importlib.import_module("fhirpathpy")
    nodes: Any = importlib.import_module("fhirpathpy.engine.nodes")
    model = importlib.import_module("fhirpathpy.models").models["r4"]

    def resolve(references: list[Json]) -> list[Any]:
        types = [reference["reference"].partition("/")[0] for reference in references]
        return [nodes.ResourceNode({"resourceType": name}, name) for name in types]

    options = {"userInvocationTable": {"resolve": {"fn": resolve, "arity": {0: []}}}}
    # A copy, since the library writes into what it evaluates.
    found: list[Json] = library.evaluate(copy.deepcopy(resource), expression, {}, model, options)
    return found
