"""capabilities (https://hl7.org/fhir/R4/http.html#capabilities) and SMART discovery."""

import pytest
from fhir.resources.R4B.terminologycapabilities import TerminologyCapabilities

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import Client, Json, Server

ADDRESSES = {
    "read": ("GET", "{type}/{id}", 404),
    "vread": ("GET", "{type}/{id}/_history/1", 404),
    "history-instance": ("GET", "{type}/{id}/_history", 404),
    "delete": ("DELETE", "{type}/{id}", 204),
    "search-type": ("GET", "{type}?_id={id}", 200),
    "create": ("POST", "{type}", 400),
    "update": ("PUT", "{type}/{id}", 400),
    "patch": ("PATCH", "{type}/{id}", 400),
    "history-type": ("GET", "{type}/_history?_count=0", 200),
}
"""Interaction -> how to ask for it, and what a client gets that asks for nothing in particular."""


def test_metadata_needs_no_token(anonymous: Client, server: Server) -> None:
    """What the server does is no secret."""
    answer = anonymous.get("metadata")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    statement = answer.json
    assert statement["resourceType"] == "CapabilityStatement"
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["implementation"]["url"] == server.base_url
    assert anonymous.send("HEAD", "metadata").status == 200


def test_metadata_modes(anonymous: Client, server: Server) -> None:
    """The whole statement, its part about normative types, and the terminology."""
    full = anonymous.get("metadata?mode=full")
    assert full.json == anonymous.get("metadata").json
    normative = anonymous.get("metadata?mode=normative").json
    assert normative["resourceType"] == "CapabilityStatement"
    types = [one["type"] for one in normative["rest"][0]["resource"]]
    assert types == ["Binary", "Patient"]
    assert all(one in full.json["rest"][0]["resource"] for one in normative["rest"][0]["resource"])
    terminology = anonymous.get("metadata?mode=terminology").json
    TerminologyCapabilities.model_validate(terminology)
    assert terminology["implementation"]["url"] == server.base_url
    known = [one["uri"] for one in terminology["codeSystem"]]
    assert "http://hl7.org/fhir/slotstatus" in known
    assert len(known) == len(set(known))


@pytest.mark.parametrize("query", ["mode=", "mode=all", "mode=full&mode=full", "mode=Full"])
def test_unknown_metadata_modes_are_refused(anonymous: Client, query: str) -> None:
    """With those that there are."""
    answer = anonymous.get(f"metadata?{query}")
    assert answer.status == 400
    assert answer.issues


@pytest.mark.parametrize("mode", ["full", "normative", "terminology"])
def test_metadata_is_not_sent_twice(anonymous: Client, mode: str) -> None:
    """304 without a body to a client that has it; another mode is another document."""
    first = anonymous.get(f"metadata?mode={mode}")
    etag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    for named in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
        again = anonymous.get(f"metadata?mode={mode}", If_None_Match=named)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
    other = "terminology" if mode == "full" else "full"
    assert anonymous.get(f"metadata?mode={other}", If_None_Match=etag).status == 200
    assert anonymous.get(f"metadata?mode={mode}", If_None_Match='W/"1"').status == 200
    assert anonymous.get(f"metadata?mode={mode}", If_None_Match="nonsense").status == 400


def test_metadata_is_negotiated(anonymous: Client) -> None:
    """JSON, pretty if wished; no XML."""
    assert anonymous.get("metadata?_pretty=true").body.startswith(b"{\n")
    assert anonymous.get("metadata?_format=xml").status == 406


def test_smart_configuration_needs_no_token(anonymous: Client, server: Server) -> None:
    """The token endpoint is where it says."""
    answer = anonymous.get(".well-known/smart-configuration", Accept="*/*")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["token_endpoint"] == f"{server.settings.root_url}/auth/token"


def test_the_token_endpoint_answers_in_oauths_words(anonymous: Client) -> None:
    """Mounted beside the FHIR base, under the same request ids."""
    answer = anonymous.send(
        "POST",
        "/auth/token",
        b"grant_type=password",
        {"Content-Type": "application/x-www-form-urlencoded", "X-Request-Id": "abc"},
    )
    assert answer.status == 400
    assert answer.json["error"]
    assert answer.headers["X-Request-Id"] == "abc"


def test_every_declared_interaction_is_there_and_no_other(client: Client) -> None:
    """The capability statement is true: declared ones answer, all others are 405 with Allow."""
    declared: list[Json] = client.get("metadata").json["rest"][0]["resource"]
    assert len(declared) == 34
    for resource in declared:
        codes = {one["code"] for one in resource["interaction"]}
        assert codes <= ADDRESSES.keys()
        for code, (method, address, expected) in ADDRESSES.items():
            path = address.format(type=resource["type"], id=f"none-{time_ordered_id()}")
            body: Json = {} if method in ("POST", "PUT", "PATCH") else None
            answer = client.send(method, path, body)
            if code in codes:
                assert answer.status == expected, (code, resource["type"], answer.body)
            else:
                assert answer.status == 405, (code, resource["type"], answer.body)
                assert answer.codes == ["not-supported"]
                assert method not in (answer.headers["Allow"] or "").split(", ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", ""),
        ("GET", "_search"),
        ("PUT", "metadata"),
        ("PATCH", "AuditEvent?type=a"),
        ("GET", "Appointment/$book"),
        ("OPTIONS", "Patient"),
        ("TRACE", "Patient/a"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_undeclared_interactions_are_405(client: Client, method: str, path: str) -> None:
    """With Allow and an OperationOutcome."""
    answer = client.send(method, path, {} if method == "POST" else None)
    assert answer.status == 405
    assert answer.codes == ["not-supported"]
    assert answer.headers["Allow"] is not None


@pytest.mark.parametrize(
    "path",
    [
        "Nonsense",
        "Nonsense/a",
        "patient/a",
        "Patient/a/b",
        "Patient/a/_history/1/2",
        "Patient/$nonsense",
        "$nonsense",
        "Patient/a/$nonsense",
        "Observation/a",
        "/nonsense",
        "/",
        "/fhirs",
        "/health",
        "/health/x",
    ],
)
def test_unknown_addresses_are_404(client: Client, path: str) -> None:
    """With an OperationOutcome, also outside the FHIR base."""
    answer = client.get(path)
    assert answer.status == 404
    assert answer.codes == ["not-supported"]


def test_bundles_are_posted_to_the_base(client: Client) -> None:
    """With or without a slash at its end."""
    declared = client.get("metadata").json["rest"][0]["interaction"]
    assert {one["code"] for one in declared} >= {"batch", "transaction"}
    bundle = {"resourceType": "Bundle", "type": "transaction"}
    assert client.post("", bundle).status == 200
    assert client.post("/fhir/", bundle).status == 200
