"""POST /auth/token: everything that is refused, in OAuth's words, with nothing written."""

from typing import Any

import aiohttp
import orjson
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.contract.access.conftest import Answer, Backend, Running

OTHER_RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
ASSERTIONS: dict[str, dict[str, Any]] = {
    "wrong iss": {"iss": "ehr-2"},
    "no iss": {"iss": None},
    "iss no string": {"iss": 1},
    "wrong sub": {"sub": "ehr-2"},
    "no sub": {"sub": None},
    "wrong aud": {"aud": "https://example.org/auth/token"},
    "several aud": {"aud": ["AUD", "https://example.org/auth/token"]},
    "no aud": {"aud": None},
    "aud no string": {"aud": {"a": "b"}},
    "no exp": {"exp": None},
    "exp over five minutes": {"exp": "+330"},
    "exp tomorrow": {"exp": "+86400"},
    "exp infinite": {"exp": 1e308},
    "exp huge": {"exp": 10**18},
    "exp negative": {"exp": -1},
    "exp past": {"exp": "-1"},
    "exp text": {"exp": "soon"},
    "exp true": {"exp": True},
    "nbf ahead": {"nbf": "+60"},
    "iat ahead": {"iat": "+60"},
    "iat text": {"iat": "now"},
    "no jti": {"jti": None},
    "empty jti": {"jti": ""},
    "long jti": {"jti": "j" * 256},
    "jti no string": {"jti": 7},
    "unknown kid": {"kid": "rsa", "header": {"kid": "other"}},
    "no kid": {"header": {"kid": None}},
    "kid no string": {"header": {"kid": 3}},
    "kid of the other type": {"header": {"kid": "ec"}},
    "no typ": {"header": {"typ": None}},
    "wrong typ": {"header": {"typ": "at+jwt"}},
    "foreign jku": {"header": {"jku": "https://example.org/keys"}},
    "jku no string": {"header": {"jku": 5}},
    "long jku": {"header": {"jku": "https://example.org/" + "k" * 7_000}},
    "own jwk": {"key": OTHER_RSA, "header": {"jwk": OTHER_RSA.as_dict(private=False)}},
    "x5u": {"header": {"x5u": "https://example.org/cert"}},
    "signed by another key": {"key": OTHER_RSA},
    "RS256": {"alg": "RS256"},
    "ES256": {"alg": "ES256", "key": ECKey.generate_key("P-256")},
    "HS256": {"alg": "HS256", "key": OctKey.import_key("s" * 48)},
    "HS384": {"alg": "HS384", "key": OctKey.import_key("s" * 48)},
}

FIELDS: list[tuple[dict[str, str | None], str]] = [
    ({"grant_type": None}, "invalid_request"),
    ({"grant_type": ""}, "invalid_request"),
    ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
    ({"grant_type": "not_a_grant_type"}, "unsupported_grant_type"),
    ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
    ({"client_assertion_type": None}, "invalid_client"),
    ({"client_assertion_type": "not_an_assertion_type"}, "invalid_client"),
    ({"client_assertion": None}, "invalid_client"),
    ({"client_id": "ehr-2"}, "invalid_client"),
    ({"scope": None}, "invalid_scope"),
    ({"scope": "  "}, "invalid_scope"),
    ({"scope": "patient/*.rs"}, "invalid_scope"),
    ({"scope": "user/*.rs openid fhirUser launch offline_access"}, "invalid_scope"),
    ({"scope": "system/Observation.rs"}, "invalid_scope"),
    ({"scope": "system/Slot.rs?nonsense=1"}, "invalid_scope"),
    ({"scope": "system/Slot.dc"}, "invalid_scope"),
    ({"scope": "system/Slot.r " * 2_500}, "invalid_scope"),
]


def _resolved(server: Running, backend: Backend, changes: dict[str, Any]) -> dict[str, Any]:
    """Relative times and our own address, filled in."""
    now = int(server.clock().timestamp())
    done = dict(changes)
    for name in ("exp", "nbf", "iat"):
        if isinstance(done.get(name), str) and done[name][0] in "+-":
            done[name] = now + int(done[name])
    if isinstance(done.get("aud"), list):
        done["aud"] = [backend.token_url if one == "AUD" else one for one in done["aud"]]
    return done


def _is_refused(answer: Answer, error: str, status: int = 400) -> None:
    assert (answer.status, answer.body.get("error")) == (status, error)
    assert set(answer.body) == {"error", "error_description"}
    assert answer.body["error_description"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"] == "application/json"


async def test_assertion_is_refused(server: Running, known: Backend) -> None:
    """An assertion that breaks one rule of SMART is invalid_client, whichever rule it is."""
    answers = {}
    for case, changes in ASSERTIONS.items():
        assertion = known.assertion(**_resolved(server, known, changes))
        answers[case] = await server.post(known.form(assertion))
    accepted = [case for case, answer in answers.items() if answer.status != 400]
    assert accepted == []
    for answer in answers.values():
        _is_refused(answer, "invalid_client")
    assert await server.count_tokens() == 0
    assert await server.control["client_assertions"].count_documents({}) == 0


async def test_unsigned_assertion_is_refused(server: Running, known: Backend) -> None:
    """Algorithm none, with or without the old signature, is invalid_client."""
    head, body, signature = known.assertion().split(".")
    none = known.assertion(alg="none", kid="rsa", key=OctKey.import_key("s" * 48)).split(".")[0]
    for forged in (f"{none}.{body}.", f"{none}.{body}.{signature}", f"{head}.{body}."):
        _is_refused(await server.post(known.form(forged)), "invalid_client")
    assert await server.count_tokens() == 0


async def test_altered_claims_are_refused(server: Running, known: Backend) -> None:
    """The signature of one assertion does not fit the claims of another."""
    first, second = known.assertion().split("."), known.assertion().split(".")
    mixed = f"{first[0]}.{first[1]}.{second[2]}"
    _is_refused(await server.post(known.form(mixed)), "invalid_client")


async def test_other_text_is_refused(server: Running, known: Backend) -> None:
    """What is no JWT is invalid_client."""
    for text in ("x", "..", "a.b.c", "e30.e30.e30", "W10.W10.W10", "é.é.é", "x" * 20_000):
        _is_refused(await server.post(known.form(text)), "invalid_client")


async def test_replay_is_refused(server: Running, known: Backend) -> None:
    """An assertion is good for one token, even with other scopes."""
    form = known.form()
    assert (await server.post(form)).status == 200
    _is_refused(await server.post({**form, "scope": "system/Slot.rs"}), "invalid_client")
    _is_refused(await server.post(known.form(known.assertion(jti="a"), scope="x")), "invalid_scope")
    _is_refused(await server.post(known.form(known.assertion(jti="a"))), "invalid_client")
    assert await server.count_tokens() == 1


async def test_twin_keys_are_refused(server: Running, backend: Backend) -> None:
    """Two registered keys with one kid and kty are as bad as none."""
    client = await server.register(backend)
    assert client.jwks is not None
    keys = orjson.loads(client.jwks)["keys"]
    twins = {"keys": [*keys, {**OTHER_RSA.as_dict(private=False), "kid": "rsa"}]}
    await server.control["clients"].update_one({}, {"$set": {"jwks": orjson.dumps(twins).decode()}})
    _is_refused(await server.post(backend.form()), "invalid_client")
    assert (await server.post(backend.form(backend.assertion(alg="ES384")))).status == 200


async def test_answers_do_not_tell_who_is_registered(server: Running, known: Backend) -> None:
    """Unknown clients, unknown keys and bad signatures are told apart by nothing."""
    stranger = Backend("stranger", known.token_url, known.keys)
    bodies = [
        (await server.post(known.form(assertion))).body
        for assertion in (
            stranger.assertion(),
            known.assertion(header={"kid": "other"}),
            known.assertion(key=OTHER_RSA),
            known.assertion(header={"jku": "https://example.org/keys"}),
        )
    ]
    assert all(body == bodies[0] for body in bodies)


async def test_field_is_refused(server: Running, known: Backend) -> None:
    """A wrong or missing form field has its own error code."""
    for changes, error in FIELDS:
        answer = await server.post(known.form(**changes))
        assert (changes, answer.body["error"]) == (changes, error)
        _is_refused(answer, error)
    assert await server.count_tokens() == 0


async def test_repeated_field_is_refused(server: Running, known: Backend) -> None:
    """A field that occurs twice makes the request ambiguous."""
    pairs = [*known.form().items(), ("scope", "system/Slot.r")]
    _is_refused(await server.post(aiohttp.FormData(pairs)), "invalid_request")
    assert await server.count_tokens() == 0


async def test_other_content_types_are_refused(server: Running, known: Backend) -> None:
    """Only a form is read: neither JSON nor multipart."""
    async with server.http.post(server.token_url, json=known.form()) as response:
        assert (response.status, (await response.json())["error"]) == (400, "invalid_request")
    multipart = aiohttp.MultipartWriter("form-data")
    multipart.append("client_credentials").set_content_disposition("form-data", name="grant_type")
    _is_refused(await server.post(multipart), "invalid_request")
    assert await server.count_tokens() == 0


async def test_large_body_is_refused(server: Running, known: Backend) -> None:
    """A body beyond the limit is refused while it arrives."""

    async def endless() -> Any:
        for _ in range(40):
            yield b"a" * 10_000

    form = "application/x-www-form-urlencoded"
    answer = await server.post(endless(), headers={"Content-Type": form})
    _is_refused(answer, "invalid_request", 413)


async def test_other_methods_and_paths(server: Running) -> None:
    """Only POST is offered, only at the token endpoint; the rest is refused in JSON too."""
    async with server.http.get(server.token_url) as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert (await response.json())["error"] == "invalid_request"
    for path in ("revoke", "authorize", "introspect", "register", "docs", "openapi.json"):
        async with server.http.get(f"{server.settings.root_url}/auth/{path}") as response:
            assert response.status == 404
            assert (await response.json())["error"] == "invalid_request"
