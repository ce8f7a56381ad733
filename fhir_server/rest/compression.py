"""gzip for clients that ask for it (RFC 9110 §12.5.3), where it is worth the work."""

import asyncio
import gzip
import re
from functools import lru_cache
from typing import Final

from fhir_server.rest.response import Headers, Response

THRESHOLD: Final = 1_024
"""Bytes from which on a body is compressed; below, it fits one packet anyway."""

_LEVEL: Final = 1
_ELSEWHERE: Final = 131_072
"""Bytes from which on another thread does it, so that nobody waits for it."""

_NEVER = re.compile(r"0(?:\.0*)?")
_VARY = (b"vary", b"Accept-Encoding")


async def compress(response: Response, accepted: bytes) -> Response:
    """The response in the coding that the client accepts, if that is gzip.

    Args:
        response: with a body above the threshold.
        accepted: the value of Accept-Encoding.
    """
    headers = response.headers
    if not _accepts_gzip(accepted) or any(name == b"content-encoding" for name, _ in headers):
        return response._replace(headers=[*headers, _VARY])
    body = response.body
    if len(body) < _ELSEWHERE:
        packed = gzip.compress(body, _LEVEL, mtime=0)
    else:
        packed = await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
    told: Headers = [one for one in headers if one[0] != b"content-length"]
    told += [
        (b"content-encoding", b"gzip"),
        (b"content-length", b"%d" % len(packed)),
        _VARY,
    ]
    return Response(response.status, told, packed)


@lru_cache(maxsize=256)
def _accepts_gzip(accepted: bytes) -> bool:
    wanted: dict[str, bool] = {}
    for part in accepted.decode("latin-1").lower().split(","):
        coding, *parameters = (one.strip() for one in part.split(";"))
        quality = next((p[2:].strip() for p in parameters if p.startswith("q=")), "1")
        wanted[coding] = _NEVER.fullmatch(quality) is None
    return wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", False)))
