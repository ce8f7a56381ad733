"""Locks: what keeps two conditional creates from both finding nothing.

Who searches in order to create reads the version of each lock first, and writes its successor
together with what is created. Two who found nothing at the same moment write the same document,
so one of them is overtaken, decides again and finds what the other has created. A lock says
nothing once its transaction is over; MongoDB removes it an hour later.
"""

import secrets
from datetime import datetime
from typing import Any, NamedTuple

COLLECTION = "locks"
INDEX = {"name": "outdated", "key": {"t": 1}, "expireAfterSeconds": 3_600}
"""Longer than any decision waits, so that nobody who saw a lock misses its removal."""

_VERSION_BITS = 62


class LockWrite(NamedTuple):
    """A lock that a plan takes.

    Attributes:
        name: the lock.
        expected_version: the version that the decision saw; 0 when nothing was stored.
    """

    name: str
    expected_version: int


def to_document(write: LockWrite, at: datetime) -> dict[str, Any]:
    """The document of a lock that is taken now."""
    return {"_id": write.name, "v": secrets.randbits(_VERSION_BITS) + 1, "t": at}
