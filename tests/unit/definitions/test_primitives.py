"""Which JSON values are legal for R4's primitive types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.definitions.primitives import PRIMITIVES
from fhir_server.fhir.codec import ExactDecimal
from fhir_server.fhir.dates import parse
from fhir_server.fhir.types import Json

LEGAL: dict[str, list[Json]] = {
    "boolean": [True, False],
    "integer": [0, -(2**31), 2**31 - 1],
    "unsignedInt": [0, 2**31 - 1],
    "positiveInt": [1, 2**31 - 1],
    "decimal": [0, -1.5, ExactDecimal("1.50"), ExactDecimal("1E-7"), 10**30],
    "string": ["x", " ", "a\tb\r\nc", "žluťoučký", "e\u0301", "👩‍⚕️"],
    "markdown": ["*x*\n"],
    "code": ["x", "a b", "+1"],
    "id": ["a", "A-1.b", "x" * 64],
    "uri": ["urn:oid:1.2", "http://x/y", "#a", "x"],
    "url": ["mailto:a@b.example"],
    "canonical": ["http://x/y|1"],
    "oid": ["urn:oid:1.2.3", "urn:oid:2.0.10"],
    "uuid": ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
    "base64Binary": ["aGVsbG8=", "aGVs\nbG8="],
    "date": ["2026", "2026-02", "2026-02-28", "2024-02-29", "0001-01-01", "9999-12-31"],
    "dateTime": [
        "2026",
        "2026-02-28",
        "2026-02-28T00:00:00Z",
        "2026-02-28T23:59:59.123456789+14:00",
        "2016-12-31T23:59:60Z",
        "2026-03-29T02:30:00-13:59",
    ],
    "instant": ["2026-02-28T00:00:00Z", "2026-02-28T00:00:00.1+00:00"],
    "time": ["00:00:00", "23:59:59.5"],
}
ILLEGAL: dict[str, list[Json]] = {
    "boolean": ["true", 0, 1, None],
    "integer": ["1", 1.0, True, 2**31, ExactDecimal("1E2"), None],
    "unsignedInt": [-1, "0"],
    "positiveInt": [0, True],
    "decimal": ["1.5", True, None],
    "string": ["", 1, None, "a\x00", "a\x1f", []],
    "markdown": [""],
    "code": ["", " x", "x ", "a  b", "a\x00b", 1],
    "id": ["", "a_b", "x" * 65, "a/b", "ä", "a\n"],
    "uri": ["", "a b", "a\n", 1],
    "url": ["a b"],
    "canonical": [""],
    "oid": ["1.2.3", "urn:oid:3.1", "urn:oid:1.02"],
    "uuid": ["c757873d-ec9a-4326-a141-556f43239520",
             "urn:uuid:C757873D-EC9A-4326-A141-556F43239520"],
    "base64Binary": ["", "a", "a*==", "aGVsbG8", 1],
    "date": ["26", "2026-13", "2026-00-01", "2026-02-29", "0000-01-01", "2026-2-1", "٢٠٢٦", 2026,
             "2026-02-28T00:00:00Z", "2026\n"],
    "dateTime": ["2026-02-28T00:00Z", "2026-02-28T00:00:00", "2026-02-28T24:00:00Z",
                 "2026-02-28T00:60:00Z", "2026-02-28T00:00:61Z", "2026-02-28T00:00:00+14:01",
                 "2026-02-30T00:00:00Z", "2026-02-28 00:00:00Z", "2026-02-28T00:00:00.Z", ""],
    "instant": ["2026", "2026-02-28", "2026-02-28T00:00:00"],
    "time": ["24:00:00", "09:30", "09:30:00Z"],
}  # fmt: skip


def _cases(table: dict[str, list[Json]]) -> list[tuple[str, Json]]:
    return [(name, value) for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), _cases(LEGAL))
def test_legal_value_is_taken(name: str, value: Json) -> None:
    """What R4's grammar allows is legal."""
    assert PRIMITIVES[name].is_legal(value)


@pytest.mark.parametrize(("name", "value"), _cases(ILLEGAL))
def test_illegal_value_is_refused(name: str, value: Json) -> None:
    """What R4's grammar does not allow is refused, other JSON types included."""
    assert not PRIMITIVES[name].is_legal(value)


def test_every_primitive_type_has_cases() -> None:
    """No primitive type goes untested."""
    assert set(LEGAL) == set(ILLEGAL) == set(PRIMITIVES) - {"xhtml"}


@given(
    st.sampled_from(["date", "dateTime", "instant"]),
    st.from_regex(
        r"[0-9]{4}(-[01][0-9](-[0-3][0-9](T[012][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,9})?"
        r"(Z|[+-][01][0-9]:[0-6][0-9]))?)?)?",
        fullmatch=True,
    ),
)
def test_every_legal_date_can_be_searched(name: str, text: str) -> None:
    """What is accepted as a date is a range of time too."""
    if PRIMITIVES[name].is_legal(text):
        found = parse(text, instant=name == "instant")
        assert found.low <= found.high
