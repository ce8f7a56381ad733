"""The loader reads the artefacts, or tells every defect of every file at once."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_server.definitions.artefact import ArtefactErrors
from fhir_server.definitions.loader import FOLDERS, load
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.canonicals import canonical
from fhir_server.fhir.types import Json
from fhir_server.operator_error import OperatorError

CHECKOUT = Path(__file__).parents[3]
STATEMENT = "capability/CapabilityStatement-server.json"
BOOK = "capability/OperationDefinition-appointment-book.json"
EXAMPLE = "subscriptions/Subscription-booked-appointments.json"
SLOT_STATUS = "capability/SearchParameter-Slot-status.json"

Edit = Callable[[str, Callable[[Json], object]], None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the three folders, to be spoilt."""
    for folder in FOLDERS:
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, copy_function=os.symlink)
    return tmp_path


@pytest.fixture
def edit(root: Path) -> Edit:
    """Changes an artefact of the copy."""

    def change(path: str, how: Callable[[Json], object]) -> None:
        content = json.loads((root / path).read_text())
        how(content)
        (root / path).unlink()  # The link only.
        (root / path).write_text(json.dumps(content))

    return change


def _defects(root: Path) -> list[str]:
    with pytest.raises(ArtefactErrors) as caught:
        load(root)
    assert isinstance(caught.value, OperatorError)
    assert "\n" not in str(caught.value)
    return list(caught.value.defects)


def _resource(statement: Json, name: str) -> Json:
    return next(one for one in statement["rest"][0]["resource"] if one["type"] == name)


def test_checkout_is_read(registry: Registry) -> None:
    """The project's artefacts declare the served types, operations and five compartments."""
    assert len(registry.types) == 34
    assert {"book", "validate"} <= {one.code for one in registry.operations.values()}
    assert registry.compartments == (
        "Device",
        "Encounter",
        "Patient",
        "Practitioner",
        "RelatedPerson",
    )


def test_type_definition_tells_what_is_offered(registry: Registry) -> None:
    """Interactions, search parameters and compartments of a type come from the artefacts."""
    slot = registry.types["Slot"]
    assert slot.interactions == {
        "read", "vread", "update", "patch", "delete", "history-instance", "history-type",
        "create", "search-type",
    }  # fmt: skip
    assert slot.update_create
    assert sorted(slot.search_parameters) == [
        "_id", "_lastUpdated", "_profile", "_security", "_source", "_tag", "appointment-type",
        "end", "identifier", "period", "schedule", "service-category", "service-type", "specialty",
        "start", "status",
    ]  # fmt: skip
    assert slot.search_parameters["schedule"].targets == ("Schedule",)
    assert slot.compartments == {}
    assert registry.types["Appointment"].compartments["Patient"] == ("actor",)


def test_audit_events_cannot_be_deleted(registry: Registry) -> None:
    """AuditEvent is offered without delete."""
    assert "delete" not in registry.types["AuditEvent"].interactions


def test_resource_is_in_its_own_compartment(registry: Registry) -> None:
    """A compartment's own type is always a member, with or without search codes."""
    for name in registry.compartments:
        assert name in registry.types[name].compartments
    assert registry.types["Patient"].compartments["Patient"] == ("link",)
    assert registry.types["Encounter"].compartments["Encounter"] == ()


def test_operation_definition_tells_its_parameters(registry: Registry) -> None:
    """$book is invoked on Appointments, the type or one of them, and changes state."""
    book = registry.operations[canonical("OperationDefinition", "appointment-book")]
    assert (book.types, book.system, book.on_type, book.on_instance, book.affects_state) == (
        ("Appointment",), False, True, True, True,
    )  # fmt: skip
    assert [(one.name, one.minimum, one.maximum, one.type) for one in book.inputs] == [
        ("appointment-resource", 0, 1, "Appointment"),
        ("appointment-reference", 0, 1, "Reference"),
        ("appt-resource", 0, 1, "Appointment"),
        ("appointment", 0, 1, "Appointment"),
        ("appt-id", 0, 1, "uri"),
        ("comment", 0, 1, "string"),
    ]
    assert [(one.name, one.minimum, one.maximum) for one in book.outputs] == [("return", 1, 1)]


def test_hash_changes_with_any_artefact(root: Path, edit: Edit) -> None:
    """The same files have the same hash; another word in one of them has another."""
    before = load(root).artefact_hash
    assert load(root).artefact_hash == before == load().artefact_hash
    edit(SLOT_STATUS, lambda one: one.update(description="Another word."))
    assert load(root).artefact_hash != before


def test_all_defects_are_told_at_once(root: Path, edit: Edit) -> None:
    """One start with many broken files names each of them."""
    (root / "profiles/ValueSet-broken.json").write_text('{"resourceType":\n "ValueSet",}')
    (root / "profiles/Patient-p.json").write_text('{"resourceType": "Patient", "id": "p"}')
    (root / "subscriptions/Subscription-other.json").write_text(
        (root / "subscriptions/Subscription-booked-appointments.json").read_text()
    )
    edit(SLOT_STATUS, lambda one: one.update(expression="Slot.statsu", comparator=["eq"]))
    edit(BOOK, lambda one: one.update(kind="query"))
    edit(STATEMENT, lambda one: _resource(one, "Slot").update(conditionalCreate="maybe"))
    edit(
        STATEMENT,
        lambda one: _resource(one, "Appointment")["interaction"].append({"code": "merge"}),
    )
    edit(
        "profiles/CompartmentDefinition-patient.json",
        lambda one: one["resource"].append({"code": "Slot", "param": ["patient"]}),
    )
    edit(
        "subscriptions/Subscription-booked-appointments.json",
        lambda one: one.update(status="on", colour="red"),
    )
    defects = _defects(root)
    named = "Subscription-booked-appointments.json, after its type and id"
    status = '"on", not one of requested, active, error, off'
    for expected in (
        "profiles/ValueSet-broken.json: not valid JSON: ",
        "profiles/Patient-p.json: resourceType must be one of CodeSystem, CompartmentDefinition,",
        f"subscriptions/Subscription-other.json: the file must be named {named}",
        f"{SLOT_STATUS}: comparator is not interpreted",
        f"{SLOT_STATUS}: expression does not compile for Slot: Slot has no element statsu",
        f"{BOOK}: only operations are understood, no named queries",
        f"{STATEMENT}: Slot: conditionalCreate can only be True or False",
        f"{STATEMENT}: Appointment: interaction merge is not offered",
        "profiles/CompartmentDefinition-patient.json: Slot has no search parameter patient",
        f"{EXAMPLE}: Subscription.status: Subscription.status is {status}",
        f"{EXAMPLE}: Subscription.colour: ",
    ):
        assert any(defect.startswith(expected) for defect in defects), expected
    assert len(defects) == 11


@pytest.mark.parametrize(
    ("path", "change", "expected"),
    [
        (STATEMENT, lambda one: one.update(fhirVersion="4.3.0"), ["fhirVersion must be 4.0.1"]),
        (STATEMENT, lambda one: one.update(format=["xml"]), ["format must be application/fhir"]),
        (STATEMENT, lambda one: one.update(patchFormat=["x"]), ["patchFormat must be "]),
        (
            STATEMENT,
            lambda one: one["rest"][0].update(interaction=[{"code": "batch"}]),
            ["batch and transaction can only be offered together"],
        ),
        (
            STATEMENT,
            lambda one: _resource(one, "Slot").update(searchInclude=["Slot:schedule"]),
            ["searchInclude is not interpreted"],
        ),
        (
            STATEMENT,
            lambda one: _resource(one, "Slot").update(searchParam=["x"]),
            ["searchParam[0] (not an object) is not interpreted"],
        ),
        (
            STATEMENT,
            lambda one: _resource(one, "Slot")["searchParam"][0].update(definition="urn:x"),
            [
                "Slot: search parameter urn:x does not exist",
                "SearchParameter-Slot-appointment-type.json: no type in the Cap",
            ],
        ),
        (
            STATEMENT,
            lambda one: _resource(one, "Slot")["searchParam"][0].update(type="date"),
            ["Slot: appointment-type differs from capability/SearchParameter-Slot-app"],
        ),
        (
            STATEMENT,
            lambda one: _resource(one, "Slot")["searchParam"].append(
                _resource(one, "Schedule")["searchParam"][0]
            ),
            ["Slot: capability/SearchParameter-Schedule-active.json has another base"],
        ),
        (
            STATEMENT,
            lambda one: _resource(one, "Appointment")["operation"][0].update(definition="urn:x"),
            [
                "Appointment: operation urn:x does not exist",
                "OperationDefinition-appointment-book.json: no type in the CapabilityStatement",
            ],
        ),
        (
            STATEMENT,
            lambda one: one["rest"][0]["resource"].append({"type": "Medication"}),
            ["there is no StructureDefinition of Medication"],
        ),
        (
            STATEMENT,
            lambda one: one["rest"][0]["resource"].append({"type": "Binary"}),
            ["Binary is there twice"],
        ),
        (STATEMENT, lambda one: one.update(rest=[]), ["there must be one rest element"]),
        (
            STATEMENT,
            lambda one: _resource(one, "Slot").update(interaction=[{}]),
            ["an artefact has not the shape of its type: KeyError('code')"],
        ),
        (SLOT_STATUS, lambda one: one.pop("code"), ["code is missing"]),
        (SLOT_STATUS, lambda one: one.update(type="bool"), ["type bool is not one of"]),
        (
            SLOT_STATUS,
            lambda one: one.update(component=[{"definition": "urn:x", "expression": "x"}]),
            ["a composite, and nothing else, has components"],
        ),
        (
            SLOT_STATUS,
            lambda one: one.update(url="http://hl7.org/fhir/SearchParameter/Slot-start"),
            ["Slot-start is also the url of capability/SearchParameter-Slot-start.json"],
        ),
        (
            "capability/SearchParameter-Location-near.json",
            lambda one: one.update(code="close"),
            ["the special parameter close is not known", "Location: near differs"],
        ),
        (
            "capability/SearchParameter-Group-characteristic-value.json",
            lambda one: one["component"][0].update(definition="urn:x"),
            ["component urn:x does not exist"],
        ),
        (
            "capability/SearchParameter-Group-characteristic-value.json",
            lambda one: one["component"][0].update(expression="colour"),
            ["Group.characteristic has no element colour"],
        ),
        (
            "capability/SearchParameter-Group-characteristic-value.json",
            lambda one: one.update(expression="Group.characteristic.value"),
            ["a composite must select elements of one type"],
        ),
        (BOOK, lambda one: one.pop("instance"), ["instance is missing"]),
        (BOOK, lambda one: one.pop("resource"), ["resource is missing: the types"]),
        (
            BOOK,
            lambda one: one["parameter"][0].pop("min"),
            ["parameter appointment-resource has no min"],
        ),
        (
            "profiles/CompartmentDefinition-device.json",
            lambda one: one.update(search=False),
            ["search in compartments is always offered"],
        ),
        (
            "profiles/CompartmentDefinition-device.json",
            lambda one: one.pop("resource"),
            ["resource is missing"],
        ),
        (
            "profiles/CompartmentDefinition-device.json",
            lambda one: one["resource"].append({"code": "Media", "param": ["subject"]}),
            ["Media is not served"],
        ),
        (
            "profiles/ValueSet-slotstatus.json",
            lambda one: one["compose"]["include"][0].pop("concept"),
            ["the codes of http://hl7.org/fhir/slotstatus are not listed"],
        ),
        (
            "profiles/ValueSet-slotstatus.json",
            lambda one: one["compose"]["include"][0].update(filter=[{}]),
            ["compose.include[0].filter is not interpreted"],
        ),
        ("profiles/CodeSystem-refusal-reason.json", lambda one: one.pop("concept"), ["concept is"]),
        (
            "profiles/StructureDefinition-Slot.json",
            lambda one: one["differential"]["element"][1]["type"][0].update(code="Nothing"),
            ["cannot be interpreted: 'Nothing'"],
        ),
        (
            "profiles/StructureDefinition-Slot.json",
            lambda one: one.update(derivation="constraint"),
            ["of constraints only extensions are understood", "no StructureDefinition of Slot"],
        ),
    ],
)
def test_defect_is_told(
    root: Path, edit: Edit, path: str, change: Callable[[Json], object], expected: list[str]
) -> None:
    """Each kind of defect is named with its file."""
    edit(path, change)
    defects = _defects(root)
    for words in expected:
        assert any(words in defect for defect in defects), (words, defects)


def test_missing_folders_and_statement_are_defects(tmp_path: Path) -> None:
    """An installation without artefacts says so."""
    defects = _defects(tmp_path)
    assert [defect.partition(":")[0] for defect in defects] == [*FOLDERS, "capability"]


def test_other_files_are_left_alone(root: Path) -> None:
    """A note beside the artefacts is no artefact."""
    (root / "profiles/README.md").write_text("# Profiles")
    assert load(root).types


def test_type_is_added_by_artefacts_alone(root: Path, edit: Edit) -> None:
    """HL7's own form of a StructureDefinition and one entry serve another type."""
    elements = [
        {"path": "Linkage", "min": 0, "max": "*"},
        {
            "path": "Linkage.id",
            "min": 0,
            "max": "1",
            "type": [{"code": "http://hl7.org/fhirpath/System.String"}],
        },
        {"path": "Linkage.active", "min": 0, "max": "1", "type": [{"code": "boolean"}]},
        {"path": "Linkage.item", "min": 1, "max": "*", "type": [{"code": "BackboneElement"}]},
        {
            "path": "Linkage.item.resource",
            "min": 1,
            "max": "1",
            "type": [{"code": "Reference"}],
        },
    ]
    (root / "profiles/StructureDefinition-Linkage.json").write_text(
        json.dumps(
            {
                "resourceType": "StructureDefinition",
                "id": "Linkage",
                "url": "http://hl7.org/fhir/StructureDefinition/Linkage",
                "kind": "resource",
                "abstract": False,
                "type": "Linkage",
                "baseDefinition": "http://hl7.org/fhir/StructureDefinition/DomainResource",
                "snapshot": {"element": elements},
            }
        )
    )
    edit(
        STATEMENT,
        lambda one: one["rest"][0]["resource"].append(
            {"type": "Linkage", "interaction": [{"code": "read"}]}
        ),
    )
    linkage = load(root).types["Linkage"]
    assert linkage.interactions == {"read"}
    assert not linkage.update_create
    assert min(linkage.search_parameters) == "_id"
