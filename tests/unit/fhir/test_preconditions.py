"""If-Match, If-None-Match, If-Modified-Since."""

from datetime import UTC, datetime

import pytest

from fhir_server.fhir.errors import Invalid, VersionConflict
from fhir_server.fhir.exchange import Body, Request
from fhir_server.fhir.preconditions import (
    NO_CONDITION,
    WriteCondition,
    format_http_date,
    is_unchanged,
    write_condition,
)
from fhir_server.fhir.types import Resource

AT = datetime(2026, 3, 1, 9, 0, 0, 500_000, tzinfo=UTC)


class Nothing(Body):
    """No body."""

    async def resource(self) -> Resource:
        """Never asked for."""
        raise AssertionError

    async def patch(self) -> Resource:
        """Never asked for."""
        raise AssertionError


def request(**headers: str) -> Request:
    """A request with these headers."""
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Request("read", "Patient", "a", "", "", (), sent, Nothing())


@pytest.mark.parametrize("value", ['W/"3"', '"3"', ' W/"3" '])
def test_if_match_names_a_version(value: str) -> None:
    """Weak or strong, R4 clients send both."""
    assert write_condition(request(if_match=value)) == WriteCondition(version=3, exists=True)


@pytest.mark.parametrize(
    "value", ["3", "W/3", 'W/"a"', 'W/"0"', 'W/"-1"', 'w/"3"', "", 'W/"3", W/"4"', 'W/"3']
)
def test_malformed_if_match_is_refused(value: str) -> None:
    """Ignoring it would overwrite what the client wanted to protect."""
    with pytest.raises(Invalid):
        write_condition(request(if_match=value))


def test_contradicting_or_unknown_conditions_are_refused() -> None:
    """Both headers at once, or a version in If-None-Match."""
    with pytest.raises(Invalid):
        write_condition(request(if_match='W/"1"', if_none_match="*"))
    with pytest.raises(Invalid):
        write_condition(request(if_none_match='W/"1"'))


@pytest.mark.parametrize(
    ("condition", "current"),
    [
        (WriteCondition(version=3, exists=True), 4),
        (WriteCondition(version=3, exists=True), None),
        (WriteCondition(exists=True), None),
        (WriteCondition(exists=False), 1),
    ],
)
def test_a_condition_that_does_not_hold_refuses(
    condition: WriteCondition, current: int | None
) -> None:
    """412 in every case."""
    with pytest.raises(VersionConflict):
        condition.check("Patient/a", current)


@pytest.mark.parametrize(
    ("condition", "current"),
    [
        (NO_CONDITION, None),
        (NO_CONDITION, 7),
        (WriteCondition(version=3, exists=True), 3),
        (WriteCondition(exists=True), 9),
        (WriteCondition(exists=False), None),
    ],
)
def test_a_condition_that_holds_lets_through(
    condition: WriteCondition, current: int | None
) -> None:
    """Nothing is raised."""
    condition.check("Patient/a", current)


@pytest.mark.parametrize("value", ['W/"3"', '"3"', '"x", W/"3"', "*"])
def test_if_none_match_of_the_current_version_is_unchanged(value: str) -> None:
    """The weak comparison of RFC 9110."""
    assert is_unchanged(request(if_none_match=value), 3, AT)


@pytest.mark.parametrize("value", ['W/"2"', '"x"', '"33"'])
def test_if_none_match_of_others_is_changed(value: str) -> None:
    """Another version, or an ETag of somebody else."""
    assert not is_unchanged(request(if_none_match=value), 3, AT)


def test_malformed_if_none_match_is_refused() -> None:
    """A bare number is no ETag."""
    with pytest.raises(Invalid):
        is_unchanged(request(if_none_match="3"), 3, AT)


def test_if_modified_since_compares_whole_seconds() -> None:
    """HTTP dates have no fractions, so the same second is unchanged."""
    same = format_http_date(AT)
    assert is_unchanged(request(if_modified_since=same), 3, AT)
    assert not is_unchanged(request(if_modified_since="Sun, 01 Mar 2026 08:59:59 GMT"), 3, AT)


@pytest.mark.parametrize("value", ["yesterday", "", "Sun, 99 Mar 2026 08:59:59 GMT"])
def test_if_modified_since_that_is_no_date_is_ignored(value: str) -> None:
    """As RFC 9110 demands."""
    assert not is_unchanged(request(if_modified_since=value), 3, AT)


def test_if_none_match_overrides_if_modified_since() -> None:
    """The ETag is the better witness."""
    asked = request(if_none_match='W/"2"', if_modified_since=format_http_date(AT))
    assert not is_unchanged(asked, 3, AT)
