"""POST /auth/token: tokens that are issued, and what they are good for."""

import asyncio
import base64
import re
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.auth.restrictions import Restrictions
from fhir_server.authorization_server.bearer import Authenticator
from fhir_server.authorization_server.errors import OAuthError
from fhir_server.authorization_server.key_sets import KeySets
from fhir_server.authorization_server.operator_token import issue_operator_token
from fhir_server.authorization_server.token import TokenEndpoint
from fhir_server.fhir.errors import Login
from fhir_server.store.clients import Clients
from fhir_server.store.tokens import Grant, Tokens
from tests.contract.access.conftest import Backend, MakeBackend, Running

# Registered, asked for, granted.
GRANTS = [
    ("system/*.cruds", "system/Slot.read system/Slot.rs", "system/Slot.read system/Slot.rs"),
    ("system/Slot.rs", "system/*.cruds", "system/Slot.rs"),
    ("system/Slot.rs system/Task.r", "system/*.s system/Task.c", "system/Slot.s"),
    ("system/*.cruds", "patient/Slot.rs user/Slot.rs system/Slot.r openid", "system/Slot.r"),
    ("system/*.cruds", "system/Observation.rs system/Slot.sr system/Slot.s", "system/Slot.s"),
    (
        "system/Appointment.rs?status=booked",
        "system/Appointment.rs",
        "system/Appointment.rs?status=booked",
    ),
    (
        "system/*.cruds",
        (
            "system/Slot.rs?nonsense=1 system/Slot.rs?_count=1 system/Slot.rs?start=ap2026 "
            "system/Slot.rs?status=free"
        ),
        "system/Slot.rs?status=free",
    ),
]


@pytest.mark.parametrize("alg", ["RS384", "ES384"])
async def test_token_is_issued(server: Running, known: Backend, alg: str) -> None:
    """A good assertion gets a bearer token of at most five minutes, and no refresh token."""
    answer = await server.post(known.form(known.assertion(alg=alg)))
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert set(answer.body) == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.body["token_type"] == "bearer"
    assert answer.body["expires_in"] == server.settings.access_token_seconds <= 300
    assert answer.body["scope"] == "system/*.cruds"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", answer.body["access_token"])
    principal = await server.principal(answer.body["access_token"])
    assert principal.client_id == known.id
    assert principal.scope == "system/*.cruds"
    assert principal.display == "Backend of a test"


async def test_token_is_not_stored(server: Running, known: Backend) -> None:
    """The database holds the hash of a token, never the token, and its id tells nothing."""
    answer = await server.post(known.form())
    token = answer.body["access_token"]
    raw = base64.urlsafe_b64decode(token + "=")
    document = await server.control["access_tokens"].find_one({})
    assert document is not None
    assert token not in str(document)
    assert raw not in document.values()
    assert len(document["_id"]) == 32


async def test_optional_parts_are_accepted(server: Running, known: Backend) -> None:
    """Fine are aud in a list of one, iat and nbf, any case of typ, and client_id in the form."""
    now = int(server.clock().timestamp())
    assertion = known.assertion(
        aud=[known.token_url], iat=now, nbf=now, header={"typ": "jwt", "cty": "x"}
    )
    answer = await server.post(known.form(assertion, client_id=known.id))
    assert answer.status == 200


async def test_scope_is_the_granted_part(server: Running, make_backend: MakeBackend) -> None:
    """The answer names what was granted: asked for, registered, served and understood."""
    for number, (allowed, asked, granted) in enumerate(GRANTS):
        backend = make_backend(f"ehr-{number}")
        await server.register(backend, allowed)
        answer = await server.post(backend.form(scope=asked))
        assert answer.status == 200
        assert answer.body["scope"] == granted
        assert (await server.principal(answer.body["access_token"])).scope == granted


async def test_same_jti_of_two_clients(
    server: Running, known: Backend, make_backend: MakeBackend
) -> None:
    """A jti must be unique for each client only."""
    other = make_backend("ehr-2")
    await server.register(other)
    first = await server.post(known.form(known.assertion(jti="once")))
    second = await server.post(other.form(other.assertion(jti="once")))
    assert (first.status, second.status) == (200, 200)


async def test_one_assertion_in_parallel(server: Running, known: Backend) -> None:
    """Thirty uses of one assertion at the same moment yield exactly one token."""
    form = known.form()
    answers = await asyncio.gather(*(server.post(form) for _ in range(30)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 29
    assert {a.body["error"] for a in answers if a.status == 400} == {"invalid_client"}
    assert await server.count_tokens() == 1


async def test_expired_token_is_refused(server: Running, known: Backend) -> None:
    """A token is refused from the second it expires, by those who remember it too."""
    answer = await server.post(known.form())
    header = f"Bearer {answer.body['access_token']}"
    remembering = Authenticator(Tokens(server.control), clock=server.clock, monotonic=lambda: 0.0)
    await remembering.authenticate(header)
    server.clock.ahead = timedelta(seconds=answer.body["expires_in"])
    with pytest.raises(Login):
        await remembering.authenticate(header)
    with pytest.raises(Login):
        await server.principal(answer.body["access_token"])


async def _refused_since(process: Authenticator, header: str) -> float:
    """From when on a process refuses a token, by the event loop's clock."""
    while True:
        try:
            await process.authenticate(header)
        except Login:
            return asyncio.get_running_loop().time()
        await asyncio.sleep(0.02)


async def test_revoked_client_is_refused_everywhere(server: Running, known: Backend) -> None:
    """After a revocation no process accepts the client's tokens for more than two seconds."""
    answer = await server.post(known.form())
    header = f"Bearer {answer.body['access_token']}"
    processes = [Authenticator(Tokens(server.control)) for _ in range(3)]
    for process in processes:
        assert (await process.authenticate(header)).client_id == known.id
    assert await Clients(server.control).revoke(known.id, server.clock())
    assert await Tokens(server.control).revoke_client(known.id) == 1
    loop = asyncio.get_running_loop()
    revoked_at = loop.time()
    for process in processes:
        assert await _refused_since(process, header) < revoked_at + 2
    again = await server.post(known.form())
    assert (again.status, again.body["error"]) == (400, "invalid_client")


async def test_revocation_during_the_request(server: Running, known: Backend) -> None:
    """Tokens that are issued while their client is being revoked do not survive it."""
    requests = [asyncio.create_task(server.post(known.form())) for _ in range(20)]
    await asyncio.sleep(0.02)
    await Clients(server.control).revoke(known.id, server.clock())
    await Tokens(server.control).revoke_client(known.id)
    await asyncio.gather(*requests)
    assert await server.count_tokens() == 0


class TokensOvertaken(Tokens):
    """Issues a token at the very moment after its client was revoked."""

    revoking: Clients

    async def issue(self, client_id: str, scope: str, **given: Any) -> tuple[str, Grant]:
        """Revoke as the operator does, then issue."""
        await self.revoking.revoke(client_id, given["now"])
        await self.revoke_client(client_id)
        return await super().issue(client_id, scope, **given)


async def test_token_stored_after_the_revocation(server: Running, known: Backend) -> None:
    """A token that a revocation came too early to delete is withdrawn, and not handed out."""
    tokens, clients = TokensOvertaken(server.control), Clients(server.control)
    tokens.revoking = clients
    restrictions = Restrictions(server.registry, server.settings)
    endpoint = TokenEndpoint(
        clients, tokens, KeySets(server.settings), restrictions, server.settings, server.clock
    )
    with pytest.raises(OAuthError) as refusal:
        await endpoint.answer(known.form())
    assert refusal.value.code == "invalid_client"
    assert await server.count_tokens() == 0


async def test_operator_token(server: Running) -> None:
    """The operator's token carries the scopes as given, for as long as asked."""
    now = server.clock()
    token = await issue_operator_token(server.control, "system/*.cruds", 3_600, now)
    principal = await server.principal(token)
    assert (principal.client_id, principal.scope) == ("operator", "system/*.cruds")
    server.clock.ahead = timedelta(seconds=3_599)
    await server.principal(token)
    server.clock.ahead = timedelta(seconds=3_601)
    with pytest.raises(Login):
        await server.principal(token)


async def test_operator_token_refuses_scope(server: Running) -> None:
    """Scopes that grant nothing are refused, and no token is made."""
    for scope in ("", "  ", "system/*.dc", "user/*.rs", "system/*.rs nonsense"):
        with pytest.raises(ValueError, match="scope"):
            await issue_operator_token(server.control, scope, 60, server.clock())
    assert await server.count_tokens() == 0
