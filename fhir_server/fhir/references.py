"""Literal references between resources (https://hl7.org/fhir/R4/references.html#literal)."""

from functools import lru_cache
from typing import NamedTuple

from fhir_server.fhir.ids import is_id


class Reference(NamedTuple):
    """A reference to a resource of a RESTful server.

    Attributes:
        type: the resource type.
        id: the logical id.
        version: the version id of a version-specific reference.
        absolute_base: the FHIR base of another server; None for a resource of this one.
    """

    type: str
    id: str
    version: str | None = None
    absolute_base: str | None = None

    @property
    def relative(self) -> str:
        """`Type/id`, without base and version."""
        return f"{self.type}/{self.id}"

    @property
    def target(self) -> str:
        """What the reference points to, without version: relative for a resource of ours."""
        if self.absolute_base is None:
            return self.relative
        return f"{self.absolute_base}/{self.relative}"


@lru_cache(maxsize=16_384)
def parse_reference(text: str, base_url: str) -> Reference | None:
    """A literal reference in its parts.

    An absolute URL below our own base is the same as the relative reference.

    Args:
        text: `Type/id`, `Type/id/_history/version` or an absolute URL that ends so.
        base_url: this server's FHIR base, without a trailing slash.

    Returns:
        None for anything else: a contained `#id`, `urn:uuid:…`, another URL, a conditional
        reference. Callers keep such text as it is.
    """
    base: str | None = None
    path = text
    if base_url and text.startswith(base_url) and text[len(base_url) : len(base_url) + 1] == "/":
        path = text[len(base_url) + 1 :]
    elif "://" in text:
        base, path = _split_absolute(text)
    parts = path.split("/")
    if len(parts) == 4 and parts[2] == "_history":
        version: str | None = parts[3]
    elif len(parts) == 2:
        version = None
    else:
        return None
    if not (is_type_name(parts[0]) and is_id(parts[1]) and (version is None or is_id(version))):
        return None
    return Reference(parts[0], parts[1], version, base)


def is_type_name(text: str) -> bool:
    """Whether the text is written like a resource type."""
    return text.isascii() and text.isalpha() and text[0].isupper()


def _split_absolute(text: str) -> tuple[str, str]:
    kept = 4 if "/_history/" in text else 2
    parts = text.rsplit("/", kept)
    if len(parts) <= kept or not parts[0].partition("://")[2]:
        return "", ""
    return parts[0], "/".join(parts[1:])
