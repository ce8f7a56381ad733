"""capabilities: what this server does (https://hl7.org/fhir/R4/http.html#capabilities)."""

from datetime import datetime

from fhir_server.definitions.registry import Registry
from fhir_server.fhir.codec import encode
from fhir_server.fhir.errors import NotSupported
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.settings import Settings


def statement(registry: Registry, settings: Settings, started: datetime, version: str) -> bytes:
    """The CapabilityStatement as it is served, made once."""
    return encode(
        registry.capability_statement(
            settings.fhir_base, started, version, security_url=f"{settings.root_url}/auth"
        )
    )


def capabilities(served: bytes, request: Request) -> Answer:
    """200 with the CapabilityStatement.

    Raises:
        NotSupported: a `mode` other than `full`.
    """
    modes = [value for name, value in request.pairs if name == "mode"]
    if any(mode != "full" for mode in modes):
        raise NotSupported("Only mode=full is offered")
    return Answer(200, served)
