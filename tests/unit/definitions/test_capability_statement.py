"""`/metadata` is the artefact, with what only the running server knows."""

from datetime import UTC, datetime

from fhir_server.definitions.registry import Registry

BASE = "https://clinic.example/fhir"
DATE = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def test_running_server_completes_the_statement(registry: Registry) -> None:
    """Url, version, date, software and implementation are of this server and tenant."""
    built = registry.capability_statement(BASE, DATE, "1.2.3")
    assert built["url"] == f"{BASE}/metadata"
    assert built["version"] == "1.2.3"
    assert built["date"] == "2026-11-20T09:30:00+00:00"
    assert built["kind"] == "instance"
    assert built["software"] == {"name": "fhir-server", "version": "1.2.3"}
    assert built["implementation"]["url"] == BASE
    assert built["fhirVersion"] == "4.0.1"
    assert built["format"] == ["application/fhir+json", "json"]
    assert "extension" not in built["rest"][0]["security"]


def test_security_tells_the_token_endpoint(registry: Registry) -> None:
    """SMART's extension names where tokens come from."""
    built = registry.capability_statement(
        BASE, DATE, "1", security_url="https://clinic.example/auth"
    )
    (extension,) = built["rest"][0]["security"]["extension"]
    assert extension["extension"] == [
        {"url": "token", "valueUri": "https://clinic.example/auth/token"}
    ]


def test_artefact_stays_as_it_is(registry: Registry) -> None:
    """Building for one tenant changes nothing for the next."""
    registry.capability_statement(BASE, DATE, "1", security_url="x")["rest"].clear()
    assert registry.statement["rest"][0]["mode"] == "server"
    assert "extension" not in registry.statement["rest"][0]["security"]


def test_statement_declares_what_the_types_offer(registry: Registry) -> None:
    """Every declared interaction and search parameter is the registry's, one by one."""
    (rest,) = registry.statement["rest"]
    common = {one["name"] for one in rest["searchParam"]}
    for resource in rest["resource"]:
        offered = registry.types[resource["type"]]
        assert {one["code"] for one in resource["interaction"]} == offered.interactions
        declared = {one["name"] for one in resource.get("searchParam", ())}
        assert declared | common == set(offered.search_parameters)
