"""capabilities: what this server does (https://hl7.org/fhir/R4/http.html#capabilities)."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from fhir_server.definitions import terminology_capabilities
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.codec import encode
from fhir_server.fhir.errors import NotSupported, Value
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.preconditions import names_etag
from fhir_server.fhir.types import Resource
from fhir_server.search.include import includes_of, revincludes_of
from fhir_server.settings import Settings

NORMATIVE: Final = frozenset({"Binary", "Patient"})
"""Of the served types those that R4 declares normative."""


class Document(NamedTuple):
    """What one `mode` answers.

    Attributes:
        body: the resource as served.
        etag: changes whenever what the server does may have changed; the same in all processes.
    """

    body: bytes
    etag: str


def documents(
    registry: Registry, settings: Settings, started: datetime, version: str
) -> Mapping[str, Document]:
    """What is served by mode, made once.

    Mode `full` is the CapabilityStatement, `normative` the part of it that is about normative
    resource types, `terminology` the TerminologyCapabilities.
    """
    full = statement(registry, settings, started, version)
    rest = full["rest"][0]
    kept = [one for one in rest["resource"] if one["type"] in NORMATIVE]
    made = {
        "full": full,
        "normative": {**full, "rest": [{**rest, "resource": kept}]},
        "terminology": terminology_capabilities.build(
            registry, settings.fhir_base, started, version
        ),
    }
    known = f"{registry.artefact_hash} {version} {settings.fhir_base} {settings.root_url}"
    return {
        mode: Document(
            encode(document), f'W/"{hashlib.sha256(f"{mode} {known}".encode()).hexdigest()[:32]}"'
        )
        for mode, document in made.items()
    }


def statement(registry: Registry, settings: Settings, started: datetime, version: str) -> Resource:
    """The CapabilityStatement.

    What may be included follows from the search parameters that are references.
    """
    built = registry.capability_statement(
        settings.fhir_base, started, version, security_url=f"{settings.root_url}/auth"
    )
    for resource in built["rest"][0]["resource"]:
        included = {
            "searchInclude": includes_of(registry, resource["type"]),
            "searchRevInclude": revincludes_of(registry, resource["type"]),
        }
        resource |= {name: values for name, values in included.items() if values}
    built["rest"][0]["compartment"] = [
        f"http://hl7.org/fhir/CompartmentDefinition/{name[0].lower()}{name[1:]}"
        for name in registry.compartments
    ]
    return built


def capabilities(served: Mapping[str, Document], request: Request) -> tuple[Answer, str]:
    """200 with the document of the mode, or 304 when the client has it; and its ETag.

    Raises:
        NotSupported: there is no such mode.
        Value: the mode is given twice.
        Invalid: If-None-Match is not a list of ETags.
    """
    modes = [value for name, value in request.pairs if name == "mode"]
    if len(modes) > 1:
        raise Value("mode may be given once")
    document = served.get(modes[0] if modes else "full")
    if document is None:
        raise NotSupported(f"mode is one of {', '.join(served)}")
    none_match = request.header(b"if-none-match")
    if none_match is not None and names_etag(none_match, document.etag):
        return Answer(304, cacheable=True), document.etag
    return Answer(200, document.body, cacheable=True), document.etag
