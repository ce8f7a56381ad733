"""Who may ask: tokens, scopes, and what the answer tells those who may not."""

import pytest

from tests.contract.conftest import Client, Server, patient


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "Patient/a"),
        ("GET", "Patient"),
        ("POST", "Patient"),
        ("PUT", "Patient/a"),
        ("DELETE", "Patient/a"),
        ("POST", "Patient/_search"),
        ("POST", "Appointment/$book"),
        ("GET", "Nonsense/a"),
        ("PATCH", "Patient/a"),
        ("GET", "/metrics"),
    ],
)
def test_nothing_but_the_public_addresses_without_a_token(
    anonymous: Client, method: str, path: str
) -> None:
    """401 with WWW-Authenticate and an OperationOutcome, before anything else is looked at."""
    answer = anonymous.send(method, path, patient() if method in ("POST", "PUT") else None)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.codes == ["login"]
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"


@pytest.mark.parametrize("value", ["Bearer nonsense", "Basic dTpw", "Bearer " + "a" * 43, "", "x"])
def test_malformed_or_unknown_tokens_are_401(client: Client, value: str) -> None:
    """The challenge says that the token is at fault."""
    answer = client.get("Patient/a", Authorization=value)
    assert answer.status == 401
    assert "invalid_token" in answer.headers["WWW-Authenticate"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("system/Patient.cuds", "GET", "Patient/a"),
        ("system/Patient.cuds", "GET", "Patient/a/_history"),
        ("system/Patient.cuds", "GET", "Patient/a/_history/1"),
        ("system/Patient.crud", "GET", "Patient"),
        ("system/Patient.crud", "POST", "Patient/_search"),
        ("system/Patient.ruds", "POST", "Patient"),
        ("system/Patient.crds", "PUT", "Patient/x"),
        ("system/Patient.crus", "DELETE", "Patient/a"),
        ("system/Slot.cruds", "GET", "Patient/a"),
        ("user/*.cruds", "GET", "Patient/a"),
    ],
)
def test_scopes_that_do_not_allow_it_are_403(
    server: Server, scope: str, method: str, path: str
) -> None:
    """Nothing is written, and the challenge names the reason."""
    limited = Client(server.base_url, server.token(scope))
    answer = limited.send(
        method,
        path,
        patient(id="x") if method in ("POST", "PUT") and "_search" not in path else None,
    )
    limited.close()
    assert answer.status == 403
    assert answer.codes == ["forbidden"]
    assert "insufficient_scope" in answer.headers["WWW-Authenticate"]


def test_refusals_and_reads_are_on_the_audit_trail(client: Client, server: Server) -> None:
    """Who did what with which outcome, with the request id."""
    stored = client.created(patient())
    client.get(f"Patient/{stored['id']}", X_Request_Id=f"read-{stored['id']}")
    client.get("Patient?nonsense=1", X_Request_Id=f"bad-{stored['id']}")
    wanted = {f"read-{stored['id']}": "success", f"bad-{stored['id']}": "not-supported"}
    found: dict[str, str] = {}
    for _ in range(200):
        for document in server.database["audit"].find():
            for record in document.get("records", [document]):
                if record.get("req") in wanted:
                    found[record["req"]] = record["outcome"]
        if len(found) == len(wanted):
            break
    assert found == wanted
