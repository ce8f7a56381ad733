"""`GET [base]/metadata`: the CapabilityStatement of the artefacts, with what only the running
server knows (https://hl7.org/fhir/R4/capabilitystatement.html).
"""

import copy
from datetime import datetime
from typing import Any

from fhir_server.fhir.types import Resource

_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


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
        built["rest"][0]["security"]["extension"] = [
            {
                "url": _OAUTH_URIS,
                "extension": [{"url": "token", "valueUri": f"{security_url}/token"}],
            }
        ]
    return built
