"""The token endpoint: SMART Backend Services, and nothing else in this release.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html#obtain-access-token
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog

from fhir_server.auth.assertion import (
    LEEWAY_SECONDS,
    Assertion,
    AssertionRefusedError,
    read_assertion,
)
from fhir_server.auth.keys import Jwk, parse_key_set, select
from fhir_server.auth.restrictions import Restrictions
from fhir_server.auth.scopes import (
    MAX_SCOPES_LENGTH,
    Scope,
    format_scopes,
    grant,
    parse_scope,
    parse_scopes,
)
from fhir_server.authorization_server.errors import OAuthError
from fhir_server.authorization_server.key_sets import KeySets, KeySetUnavailableError
from fhir_server.context import Clock
from fhir_server.settings import Settings
from fhir_server.store.clients import Client, Clients
from fhir_server.store.tokens import Tokens

GRANT_TYPE: Final = "client_credentials"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PATH: Final = "/auth/token"

# One text for everything that depends on what is registered: somebody who has proved nothing
# learns nothing about which clients and keys there are.
_NOT_AUTHENTICATED: Final = (
    "the client is not registered, or no single registered key with this kid verifies the signature"
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Decides on requests for access tokens.

    Attributes:
        clients: the registered clients.
        tokens: the issued tokens and used assertions.
        key_sets: the keys of clients that publish them.
        restrictions: tells which scopes mean something here.
        settings: the endpoint's address and the life of a token.
        clock: the time.
    """

    clients: Clients
    tokens: Tokens
    key_sets: KeySets
    restrictions: Restrictions
    settings: Settings
    clock: Clock

    async def answer(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The token response to a request with these form fields.

        Raises:
            OAuthError: it is refused; no token was issued.
            Transient: the database cannot be reached.
        """
        grant_type = form.get("grant_type")
        if not grant_type:
            raise OAuthError("invalid_request", "grant_type is missing")
        if grant_type != GRANT_TYPE:
            raise OAuthError("unsupported_grant_type", f"grant_type must be {GRANT_TYPE}")
        client = await self._authenticate(form)
        granted = self._granted(client, form.get("scope", ""))
        seconds = self.settings.access_token_seconds
        token, issued = await self.tokens.issue(
            client.id, granted, now=self.clock(), seconds=seconds, display=client.name
        )
        await self._withdraw_if_revoked(client, token)
        _log.info("token_issued", client_id=client.id, token_id=issued.token_id)
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": seconds,
            "scope": granted,
        }

    async def _authenticate(self, form: Mapping[str, str]) -> Client:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise _invalid_client(f"client_assertion_type must be {ASSERTION_TYPE}")
        try:
            assertion = read_assertion(
                form.get("client_assertion", ""),
                audience=f"{self.settings.root_url}{PATH}",
                now=self.clock(),
            )
        except AssertionRefusedError as error:
            raise _invalid_client(str(error)) from error
        if form.get("client_id", assertion.client_id) != assertion.client_id:
            raise _invalid_client("client_id is not the assertion's issuer")
        client = await self.clients.find(assertion.client_id)
        if client is None or client.revoked is not None:
            raise _invalid_client(_NOT_AUTHENTICATED, reason="unknown or revoked client")
        await self._check_signature(client, assertion)
        kept = assertion.expires + timedelta(seconds=LEEWAY_SECONDS)
        if not await self.tokens.use_assertion(client.id, assertion.jti, expires=kept):
            raise _invalid_client("an assertion with this jti has been used before")
        return client

    async def _check_signature(self, client: Client, assertion: Assertion) -> None:
        if assertion.key_set_url not in (None, client.jwks_url):
            raise _invalid_client(_NOT_AUTHENTICATED, reason="jku is not the registered URL")
        keys = await self._keys(client, assertion)
        if len(keys) != 1:
            raise _invalid_client(_NOT_AUTHENTICATED, reason=f"{len(keys)} keys with this kid")
        if not assertion.verify(keys[0]):
            raise _invalid_client(_NOT_AUTHENTICATED, reason="bad signature")

    async def _keys(self, client: Client, assertion: Assertion) -> list[Jwk]:
        key_id, algorithm = assertion.key_id, assertion.algorithm
        if client.jwks is not None:
            return select(parse_key_set(client.jwks), key_id, algorithm)
        try:
            return await self.key_sets.find(client.jwks_url or "", key_id, algorithm)
        except KeySetUnavailableError as error:
            raise _invalid_client(_NOT_AUTHENTICATED, reason=str(error)) from error

    def _granted(self, client: Client, requested: str) -> str:
        if not requested.strip():
            raise OAuthError("invalid_scope", "scope is missing")
        if len(requested) > MAX_SCOPES_LENGTH:
            raise OAuthError("invalid_scope", "scope is too long")
        meant = [scope for scope in parse_scopes(requested) if self._is_grantable(scope)]
        granted = format_scopes(grant(meant, parse_scopes(client.scope)))
        if not granted or len(granted) > MAX_SCOPES_LENGTH:
            raise OAuthError(
                "invalid_scope",
                "none of these scopes can be granted: they must be system/ scopes of served "
                "types that the client is registered for",
            )
        return granted

    def _is_grantable(self, scope: Scope) -> bool:
        return self.restrictions.is_grantable(scope)

    async def _withdraw_if_revoked(self, client: Client, token: str) -> None:
        """Close the gap between looking the client up and storing the token.

        A revocation marks the client first and deletes its tokens then: either it deletes this
        one, or its mark is seen here.
        """
        again = await self.clients.find(client.id)
        if again is None or again.revoked is not None:
            await self.tokens.revoke(token)
            raise _invalid_client(_NOT_AUTHENTICATED, reason="revoked meanwhile")


def check_scopes(text: str) -> None:
    """Refuse scopes that could never be granted, naming each; for operators.

    Raises:
        ValueError: a scope is malformed or of another context than `system/`, or there is none.
    """
    names = text.split()
    if not names:
        raise ValueError('no scope given; for example --scope "system/*.cruds"')
    for name in names:
        scope = parse_scope(name)
        if scope is None or scope.context != "system":
            raise ValueError(
                f"{name!r} is not a scope of the form system/Type.cruds, system/*.rs or "
                "system/Appointment.rs?status=booked"
            )


def _invalid_client(description: str, *, reason: str | None = None) -> OAuthError:
    return OAuthError("invalid_client", description, reason=reason)
