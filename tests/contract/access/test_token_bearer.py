"""Authorization headers: which are looked up, which are remembered, and for how long."""

import asyncio

import pytest

from fhir_server.authorization_server.bearer import CACHE_SECONDS, Authenticator
from fhir_server.context import system_clock
from fhir_server.fhir.errors import Login, Transient
from fhir_server.settings import Settings
from fhir_server.store.control import ControlDatabase
from fhir_server.store.database import Connection
from fhir_server.store.tokens import Tokens

MALFORMED = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer x",
    "Basic YTpi",
    f"Bearer {'a' * 42}",
    f"Bearer {'a' * 44}",
    f"Bearer {'a' * 42}=",
    f"Bearer {'é' * 43}",
    f"Bearer {'a' * 43} ",
    f"Bearer {'a' * 43},Bearer {'b' * 43}",
    f"Bearer\t{'a' * 43}",
    f"Token {'a' * 43}",
    "Bearer " + "a" * 100_000,
]


class CountingTokens(Tokens):
    """Counts the look-ups that reach the database."""

    lookups = 0

    async def find(self, token: str, *, now):  # type: ignore[no-untyped-def]
        """Look up, counted."""
        self.lookups += 1
        return await super().find(token, now=now)


class Timer:
    """A monotonic timer that tests move."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def tokens(control: ControlDatabase) -> CountingTokens:
    """The tokens, with look-ups counted."""
    return CountingTokens(control)


async def _issue(tokens: Tokens, scope: str = "system/*.rs") -> str:
    token, _ = await tokens.issue("ehr", scope, now=system_clock(), seconds=60)
    return f"Bearer {token}"


async def test_malformed_header_costs_no_look_up(tokens: CountingTokens) -> None:
    """What cannot be a token of ours is refused before the database is asked."""
    authenticator = Authenticator(tokens)
    for header in MALFORMED:
        with pytest.raises(Login) as refusal:
            await authenticator.authenticate(header)
        assert refusal.value.challenge == 'Bearer error="invalid_token"'
    assert tokens.lookups == 0


async def test_missing_header(tokens: CountingTokens) -> None:
    """Without credentials the challenge carries no error (RFC 6750 section 3.1)."""
    with pytest.raises(Login) as refusal:
        await Authenticator(tokens).authenticate(None)
    assert refusal.value.challenge == "Bearer"
    assert tokens.lookups == 0


async def test_scheme_is_case_insensitive(tokens: CountingTokens) -> None:
    """`bearer` is as good as `Bearer`."""
    header = await _issue(tokens)
    for spelled in (header, header.replace("Bearer", "bearer"), header.replace(" ", "  ")):
        assert (await Authenticator(tokens).authenticate(spelled)).scope == "system/*.rs"


async def test_answers_are_remembered_for_a_second(tokens: CountingTokens) -> None:
    """Good and bad tokens alike cost one look-up a second."""
    timer = Timer()
    authenticator = Authenticator(tokens, monotonic=timer)
    good, bad = await _issue(tokens), f"Bearer {'a' * 43}"
    for _ in range(100):
        await authenticator.authenticate(good)
        with pytest.raises(Login):
            await authenticator.authenticate(bad)
    assert tokens.lookups == 2
    timer.seconds += CACHE_SECONDS
    await authenticator.authenticate(good)
    assert tokens.lookups == 3


async def test_requests_together_share_a_look_up(tokens: CountingTokens) -> None:
    """Sixty-four requests at once are one look-up, and a cancelled one does not harm the rest."""
    authenticator = Authenticator(tokens)
    header = await _issue(tokens)
    tasks = [asyncio.create_task(authenticator.authenticate(header)) for _ in range(64)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert {str(one) for one in results[1:]} == {str(results[1])}
    assert not isinstance(results[1], BaseException)
    assert tokens.lookups == 1


async def test_memory_is_bounded(tokens: CountingTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of invented tokens does not grow the memory beyond its bound."""
    monkeypatch.setattr("fhir_server.authorization_server.bearer.MAX_REMEMBERED", 10)
    authenticator = Authenticator(tokens)
    for n in range(35):
        with pytest.raises(Login):
            await authenticator.authenticate(f"Bearer {n:043}")
    assert len(authenticator._known) <= 10


async def test_lost_database_is_no_refusal(settings: Settings) -> None:
    """When the database cannot be asked, the answer is to try again, and is not remembered."""
    connection = await Connection.open(settings)
    tokens = Tokens(connection.control)
    header = await _issue(tokens)
    control = connection.client.__class__(
        "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50&connectTimeoutMS=50"
    )
    authenticator = Authenticator(Tokens(control["x"]))
    with pytest.raises(Transient):
        await authenticator.authenticate(header)
    assert not authenticator._known
    await control.close()
    await connection.close()
