"""Logical ids: their grammar, and a source of new ones (https://hl7.org/fhir/R4/datatypes.html#id)."""

import re
import secrets
import time
from typing import Protocol

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def is_id(text: str) -> bool:
    """Whether the text is a legal FHIR id."""
    return ID.fullmatch(text) is not None


class IdSource(Protocol):
    """Gives a new logical id, never the same twice."""

    def __call__(self) -> str:
        """The next id."""
        ...


def time_ordered_id() -> str:
    """A UUID version 7 (RFC 9562): ids made later sort later, which keeps B-trees compact."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    number = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    number |= 0x7 << 76
    number |= (random >> 62) << 64
    number |= 0b10 << 62
    number |= random & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
