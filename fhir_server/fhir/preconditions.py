"""Conditional requests on one resource: If-Match, If-None-Match, If-Modified-Since.

https://hl7.org/fhir/R4/http.html#concurrency, https://hl7.org/fhir/R4/http.html#cread, RFC 9110 §13
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

from fhir_server.fhir.errors import Invalid, VersionConflict
from fhir_server.fhir.exchange import Request

ETAG = re.compile(r'(?:W/)?"([1-9][0-9]{0,17})"')
ANY_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def format_etag(version: int) -> str:
    """The weak ETag of a version."""
    return f'W/"{version}"'


@lru_cache(maxsize=4096)
def format_http_date(instant: datetime) -> str:
    """An HTTP date, whole seconds."""
    return format_datetime(instant.astimezone(UTC), usegmt=True)


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """What must hold of the current version for a write to go on.

    Attributes:
        version: the version it must be; None for any.
        exists: True: something must be there; False: nothing may be there; None: no matter.
    """

    version: int | None = None
    exists: bool | None = None

    def check(self, address: str, current: int | None) -> None:
        """Refuse the write unless the condition holds.

        Args:
            address: `Type/id`, for the message.
            current: the live current version; None when there is none or it is deleted.

        Raises:
            VersionConflict: it does not.
        """
        if self.exists is False and current is not None:
            raise VersionConflict(
                f"{address} exists already (version {current}) and If-None-Match is *",
                details="version-mismatch",
            )
        if self.exists and current is None:
            raise VersionConflict(
                f"If-Match is given and there is no current version of {address}",
                details="version-mismatch",
            )
        if self.version is not None and current != self.version:
            raise VersionConflict(
                f"{address} is at version {current}, not {self.version}: read it again, "
                "repeat your change on it and send its ETag as If-Match",
                details="version-mismatch",
            )


NO_CONDITION = WriteCondition()


def write_condition(request: Request) -> WriteCondition:
    """The condition that If-Match or If-None-Match sets for a write.

    Raises:
        Invalid: a header is malformed, or both are given.
    """
    match, none_match = request.header(b"if-match"), request.header(b"if-none-match")
    if match is None and none_match is None:
        return NO_CONDITION
    if match is not None and none_match is not None:
        raise Invalid("If-Match and If-None-Match contradict each other; send one of them")
    if none_match is not None:
        if none_match != "*":
            raise Invalid("If-None-Match on a write can only be *")
        return WriteCondition(exists=False)
    if match == "*":
        return WriteCondition(exists=True)
    found = ETAG.fullmatch(match or "")
    if found is None:
        raise Invalid('If-Match must be one ETag of this server, for example W/"3"')
    return WriteCondition(version=int(found[1]), exists=True)


def names_etag(none_match: str, etag: str) -> bool:
    """Whether an If-None-Match names this ETag (RFC 9110 §13.1.2: compared weakly).

    Raises:
        Invalid: it is not a list of ETags.
    """
    if none_match == "*":
        return True
    tags = [tag.strip() for tag in none_match.split(",")]
    if not all(ANY_ETAG.fullmatch(tag) for tag in tags):
        raise Invalid('If-None-Match must be a list of ETags, for example W/"3"')
    own = etag.removeprefix("W/")
    return any(tag.removeprefix("W/") == own for tag in tags)


def is_unchanged(request: Request, version: int, last_modified: datetime) -> bool:
    """Whether the client holds this version already, so that 304 is the answer.

    Raises:
        Invalid: If-None-Match is not a list of ETags.
    """
    none_match = request.header(b"if-none-match")
    if none_match is not None:
        return names_etag(none_match, format_etag(version))
    since = request.header(b"if-modified-since")
    if since is None:
        return False
    try:
        limit = parsedate_to_datetime(since)
    except ValueError:
        # RFC 9110 §13.1.3: a recipient must ignore the header when its value is no HTTP date.
        return False
    if limit.tzinfo is None:
        limit = limit.replace(tzinfo=UTC)
    return last_modified.replace(microsecond=0) <= limit
