"""The shape of literal references (https://hl7.org/fhir/R4/references.html#literal)."""

import re
from collections.abc import Collection

from fhir_server.fhir.types import Json

_ID = r"[A-Za-z0-9\-.]{1,64}"
_LITERAL = re.compile(rf"([A-Z][A-Za-z]*)/{_ID}(?:/_history/{_ID})?")
_RESTFUL_URL = re.compile(rf"[a-z]+://.+/([A-Z][A-Za-z]*)/{_ID}(?:/_history/{_ID})?")
_OTHER_URL = re.compile(r"[a-z][a-z0-9+.\-]*:\S+", re.IGNORECASE)
_CONTAINED = re.compile(rf"#(?:{_ID})?")


def referenced_type(value: Json) -> str | None:
    """The type that a Reference or canonical points to, as far as its own text tells."""
    text = value.get("reference") if isinstance(value, dict) else value
    if isinstance(text, str):
        match = _LITERAL.fullmatch(text) or _RESTFUL_URL.fullmatch(text)
        if match is not None:
            return match[1]
    named: str | None = value.get("type") if isinstance(value, dict) else None
    return named


def reference_problem(
    text: str, targets: Collection[str], resource_types: Collection[str]
) -> str | None:
    """What is wrong with a literal reference, or None.

    Args:
        text: the element `reference`.
        targets: the types it may point to; empty for any.
        resource_types: all of R4's resource types.
    """
    match = _LITERAL.fullmatch(text)
    if match is None:
        if _CONTAINED.fullmatch(text):
            return None
        if not _OTHER_URL.fullmatch(text):
            return "must be Type/id, an absolute URL, or # and the id of a contained resource"
        match = _RESTFUL_URL.fullmatch(text)
        if match is None or match[1] not in resource_types:
            return None
    elif match[1] not in resource_types:
        return f"names {match[1][:40]}, which is not a resource type of R4"
    if targets and match[1] not in targets:
        return f"points to a {match[1]}; it may point to {', '.join(sorted(targets))}"
    return None
