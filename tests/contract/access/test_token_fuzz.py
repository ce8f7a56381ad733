"""Whatever is sent to the token endpoint, it is answered in OAuth's words, never by a 5xx."""

import asyncio
import socket
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import OctKey
from pymongo import AsyncMongoClient

from fhir_server.authorization_server.application import create
from fhir_server.definitions.registry import Registry
from fhir_server.settings import Settings
from tests.contract.access.conftest import ASSERTION_TYPE, Backend, Running

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
SCOPES = TEXT | st.lists(
    st.sampled_from(
        ["system/*.cruds", "system/Slot.rs?status=free", "system/Slot.rs?start=ge2026-13", "openid"]
    )
    | st.from_regex(r"system/(Slot|\*)\.[cruds]{1,5}(\?[a-z_=&%0-9]{1,20})?", fullmatch=True)
).map(" ".join)
VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT | st.lists(TEXT)
CHANGES = st.dictionaries(
    st.sampled_from(["iss", "sub", "aud", "exp", "jti", "nbf", "iat", "x"]), VALUES, max_size=3
)
HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "jku", "crit", "b64", "x5c", "jwk", "x"]),
    VALUES,
    max_size=3,
)
FIELDS = st.dictionaries(
    st.sampled_from(["grant_type", "client_assertion_type", "client_assertion", "client_id"])
    | TEXT,
    TEXT,
    max_size=3,
)

PIECES = [
    "grant_type=client_credentials",
    f"client_assertion_type={ASSERTION_TYPE}",
    "client_assertion=a.b.c",
    "scope",
    *["&", "=", "%", "%ff", "%00", ";", "+", "\x00"],
]


async def _send(server: Running, body: bytes | str) -> tuple[int, Any]:
    async with server.http.post(server.token_url, data=body, headers=FORM) as response:
        return response.status, orjson.loads(await response.read())


def _is_answer(status: int, body: Any) -> bool:
    if status == 200:
        return set(body) == {"access_token", "token_type", "expires_in", "scope"}
    return status == 400 and set(body) == {"error", "error_description"}


@settings(max_examples=100)
@given(CHANGES, HEADERS, SCOPES, FIELDS)
async def test_any_signed_request(
    server: Running,
    known: Backend,
    claims: dict[str, Any],
    header: dict[str, Any],
    scope: str,
    fields: dict[str, str],
) -> None:
    """Requests of a known client, changed in every part and signed with its key."""
    head = {"alg": "ES384", "kid": "ec", "typ": "JWT", **header}
    algorithm = head.pop("alg")
    assertion = known.assertion(alg="ES384", kid="ec", header=head, **claims)
    if algorithm != "ES384":
        part = urlsafe_b64encode(orjson.dumps({**head, "alg": str(algorithm)})).rstrip(b"=")
        assertion = f"{part.decode()}.{assertion.partition('.')[2]}"
    form = {**known.form(assertion, scope=scope), **fields}
    status, body = await _send(server, urlencode(form))
    assert _is_answer(status, body), (status, body)


@settings(max_examples=60)
@given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES)).map("".join))
async def test_any_body(server: Running, body: bytes | str) -> None:
    """Bodies of any bytes."""
    status, answer = await _send(server, body)
    assert _is_answer(status, answer), (status, answer)


async def test_lost_database(registry: Registry, settings: Settings) -> None:
    """When the database cannot be asked, the client is told to try again."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    here = settings.model_copy(update={"base_url": f"{address}/fhir"})
    lost: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50&connectTimeoutMS=50"
    )
    application = create(here, registry, lost["control"])
    running = uvicorn.Server(uvicorn.Config(application, log_config=None, lifespan="off"))
    task = asyncio.create_task(running.serve(sockets=[listener]))
    stranger = Backend("stranger", f"{address}/auth/token", {})
    assertion = stranger.assertion(
        alg="HS384", key=OctKey.import_key("s" * 48), header={"alg": "RS384"}
    )
    async with aiohttp.ClientSession() as http:
        form = stranger.form(assertion)
        async with http.post(f"{address}/auth/token", data=form) as response:
            body = await response.json()
            assert (response.status, body["error"]) == (503, "temporarily_unavailable")
            assert int(response.headers["Retry-After"]) > 0
    running.should_exit = True
    await task
    listener.close()
    await lost.close()
