"""Clients' public keys: which ones are accepted, and which one a signature claims to be by.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html#registering-a-client-communicating-public-keys
"""

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

MAX_KEYS: Final = 50
MIN_RSA_BITS: Final = 2_048
# A larger modulus would let a client make every verification of its assertions expensive.
MAX_RSA_BITS: Final = 8_192
MAX_EXPONENT_BYTES: Final = 4

KEY_TYPE_OF: Final[Mapping[str, str]] = {"RS384": "RSA", "ES384": "EC"}
"""The signature algorithms that SMART requires, and the `kty` of their keys."""

_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_KEY_ID: Final = re.compile(r"[\x20-\x7e]{1,255}")

Jwk = Mapping[str, Any]
PublicKey = RSAKey | ECKey


class KeySetError(ValueError):
    """A JWK Set, or a key of it, that cannot be accepted; the message says why."""


def parse_key_set(text: str | bytes) -> tuple[Jwk, ...]:
    """The keys of a JWK Set (RFC 7517) that can verify assertions.

    Keys for other purposes or of other types are left out, as RFC 7517 section 5 advises.

    Raises:
        KeySetError: it is no JWK Set, it holds a private or secret key, or too many keys.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise KeySetError(f"the key set is not JSON: {error}") from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise KeySetError('the key set must be a JSON object with the array "keys"')
    if len(keys) > MAX_KEYS:
        raise KeySetError(f"the key set holds more than {MAX_KEYS} keys")
    if any(isinstance(key, dict) and _PRIVATE & key.keys() for key in keys):
        raise KeySetError("the key set holds a private key; register the public keys only")
    return tuple(key for key in keys if isinstance(key, dict) and _is_usable(key))


def check_key_set(text: str | bytes) -> None:
    """Refuse a key set that no assertion could ever be verified with.

    Raises:
        KeySetError: `parse_key_set` refuses it, no key is usable, or two share `kid` and `kty`.
    """
    keys = parse_key_set(text)
    if not keys:
        raise KeySetError("the key set holds no RSA (RS384) or EC P-384 (ES384) key with a kid")
    names = [(key["kid"], key["kty"]) for key in keys]
    twins = sorted({name[0] for name in names if names.count(name) > 1})
    if twins:
        raise KeySetError(f"the key set holds more than one key with kid {', '.join(twins)}")
    for key in keys:
        import_key(key)


def select(keys: Sequence[Jwk], key_id: str, algorithm: str) -> list[Jwk]:
    """The keys with this `kid` and the `kty` of the algorithm; more than one is no key at all."""
    wanted = KEY_TYPE_OF[algorithm]
    return [key for key in keys if key["kid"] == key_id and key["kty"] == wanted]


def import_key(jwk: Jwk) -> PublicKey:
    """A key as the signature library wants it.

    Raises:
        KeySetError: the key's numbers are not those of a public key of its type.
    """
    kind = RSAKey if jwk["kty"] == "RSA" else ECKey
    names = ("kty", "n", "e") if kind is RSAKey else ("kty", "crv", "x", "y")
    try:
        key = kind.import_key({name: jwk[name] for name in names})
        key.public_key  # noqa: B018 - the numbers are only checked here
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise KeySetError(f"the key {jwk['kid']} is not a valid {jwk['kty']} key") from error
    return key


def _is_usable(key: Jwk) -> bool:
    kid = key.get("kid")
    if not isinstance(kid, str) or _KEY_ID.fullmatch(kid) is None:
        return False
    operations = key.get("key_ops", ["verify"])
    if key.get("use", "sig") != "sig" or not isinstance(operations, list):
        return False
    if "verify" not in operations:
        return False
    if key.get("kty") == "RSA":
        return key.get("alg", "RS384") == "RS384" and _is_sound_rsa(key)
    is_p384 = key.get("kty") == "EC" and key.get("crv") == "P-384"
    return is_p384 and key.get("alg", "ES384") == "ES384"


def _is_sound_rsa(key: Jwk) -> bool:
    modulus, exponent = _bytes(key.get("n")), _bytes(key.get("e"))
    if modulus is None or exponent is None or len(exponent) > MAX_EXPONENT_BYTES:
        return False
    bits = int.from_bytes(modulus, "big").bit_length()
    return MIN_RSA_BITS <= bits <= MAX_RSA_BITS and int.from_bytes(exponent, "big") >= 3


def _bytes(text: object) -> bytes | None:
    if not isinstance(text, str) or len(text) > MAX_RSA_BITS:
        return None
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
