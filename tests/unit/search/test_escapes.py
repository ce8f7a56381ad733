"""Separators and escapes."""

import pytest

from fhir_server.search.escapes import split, unescape


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a,,b", ["a", "", "b"]),
        (r"a\,b", [r"a\,b"]),
        (r"a\\,b", [r"a\\", "b"]),
        (r"a\\\,b", [r"a\\\,b"]),
        (r"a\|b,c\$d", [r"a\|b", r"c\$d"]),
        ("a\\", ["a\\"]),
    ],
)
def test_split_leaves_escaped_separators(text: str, parts: list[str]) -> None:
    """Escapes stay for the next separator to see."""
    assert split(text, ",") == parts


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"a\,b", "a,b"),
        (r"a\|b\$c\\d", r"a|b$c\d"),
        (r"\\,", r"\,"),
        (r"a\xb", r"a\xb"),
        ("a\\", "a\\"),
    ],
)
def test_unescape(text: str, plain: str) -> None:
    """Only the four characters of the standard are escaped."""
    assert unescape(text) == plain
