"""Formats in and out."""

import pytest

from fhir_server.fhir.errors import Invalid, NotAcceptable, UnsupportedMediaType, Value
from fhir_server.rest.negotiation import (
    check_form_body,
    check_json_body,
    indent,
    negotiate,
    parse_pairs,
)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        b"",
        b"*/*",
        b"application/*",
        b"application/json",
        b"application/fhir+json; fhirVersion=4.0",
        b"text/html, application/fhir+xml;q=0.9, */*;q=0.1",
        b"APPLICATION/FHIR+JSON",
        b"text/json",
    ],
)
def test_accept_of_json_in_any_form_is_met(accept: bytes | None) -> None:
    """FHIR JSON is produced for every way of asking for JSON, or for anything."""
    assert negotiate(accept, ()) == (False, ())


@pytest.mark.parametrize(
    "accept",
    [
        b"application/fhir+xml",
        b"text/html",
        b"application/fhir+json;q=0",
        b"application/fhir+json;q=0.0",
        b"application/fhir+json; fhirVersion=5.0",
    ],
)
def test_accept_of_anything_else_is_refused(accept: bytes) -> None:
    """Only JSON of R4 can be produced."""
    with pytest.raises(NotAcceptable):
        negotiate(accept, ())


@pytest.mark.parametrize(
    "value",
    ["json", "application/json", "application/fhir+json", "application/fhir json", "text/json"],
)
def test_format_overrides_accept(value: str) -> None:
    """`_format` wins over an Accept that cannot be met."""
    assert negotiate(b"application/fhir+xml", [("_format", value)]).pairs == []


def test_unknown_format_is_refused_whatever_accept_says() -> None:
    """`_format=xml` is not answered with JSON."""
    with pytest.raises(NotAcceptable):
        negotiate(b"*/*", [("_format", "xml")])


def test_format_and_pretty_are_taken_out_of_the_parameters() -> None:
    """What only shapes the answer is no search parameter."""
    pairs = [("_pretty", "true"), ("status", "free"), ("_format", "json")]
    assert negotiate(None, pairs) == (True, [("status", "free")])


@pytest.mark.parametrize(
    "pairs", [[("_pretty", "yes")], [("_pretty", "true"), ("_pretty", "true")]]
)
def test_malformed_pretty_is_refused(pairs: list[tuple[str, str]]) -> None:
    """A boolean, once."""
    with pytest.raises(Value):
        negotiate(None, pairs)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/fhir+json",
        "application/json",
        "application/fhir+json; charset=UTF-8",
        "application/fhir+json; fhirVersion=4.0",
    ],
)
def test_json_bodies_are_read(content_type: str) -> None:
    """The content types that R4 allows for JSON."""
    check_json_body(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/fhir+xml",
        "application/json; charset=latin-1",
        "application/fhir+json; fhirVersion=3.0",
        "application/x-www-form-urlencoded",
    ],
)
def test_other_bodies_are_refused(content_type: str | None) -> None:
    """A body that does not say that it is FHIR R4 JSON is not guessed at."""
    with pytest.raises(UnsupportedMediaType):
        check_json_body(content_type)


def test_form_must_say_that_it_is_one() -> None:
    """JSON is no form."""
    check_form_body("application/x-www-form-urlencoded; charset=utf-8")
    with pytest.raises(UnsupportedMediaType):
        check_form_body("application/json")


def test_pairs_keep_order_repetition_and_blanks() -> None:
    """Nothing that the client sent is lost before it is judged."""
    assert parse_pairs("a=1&b=&a=%C3%A9", 9) == [("a", "1"), ("b", ""), ("a", "é")]


@pytest.mark.parametrize("text", ["a=%ff", "a=%00", "a=1&b=2&c=3"])
def test_undecodable_or_too_many_pairs_are_refused(text: str) -> None:
    """No UTF-8, a NUL, more than the limit."""
    with pytest.raises(Invalid):
        parse_pairs(text, 2)


def test_indent_keeps_every_digit() -> None:
    """A pretty answer has the same numbers as a plain one."""
    told = indent(b'{"a":1.50,"b":[1E2,-0,12345678901234567890],"c":"\\u00e9"}').decode()
    assert '"a": 1.50' in told
    assert "1E2" in told
    assert "-0" in told
    assert "12345678901234567890" in told
