"""The CapabilityStatement: what it declares, and the document that `/metadata` answers.

https://hl7.org/fhir/R4/capabilitystatement.html
"""

import copy
from datetime import datetime
from typing import Any

from fhir_server.definitions.artefact import METADATA, Artefact, Defects
from fhir_server.fhir.types import Json, Resource

INTERACTIONS = frozenset(
    {
        "read",
        "vread",
        "update",
        "patch",
        "delete",
        "history-instance",
        "history-type",
        "create",
        "search-type",
    }
)
"""The interactions that the server can offer for a type."""

SYSTEM_INTERACTIONS = frozenset({"transaction", "batch", "history-system", "search-system"})
"""The interactions that the server can offer on the base URL."""

_TOGETHER = frozenset({"transaction", "batch"})
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_REFERRED = {"name": None, "definition": None, "documentation": None}
_SEARCH_PARAMETER = {**_REFERRED, "type": None}
_RESOURCE = {
    "type": None,
    "profile": None,
    "documentation": None,
    "interaction": {"code": None, "documentation": None},
    "versioning": None,
    "readHistory": None,
    "updateCreate": None,
    "conditionalCreate": None,
    "conditionalRead": None,
    "conditionalUpdate": None,
    "conditionalDelete": None,
    "searchParam": _SEARCH_PARAMETER,
    "operation": _REFERRED,
}
_FIELDS = {
    **METADATA,
    "kind": None,
    "software": None,
    "implementation": None,
    "fhirVersion": None,
    "format": None,
    "patchFormat": None,
    "rest": {
        "mode": None,
        "documentation": None,
        "security": None,
        "interaction": {"code": None, "documentation": None},
        "resource": _RESOURCE,
        "searchParam": _SEARCH_PARAMETER,
        "operation": _REFERRED,
    },
}
# What the code can do, and nothing else, may be declared.
_POSSIBLE: dict[str, tuple[Json, ...]] = {
    "versioning": ("versioned",),
    "readHistory": (True,),
    "updateCreate": (True, False),
    "conditionalCreate": (True, False),
    "conditionalRead": ("full-support",),
    "conditionalUpdate": (True, False),
    "conditionalDelete": ("not-supported", "single", "multiple"),
}
_FORMATS = ["application/fhir+json", "json"]
_PATCH_FORMATS = ["application/json-patch+json", "application/fhir+json"]


def check_statement(artefact: Artefact, defects: Defects) -> Json | None:
    """The statement's one `rest` element, or None; everything not interpreted is noted."""
    defects.refuse_unknown(artefact, _FIELDS)
    content = artefact.content
    if content.get("fhirVersion") != "4.0.1":
        defects.add(artefact, "fhirVersion must be 4.0.1")
    if content.get("format") != _FORMATS:
        defects.add(artefact, f"format must be {' and '.join(_FORMATS)}")
    if content.get("patchFormat", _PATCH_FORMATS) != _PATCH_FORMATS:
        defects.add(artefact, f"patchFormat must be {' and '.join(_PATCH_FORMATS)}")
    rests = content.get("rest", [])
    if len(rests) != 1 or rests[0].get("mode") != "server":
        defects.add(artefact, "there must be one rest element, of mode server")
        return None
    _check_system(artefact, rests[0], defects)
    for resource in rests[0].get("resource", ()):
        _check_resource(artefact, resource, defects)
    return rests[0]


def _check_system(artefact: Artefact, rest: Json, defects: Defects) -> None:
    codes = {one.get("code") for one in rest.get("interaction", ())}
    for code in sorted(map(str, codes - SYSTEM_INTERACTIONS)):
        defects.add(artefact, f"rest: interaction {code} is not offered")
    if codes & _TOGETHER and not codes >= _TOGETHER:
        defects.add(artefact, "rest: batch and transaction can only be offered together")


def _check_resource(artefact: Artefact, resource: Json, defects: Defects) -> None:
    name = resource.get("type", "a resource without type")
    for interaction in resource.get("interaction", ()):
        if interaction.get("code") not in INTERACTIONS:
            defects.add(artefact, f"{name}: interaction {interaction.get('code')} is not offered")
    for field, values in _POSSIBLE.items():
        if resource.get(field, values[0]) not in values:
            allowed = " or ".join(str(value) for value in values)
            defects.add(artefact, f"{name}: {field} can only be {allowed}")


def build(
    statement: Resource,
    base_url: str,
    date: datetime,
    version: str,
    *,
    security_url: str | None = None,
) -> Resource:
    """The statement as served.

    Args:
        statement: the artefact, left as it is.
        base_url: the FHIR base of the tenant that is asked.
        date: when the statement last changed, aware.
        version: the version of the server's software.
        security_url: the root of the authorization server; its token endpoint is told in SMART's
            extension. None leaves it out.
    """
    built: dict[str, Any] = copy.deepcopy(statement)
    built |= {
        "url": f"{base_url}/metadata",
        "version": version,
        "date": date.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {**built.get("software", {}), "version": version},
        "implementation": {**built.get("implementation", {}), "url": base_url},
    }
    if security_url is not None:
        built["rest"][0].setdefault("security", {})["extension"] = [
            {
                "url": _OAUTH_URIS,
                "extension": [{"url": "token", "valueUri": f"{security_url}/token"}],
            }
        ]
    return built
