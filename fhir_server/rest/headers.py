"""The headers of a request, of which some may come in parts and some only once."""

from collections.abc import Iterable, Mapping
from typing import Final

from fhir_server.fhir.errors import Invalid

Header = tuple[bytes, bytes]

ONCE: Final[Mapping[bytes, str]] = {
    name.lower().encode(): name
    for name in (
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "If-Match",
        "If-None-Exist",
        "If-None-Match",
    )
}
"""What decides about a write or a login: nobody guesses which of two was meant."""


def joined(headers: Iterable[Header]) -> dict[bytes, bytes]:
    """The headers by name, the parts of a list in one (RFC 9110, section 5.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = b"%b, %b" % (found[name], value) if name in found else value
    return found


def check_once(headers: Iterable[Header]) -> None:
    """Refuse headers that may come only once and come again.

    Raises:
        Invalid: it names them.
    """
    names = [name for name, _ in headers if name in ONCE]
    repeated = sorted({ONCE[name] for name in names if names.count(name) > 1})
    if repeated:
        raise Invalid(f"Send only once: {', '.join(repeated)}")
