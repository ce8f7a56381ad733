"""GET [base]/.well-known/smart-configuration: true, in JSON, for everybody."""

import pytest

from tests.contract.conftest import Client, Server

PATH = ".well-known/smart-configuration"


@pytest.mark.parametrize(
    "accept", ["application/json", "text/xml", "application/fhir+xml", "x", ""]
)
def test_discovery_is_json_whatever_is_accepted(anonymous: Client, accept: str) -> None:
    """Nobody needs a token, and Accept does not matter."""
    answer = anonymous.get(PATH, Accept=accept)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["token_endpoint"] == f"{anonymous.root}/auth/token"


@pytest.mark.parametrize("path", [PATH, "metadata"])
def test_discovery_is_readable_from_any_origin(anonymous: Client, path: str) -> None:
    """A browser app on any site may read what is public."""
    answer = anonymous.get(path, Origin="https://app.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_resources_are_not_readable_from_other_origins(client: Client) -> None:
    """What is not public names no origin."""
    assert "Access-Control-Allow-Origin" not in client.get("Patient").headers


def test_discovery_names_what_works_only(anonymous: Client) -> None:
    """Backend services are offered; nothing that needs an authorization endpoint is."""
    document = anonymous.get(PATH).json
    assert document["grant_types_supported"] == ["client_credentials"]
    assert document["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert document["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert set(document["capabilities"]) == {
        "client-confidential-asymmetric",
        "permission-v1",
        "permission-v2",
    }
    assert set(document) == {
        "token_endpoint",
        "grant_types_supported",
        "token_endpoint_auth_methods_supported",
        "token_endpoint_auth_signing_alg_values_supported",
        "scopes_supported",
        "code_challenge_methods_supported",
        "capabilities",
    }


def test_named_endpoint_is_there(anonymous: Client) -> None:
    """The token endpoint answers at the address that discovery names, in OAuth's words."""
    url = anonymous.get(PATH).json["token_endpoint"]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = anonymous.send("POST", url, b"grant_type=nonsense", form)
    assert (answer.status, answer.json["error"]) == (400, "unsupported_grant_type")


def test_scopes_supported_cover_every_served_type(anonymous: Client, server: Server) -> None:
    """Each type of the capability statement has a scope with the rights it offers, no more."""
    scopes = set(anonymous.get(PATH).json["scopes_supported"])
    served = anonymous.get("metadata").json["rest"][0]["resource"]
    rights = {
        "create": "c",
        "read": "r",
        "update": "u",
        "delete": "d",
        "search-type": "s",
    }
    expected = {"system/*.cruds", "system/*.rs"}
    for one in served:
        codes = {interaction["code"] for interaction in one["interaction"]}
        letters = "".join(letter for code, letter in rights.items() if code in codes)
        expected.add(f"system/{one['type']}.{letters}")
    assert scopes == expected
