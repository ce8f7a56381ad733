"""Client assertions: the signed JWT by which a backend service proves who it is.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html#authenticating-to-the-token-endpoint
(RFC 7515, RFC 7519, RFC 7523)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError

from fhir_server.auth.keys import KEY_TYPE_OF, Jwk, KeySetError, import_key

MAX_LENGTH: Final = 16_000
MAX_LIFETIME_SECONDS: Final = 300
# Clocks differ: how far a client's may be ahead of ours.
LEEWAY_SECONDS: Final = 5
MAX_NAME_LENGTH: Final = 255


class _Registry(jws.JWSRegistry):
    """Room for a `jku` of the length that URLs have, and for the largest accepted RSA key."""

    max_header_length = 8_192
    max_signature_length = 2_048


_REGISTRY: Final = _Registry(algorithms=list(KEY_TYPE_OF), strict_check_header=False)
# Everything that names, carries or points to a key except `jku`, which is compared, never
# followed; and the extensions, none of which is understood here.
_REFUSED_HEADERS: Final = frozenset({"jwk", "x5u", "x5c", "crit", "b64"})


class AssertionRefusedError(Exception):
    """The assertion is not acceptable; the message may be told to the client."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A client assertion whose shape is right; nothing of it is believed before `verify`.

    Attributes:
        algorithm: `RS384` or `ES384`.
        key_id: which of the client's keys it claims to be signed with.
        key_set_url: the header `jku`, or None.
        client_id: the issuer, which is also the subject.
        jti: unique per client.
        expires: the end of its life, aware.
    """

    algorithm: str
    key_id: str
    key_set_url: str | None
    client_id: str
    jti: str
    expires: datetime
    _signed: jws.CompactSignature = field(repr=False)

    def verify(self, key: Jwk) -> bool:
        """Whether the signature was made with this key."""
        try:
            return jws.validate_compact(self._signed, import_key(key), registry=_REGISTRY)
        except (JoseError, KeySetError, ValueError, TypeError):
            return False


def read_assertion(text: str, *, audience: str, now: datetime) -> Assertion:
    """Read an assertion and check everything about it that needs no key.

    Args:
        text: the JWT in compact form.
        audience: the URL of the token endpoint.
        now: aware.

    Raises:
        AssertionRefusedError: it is not a JWT, or a header or claim is not as SMART demands.
    """
    if len(text) > MAX_LENGTH or not text.isascii():
        raise AssertionRefusedError("client_assertion is not a JWT, or too long")
    try:
        signed = jws.extract_compact(text.encode("ascii"), registry=_REGISTRY)
        header = signed.headers()
        claims = orjson.loads(signed.payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise AssertionRefusedError("client_assertion is not a signed JWT") from error
    if not isinstance(claims, dict):
        raise AssertionRefusedError("client_assertion is not a signed JWT")
    _check_header(header)
    client_id = _name(claims, "iss")
    if claims.get("sub") != client_id:
        raise AssertionRefusedError("the claims iss and sub must both be the client_id")
    if claims.get("aud") not in (audience, [audience]):
        raise AssertionRefusedError(f"the claim aud must be {audience}")
    return Assertion(
        algorithm=header["alg"],
        key_id=header["kid"],
        key_set_url=header.get("jku"),
        client_id=client_id,
        jti=_name(claims, "jti"),
        expires=_check_times(claims, now),
        _signed=signed,
    )


def _check_header(header: Mapping[str, Any]) -> None:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in KEY_TYPE_OF:
        raise AssertionRefusedError("the header alg must be RS384 or ES384")
    kind = header.get("typ")
    if not isinstance(kind, str) or kind.upper() != "JWT":
        raise AssertionRefusedError("the header typ must be JWT")
    _name(header, "kid", what="header")
    if not isinstance(header.get("jku", ""), str):
        raise AssertionRefusedError("the header jku must be a URL")
    if refused := sorted(_REFUSED_HEADERS & header.keys()):
        raise AssertionRefusedError(f"the header {refused[0]} is not accepted")


def _check_times(claims: Mapping[str, Any], now: datetime) -> datetime:
    present = now.timestamp()
    expires = _instant(claims, "exp")
    if expires is None:
        raise AssertionRefusedError("the claim exp is missing")
    if expires <= present:
        raise AssertionRefusedError("the assertion has expired")
    if expires > present + MAX_LIFETIME_SECONDS + LEEWAY_SECONDS:
        raise AssertionRefusedError("the claim exp must be at most five minutes ahead")
    for name in ("nbf", "iat"):
        instant = _instant(claims, name)
        if instant is not None and instant > present + LEEWAY_SECONDS:
            raise AssertionRefusedError(f"the claim {name} lies in the future")
    return datetime.fromtimestamp(expires, UTC)


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AssertionRefusedError(f"the claim {name} must be a number of seconds")
    return float(value)


def _name(members: Mapping[str, Any], name: str, *, what: str = "claim") -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_LENGTH:
        raise AssertionRefusedError(f"the {what} {name} is missing or is not a short string")
    return value
