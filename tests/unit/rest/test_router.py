"""Addresses and methods to interactions."""

import pytest

from fhir_server.definitions.registry import OperationDefinition, Registry, TypeDefinition
from fhir_server.fhir.errors import MethodNotAllowed, UnknownAddress
from fhir_server.rest.router import Route, Router

ALL = frozenset({"read", "vread", "update", "delete", "history-instance", "create", "search-type"})


def definition(name: str, interactions: frozenset[str] = ALL) -> TypeDefinition:
    """A served type, in the compartment of a Patient."""
    return TypeDefinition(name, interactions, {}, {"Patient": ("actor",)}, update_create=True)


def operation(code: str, **changed: bool) -> OperationDefinition:
    """An operation on Appointment."""
    levels = {"system": False, "on_type": True, "on_instance": False, "affects_state": True}
    return OperationDefinition(
        code=code,
        canonical=f"urn:{code}",
        types=("Appointment",),
        inputs=(),
        outputs=(),
        **(levels | changed),
    )


@pytest.fixture
def router() -> Router:
    """Two types, one of them read-only, and three operations."""
    operations = [
        operation("book"),
        operation("find", affects_state=False),
        operation("cancel", on_type=False, on_instance=True),
    ]
    return Router(
        Registry(
            types={
                "Appointment": definition("Appointment"),
                "AuditEvent": definition("AuditEvent", frozenset({"read", "search-type"})),
            },
            operations={one.canonical: one for one in operations},
            compartments=("Patient",),
            structures=None,  # type: ignore[arg-type]
            statement={"rest": [{"interaction": [{"code": "search-system"}]}]},
            artefact_hash="",
        )
    )


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "metadata", Route("capabilities")),
        ("HEAD", "metadata", Route("capabilities")),
        ("GET", ".well-known/smart-configuration", Route("smart-configuration")),
        ("POST", "_search", Route("search-system", form=True)),
        ("GET", "Patient/1/*", Route("search-system", compartment="Patient/1")),
        (
            "POST",
            "Patient/1/Appointment/_search",
            Route("search-type", "Appointment", form=True, compartment="Patient/1"),
        ),
        (
            "HEAD",
            "Patient/1/Appointment",
            Route("search-type", "Appointment", compartment="Patient/1"),
        ),
        ("GET", "Appointment", Route("search-type", "Appointment")),
        ("POST", "Appointment", Route("create", "Appointment")),
        ("POST", "Appointment/_search", Route("search-type", "Appointment", form=True)),
        ("GET", "Appointment/a", Route("read", "Appointment", "a")),
        ("HEAD", "Appointment/a", Route("read", "Appointment", "a")),
        ("PUT", "Appointment/a", Route("update", "Appointment", "a")),
        ("DELETE", "Appointment/a", Route("delete", "Appointment", "a")),
        ("GET", "Appointment/a/_history", Route("history-instance", "Appointment", "a")),
        ("GET", "Appointment/a/_history/2", Route("vread", "Appointment", "a", "2")),
        ("POST", "Appointment/$book", Route("operation", "Appointment", operation="urn:book")),
        ("GET", "Appointment/$find", Route("operation", "Appointment", operation="urn:find")),
        (
            "POST",
            "Appointment/a/$cancel",
            Route("operation", "Appointment", "a", operation="urn:cancel"),
        ),
    ],
)
def test_declared_interactions_have_a_route(
    router: Router, method: str, path: str, expected: Route
) -> None:
    """Every address of R4's summary of the interactions that are declared."""
    assert router.resolve(method, path.split("/")) == expected


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "", ("GET", "HEAD")),
        ("GET", "_history", ()),
        ("GET", "_search", ("POST",)),
        ("POST", "metadata", ("GET", "HEAD")),
        ("PUT", "Appointment", ("GET", "HEAD", "POST")),
        ("DELETE", "Appointment", ("GET", "HEAD", "POST")),
        ("PATCH", "Appointment", ("GET", "HEAD", "POST")),
        ("GET", "Appointment/_history", ()),
        ("GET", "Appointment/_search", ("POST",)),
        ("PATCH", "Appointment/a", ("GET", "HEAD", "PUT", "DELETE")),
        ("POST", "Appointment/a", ("GET", "HEAD", "PUT", "DELETE")),
        ("DELETE", "Appointment/a/_history", ("GET", "HEAD")),
        ("PUT", "Appointment/a/_history/2", ("GET", "HEAD")),
        ("GET", "Appointment/$book", ("POST",)),
        ("DELETE", "Appointment/$find", ("GET", "HEAD", "POST")),
        ("POST", "AuditEvent", ("GET", "HEAD")),
        ("PUT", "AuditEvent/a", ("GET", "HEAD")),
        ("GET", "AuditEvent/a/_history", ()),
    ],
)
def test_undeclared_methods_are_refused_with_those_allowed(
    router: Router, method: str, path: str, allow: tuple[str, ...]
) -> None:
    """405 and Allow."""
    with pytest.raises(MethodNotAllowed) as refused:
        router.resolve(method, path.split("/") if path else [])
    assert refused.value.allow == allow


@pytest.mark.parametrize(
    "path",
    [
        "Nonsense",
        "Nonsense/a",
        "appointment/a",
        "Appointment/a/b",
        "Appointment/a/_history/2/3",
        "Appointment/a/_history/1/",
        "$unknown",
        "Appointment/$unknown",
        "Appointment/a/$book",
        "Appointment/$cancel",
        "AuditEvent/$book",
        "metadata/x",
    ],
)
def test_unknown_addresses_are_not_found(router: Router, path: str) -> None:
    """404, whatever is wrong with the address."""
    with pytest.raises(UnknownAddress):
        router.resolve("GET", path.split("/"))
