"""Literal references in every form."""

import pytest

from fhir_server.fhir.references import Reference, parse_reference

BASE = "http://example.org/fhir"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient/1", Reference("Patient", "1")),
        ("Patient/1/_history/2", Reference("Patient", "1", "2")),
        (f"{BASE}/Patient/1", Reference("Patient", "1")),
        (f"{BASE}/Patient/1/_history/2", Reference("Patient", "1", "2")),
        ("http://a.example/Patient/1", Reference("Patient", "1", None, "http://a.example")),
        (
            "https://a.example/x/y/Patient/1/_history/2",
            Reference("Patient", "1", "2", "https://a.example/x/y"),
        ),
        (f"{BASE}x/Patient/1", Reference("Patient", "1", None, f"{BASE}x")),
        (f"{BASE}/t/other/Patient/1", None),
    ],
)
def test_reference_is_taken_apart(text: str, expected: Reference | None) -> None:
    """Our own base makes an absolute reference a relative one."""
    assert parse_reference(text, BASE) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "#contained",
        "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
        "urn:oid:1.2.3",
        "Patient",
        "Patient/",
        "patient/1",
        "Patient/a_b",
        "Patient/1/2",
        "Patient/1/_history/",
        "Patient/1/_history",
        "Patient?identifier=x",
        "http://example.org",
        "http://Patient/1",
        "http://example.org/ValueSet/x|1",
        BASE,
        f"{BASE}/",
    ],
)
def test_anything_else_is_no_reference(text: str) -> None:
    """Callers keep such text as it is."""
    assert parse_reference(text, BASE) is None


def test_target_is_the_same_for_every_form() -> None:
    """Versions and our own base do not change what is pointed to."""
    forms = ["Patient/1", "Patient/1/_history/2", f"{BASE}/Patient/1"]
    assert {found.target for form in forms if (found := parse_reference(form, BASE))} == {
        "Patient/1"
    }
    foreign = parse_reference("http://a.example/Patient/1", BASE)
    assert foreign is not None
    assert foreign.target == "http://a.example/Patient/1"
    assert foreign.relative == "Patient/1"
