"""capabilities: what this server does (https://hl7.org/fhir/R4/http.html#capabilities)."""

from datetime import datetime

from fhir_server.definitions.registry import Registry
from fhir_server.fhir.codec import encode
from fhir_server.fhir.errors import NotSupported
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.search.include import includes_of, revincludes_of
from fhir_server.settings import Settings


def statement(registry: Registry, settings: Settings, started: datetime, version: str) -> bytes:
    """The CapabilityStatement as it is served, made once.

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
    return encode(built)


def capabilities(served: bytes, request: Request) -> Answer:
    """200 with the CapabilityStatement.

    Raises:
        NotSupported: a `mode` other than `full`.
    """
    modes = [value for name, value in request.pairs if name == "mode"]
    if any(mode != "full" for mode in modes):
        raise NotSupported("Only mode=full is offered")
    return Answer(200, served)
