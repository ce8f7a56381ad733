"""Clients' key sets: what is accepted, and which key a signature may be checked with."""

from typing import Any

import orjson
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from fhir_server.auth.keys import KeySetError, check_key_set, parse_key_set, select

RSA = RSAKey.generate_key(2048, {"kid": "a"}).as_dict(private=False)
EC = ECKey.generate_key("P-384", {"kid": "a"}).as_dict(private=False)
# A modulus of 1024 bits; generating such a key is refused by the library, rightly.
SMALL = {**RSA, "kid": "s", "n": RSA["n"][:171]}


def _set(*keys: Any) -> bytes:
    return orjson.dumps({"keys": keys})


def test_key_types_share_an_id() -> None:
    """A kid is unique together with its kty."""
    keys = parse_key_set(_set(RSA, EC))
    check_key_set(_set(RSA, EC))
    assert select(keys, "a", "RS384") == [RSA]
    assert select(keys, "a", "ES384") == [EC]
    assert select(keys, "b", "ES384") == []


@pytest.mark.parametrize(
    "unusable",
    [
        {**RSA, "kid": None},
        {**RSA, "kid": ""},
        {**RSA, "kid": "k" * 256},
        {**RSA, "use": "enc"},
        {**RSA, "key_ops": ["encrypt"]},
        {**RSA, "key_ops": 5},
        {**RSA, "key_ops": "verify"},
        {**RSA, "alg": "RS256"},
        {**RSA, "n": 5},
        {**RSA, "n": "AQAB"},
        {**RSA, "n": "A" * 20_000},
        {**RSA, "e": "AQ"},
        {**RSA, "e": "A" * 40},
        {**RSA, "kty": "oct"},
        {**EC, "crv": "P-256"},
        {**EC, "alg": "ES256"},
        {k: v for k, v in RSA.items() if k != "n"},
        SMALL,
        "text",
        None,
        [],
    ],
)
def test_unusable_keys_are_left_out(unusable: Any) -> None:
    """Keys of other kinds, for other purposes or too weak do not count."""
    assert parse_key_set(_set(unusable, EC)) == (EC,)
    with pytest.raises(KeySetError, match="no RSA"):
        check_key_set(_set(unusable))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "array"),
        (b"{}", "array"),
        (b'{"keys": 5}', "array"),
        (_set(*[RSA] * 51), "more than 50"),
        (_set(RSA, RSA), "more than one key"),
        (_set(RSAKey.generate_key(2048, {"kid": "p"}).as_dict(private=True)), "private"),
        (_set(ECKey.generate_key("P-384", {"kid": "p"}).as_dict(private=True)), "private"),
        # Named, because an id made of a random key differs between the processes of a run.
        pytest.param(
            _set({**OctKey.generate_key(256).as_dict(private=True), "kid": "p"}),
            "private",
            id="symmetric",
        ),
        (_set({**EC, "x": "AAAA"}), "not a valid EC key"),
        (_set({name: value for name, value in EC.items() if name != "y"}), "not a valid EC key"),
    ],
)
def test_check_key_set_refuses(text: bytes, message: str) -> None:
    """What could never verify an assertion, or should not be told, is refused with a reason."""
    with pytest.raises(KeySetError, match=message):
        check_key_set(text)
