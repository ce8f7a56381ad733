"""No assertion, form or header makes reading it fail otherwise than by refusal."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.auth.assertion import AssertionRefusedError, read_assertion
from fhir_server.auth.keys import KeySetError, check_key_set, parse_key_set
from fhir_server.authorization_server.application import parse_form
from fhir_server.authorization_server.errors import OAuthError
from fhir_server.authorization_server.key_sets import MAX_AGE_SECONDS, freshness

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=5,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": JSON | st.sampled_from(["RS384", "ES384", "none"]),
        "kid": JSON | st.just("a"),
        "typ": JSON | st.just("JWT"),
        "jku": JSON,
        "crit": JSON,
        "b64": JSON,
        "jwk": JSON,
        "x5c": JSON,
    },
)
CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "iss": JSON | st.just("c"),
        "sub": JSON | st.just("c"),
        "aud": JSON | st.just("u"),
        "exp": JSON | st.just(NOW.timestamp() + 100),
        "jti": JSON | st.just("j"),
        "nbf": JSON,
        "iat": JSON,
    },
)


def _part(value: object) -> str:
    return urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


@given(HEADERS | JSON, CLAIMS | JSON, st.binary(max_size=600))
def test_any_jwt_is_read_or_refused(header: object, claims: object, signature: bytes) -> None:
    """A JWT of any content is refused, or has exactly the shape that SMART demands."""
    text = f"{_part(header)}.{_part(claims)}.{urlsafe_b64encode(signature).decode().rstrip('=')}"
    try:
        assertion = read_assertion(text, audience="u", now=NOW)
    except AssertionRefusedError:
        return
    assert isinstance(header, dict)
    assert assertion.algorithm in {"RS384", "ES384"}
    assert not assertion.verify({"kid": "a", "kty": "EC", "crv": "P-384", "x": "", "y": ""})


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_any_text_is_refused_as_assertion(text: str) -> None:
    """Text that is no JWT is refused."""
    try:
        read_assertion(text, audience="u", now=NOW)
    except AssertionRefusedError:
        return
    raise AssertionError(text)


def test_deep_nesting_is_refused() -> None:
    """Nesting as deep as the length allows is refused like anything else."""
    for deep in (b"[" * 5_000, b'{"a":' * 1_500):
        part = urlsafe_b64encode(deep).rstrip(b"=").decode()
        for text in (f"{part}.e30.AA", f"{_part({'alg': 'RS384', 'kid': 'a'})}.{part}.AA"):
            try:
                read_assertion(text, audience="u", now=NOW)
            except AssertionRefusedError:
                continue
            raise AssertionError(text)


@given(st.binary(max_size=200) | st.text("a=&%+;c3\x00é").map(str.encode))
def test_any_body_is_a_form_or_refused(body: bytes) -> None:
    """Bytes are read as form fields, or refused as invalid_request."""
    form, refusal = {}, None
    try:
        form = parse_form(body)
    except OAuthError as error:
        refusal = error
    assert all(form.values())
    assert refusal is None or (refusal.code, refusal.status) == ("invalid_request", 400)


@given(st.binary(max_size=200) | st.builds(lambda keys: orjson.dumps({"keys": keys}), JSON))
def test_any_key_set_is_read_or_refused(body: bytes) -> None:
    """Bytes are read as a key set, or refused."""
    try:
        parse_key_set(body)
        check_key_set(body)
    except KeySetError:
        return
    raise AssertionError(body)


KEYS = st.fixed_dictionaries(
    {"kid": JSON | st.just("a"), "kty": st.sampled_from(["RSA", "EC"]) | JSON},
    optional=dict.fromkeys(("n", "e", "x", "y", "crv", "use", "key_ops", "alg"), JSON),
)


@given(st.lists(KEYS, max_size=3))
def test_any_key_is_read_or_refused(keys: list[object]) -> None:
    """Keys whose members have any type are left out, or refused."""
    body = orjson.dumps({"keys": keys})
    try:
        parse_key_set(body)
        check_key_set(body)
    except KeySetError:
        return


@given(st.text() | st.text('max-ge=0123456789no,store ;"'), st.text() | st.text("0123456789"))
def test_any_cache_header_gives_a_freshness(cache_control: str, age: str) -> None:
    """Whatever a publisher answers, its keys are kept for at most ten minutes."""
    assert 0 <= freshness(cache_control, age) <= MAX_AGE_SECONDS
