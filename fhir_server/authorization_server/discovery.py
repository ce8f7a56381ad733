"""SMART's discovery document, naming only what works.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html#using-well-known
"""

from typing import Any, Final

from fhir_server.auth.keys import KEY_TYPE_OF
from fhir_server.auth.policy import RIGHTS_OF
from fhir_server.auth.scopes import RIGHTS
from fhir_server.authorization_server.token import GRANT_TYPE, PATH
from fhir_server.definitions.registry import Registry, TypeDefinition
from fhir_server.settings import Settings

WELL_KNOWN: Final = ".well-known/smart-configuration"
"""The document's address below a FHIR base."""


def smart_configuration(settings: Settings, registry: Registry) -> dict[str, Any]:
    """The document.

    `code_challenge_methods_supported` is mandatory in SMART even for a server without an
    authorization endpoint; it promises that nothing weaker than S256 will ever do, and no
    endpoint is named at which a challenge could be sent.
    """
    every = ["system/*.cruds", "system/*.rs"]
    by_type = [f"system/{one.name}.{_rights(one)}" for one in registry.types.values()]
    return {
        "token_endpoint": f"{settings.root_url}{PATH}",
        "grant_types_supported": [GRANT_TYPE],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(KEY_TYPE_OF),
        "scopes_supported": every + sorted(by_type),
        "code_challenge_methods_supported": ["S256"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }


def _rights(definition: TypeDefinition) -> str:
    offered = {right for name in definition.interactions for right in RIGHTS_OF.get(name, "")}
    return "".join(right for right in RIGHTS if right in offered)
