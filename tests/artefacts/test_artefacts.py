"""The artefact files are sound FHIR and in step with the code."""

import importlib
import json
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from fhir_server.commands.artefacts import command
from fhir_server.definitions.loader import FOLDERS, load
from fhir_server.definitions.structure_definition import validate
from fhir_server.fhir.canonicals import CANONICAL, canonical
from fhir_server.fhir.outcome import REASON_SYSTEM
from fhir_server.fhir.types import Resource
from fhir_server.rest import alternatives
from fhir_server.scheduling import refusals

CHECKOUT = Path(__file__).parents[2]
FILES = sorted(file for folder in FOLDERS for file in (CHECKOUT / folder).glob("*.json"))
REGISTRY = load()
SERVED = """
    Schedule Slot Appointment AppointmentResponse Patient RelatedPerson Person Practitioner
    PractitionerRole Organization Location HealthcareService Device Endpoint Group Subscription
    AuditEvent Provenance Communication CommunicationRequest Task Questionnaire
    QuestionnaireResponse Consent Coverage CoverageEligibilityRequest CoverageEligibilityResponse
    Encounter ServiceRequest Flag Measure MeasureReport Basic Binary
"""


def _read(file: Path) -> Resource:
    content: Resource = orjson.loads(file.read_bytes())
    return content


def test_file_is_named_after_type_and_id() -> None:
    """`ResourceType-id.json`, for every file."""
    for file in FILES:
        content = _read(file)
        assert file.name == f"{content['resourceType']}-{content['id']}.json"


def test_canonicals_are_unique_and_of_a_known_base() -> None:
    """Standard artefacts keep HL7's URLs; ours are below our base, type and id."""
    urls = [one["url"] for one in map(_read, FILES) if "url" in one]
    assert len(urls) == len(set(urls))
    for content in map(_read, FILES):
        url = content.get("url", "http://hl7.org/fhir/")
        if not url.startswith(("http://hl7.org/fhir/", "http://terminology.hl7.org/")):
            assert url == f"{CANONICAL}/{content['resourceType']}/{content['id']}"


@pytest.mark.parametrize("kind", sorted({name for names in FOLDERS.values() for name in names}))
def test_artefact_is_a_resource_of_its_type(kind: str) -> None:
    """The models of fhir.resources, which know nothing of ours, take every artefact."""
    model = getattr(importlib.import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    found = [file for file in FILES if file.name.startswith(f"{kind}-")]
    assert found
    for file in found:
        model.model_validate(json.loads(file.read_text()))


def test_served_types_are_declared() -> None:
    """Exactly the types that the server promises."""
    assert sorted(REGISTRY.types) == sorted(SERVED.split())


def test_examples_are_valid() -> None:
    """An example Subscription passes the validation that a client's would."""
    examples = [file for file in FILES if file.parent.name == "subscriptions"]
    assert examples
    for file in examples:
        validate(REGISTRY, _read(file))


def test_code_system_lists_every_reason() -> None:
    """Every coded reason that the server gives is in the code system, and defined there."""
    system = _read(CHECKOUT / "profiles/CodeSystem-refusal-reason.json")
    assert system["url"] == REASON_SYSTEM
    codes = {one["code"] for one in system["concept"]}
    assert codes == {*refusals.REASONS, "version-mismatch"}
    assert all(one["definition"] for one in system["concept"])


def test_extension_is_the_one_that_conflicts_carry() -> None:
    """Alternatives use the extension that is defined, with its three parts."""
    definition = _read(CHECKOUT / "profiles/StructureDefinition-alternative-slot.json")
    assert definition["url"] == alternatives.EXTENSION
    assert definition["url"] == canonical("StructureDefinition", "alternative-slot")
    parts = {
        one["sliceName"] for one in definition["differential"]["element"] if "sliceName" in one
    }
    assert parts == {"slot", "start", "end"}


def test_check_tells_what_is_declared() -> None:
    """`fhir-server artefacts check` sums up sound artefacts."""
    result = CliRunner().invoke(command, ["check"])
    assert result.exit_code == 0
    count = len(REGISTRY.operations)
    told = f"artefacts: 34 types, 653 search parameters, {count} operations,"
    assert result.output.startswith(told)


def test_check_tells_every_defect(tmp_path: Path) -> None:
    """Each defect is one line on standard error, and the exit code is 2."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/ValueSet-x.json").write_text("{")
    result = CliRunner().invoke(command, ["check", str(tmp_path)])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 4
    assert result.stderr.startswith("profiles/ValueSet-x.json: not valid JSON")
