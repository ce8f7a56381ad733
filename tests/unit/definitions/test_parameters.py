"""Parameters of operations: aliases, and strings that are understood like search parameters."""

import json
from pathlib import Path

import pytest

from fhir_server.definitions.artefact import Artefact, Defects
from fhir_server.definitions.operation_definition import ALIAS, compile_operation
from fhir_server.fhir.types import Json
from fhir_server.scheduling.find_reasons import REASONS, SYSTEM

CHECKOUT = Path(__file__).parents[3]
FIND = CHECKOUT / "capability/OperationDefinition-appointment-find.json"


def compiled(*parameters: Json) -> list[str]:
    """The defects of $find with these parameters besides its own."""
    content = json.loads(FIND.read_text())
    content["parameter"] += parameters
    defects = Defects()
    compile_operation(Artefact(FIND.name, content), ["Appointment"], defects)
    return [str(one) for one in defects.found]


def alias(name: str, of: str, **changed: Json) -> Json:
    """A parameter that is another name."""
    extension = [{"url": ALIAS, "valueCode": of}]
    plain = {"name": name, "use": "in", "min": 0, "max": "1", "type": "string"}
    return {**plain, "extension": extension, **changed}


@pytest.mark.parametrize(
    ("parameter", "defect"),
    [
        (alias("who", "practitioner"), ""),
        (alias("who", "nobody"), "is an alias of nobody, which is none"),
        (alias("who", "provider"), "is an alias of provider, which is none"),
        (alias("who", "practitioner", type="uri"), "must be optional, with practitioner's type"),
        (alias("who", "practitioner", min=1), "must be optional, with practitioner's type"),
    ],
)
def test_an_alias_must_fit_what_it_means(parameter: Json, defect: str) -> None:
    """Else the artefacts are not taken."""
    found = compiled(parameter)
    assert (len(found) == 1 and defect in found[0]) if defect else found == []


def test_the_code_system_lists_every_reason() -> None:
    """As the code tells them."""
    system = json.loads((CHECKOUT / "profiles/CodeSystem-no-offer-reason.json").read_text())
    assert system["url"] == SYSTEM
    assert {one["code"]: one["definition"] for one in system["concept"]} == {
        code: f"{text}." for code, text in REASONS.items()
    }
