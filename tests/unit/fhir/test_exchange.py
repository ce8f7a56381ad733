"""The Prefer header."""

import pytest

from fhir_server.fhir.exchange import Prefer, parse_prefer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("return=minimal", Prefer("minimal")),
        ("return=OperationOutcome", Prefer("OperationOutcome")),
        ("return=representation", Prefer()),
        ('return="minimal"', Prefer("minimal")),
        ("handling=lenient", Prefer(lenient=True)),
        ("handling=strict", Prefer()),
        ("return=minimal; handling=lenient", Prefer("minimal", lenient=True)),
        ("handling=lenient, return=minimal", Prefer("minimal", lenient=True)),
        ("respond-async, wait=10", Prefer()),
        ("return=everything", Prefer()),
        ("return=minimal, return=representation", Prefer("minimal")),
        ("", Prefer()),
    ],
)
def test_known_preferences_are_taken_and_others_ignored(text: str, expected: Prefer) -> None:
    """RFC 7240: the first wins, unknown ones do no harm."""
    assert parse_prefer(text) == expected
