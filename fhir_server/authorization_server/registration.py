"""Registration of clients by the operator: what is accepted, what is refused and why."""

import re
from datetime import datetime
from typing import Final

from fhir_server import outbound
from fhir_server.auth.keys import check_key_set
from fhir_server.auth.restrictions import Restrictions
from fhir_server.auth.scopes import MAX_SCOPES_LENGTH, parse_scopes
from fhir_server.authorization_server.operator_token import OPERATOR
from fhir_server.authorization_server.token import check_scopes
from fhir_server.settings import Settings
from fhir_server.store.clients import Client

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/~-]{0,127}")


def registered_client(
    client_id: str,
    name: str,
    scope: str,
    *,
    jwks: str | None,
    jwks_url: str | None,
    now: datetime,
    restrictions: Restrictions,
    settings: Settings,
) -> Client:
    """A client that may be stored.

    Args:
        client_id: chosen by the operator.
        name: for people.
        scope: what it may be granted at most, space separated.
        jwks: its public keys as a JWK Set, or None.
        jwks_url: where it publishes them, or None.
        now: aware.
        restrictions: tells which scopes mean something here.
        settings: which URLs are allowed.

    Raises:
        ValueError: something is not acceptable; the message says what and why.
    """
    if _ID.fullmatch(client_id) is None or client_id == OPERATOR:
        raise ValueError(
            f"{client_id!r} cannot be a client id: 1 to 128 letters, digits or . _ : / ~ -, "
            f"starting with a letter or digit, and not {OPERATOR!r}"
        )
    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise ValueError("the name must be 1 to 200 printable characters")
    if (jwks is None) == (jwks_url is None):
        raise ValueError("give either the client's key set or the URL where it publishes it")
    if jwks is not None:
        check_key_set(jwks)
    if jwks_url is not None:
        outbound.check_url(jwks_url, settings)
    return Client(client_id, name.strip(), _scope(scope, restrictions), now, jwks, jwks_url)


def _scope(text: str, restrictions: Restrictions) -> str:
    check_scopes(text)
    scope = " ".join(dict.fromkeys(text.split()))
    if len(scope) > MAX_SCOPES_LENGTH:
        raise ValueError(f"the scopes are longer than {MAX_SCOPES_LENGTH} characters")
    for one in parse_scopes(scope):
        if not restrictions.is_grantable(one):
            raise ValueError(
                f"{str(one)!r} names a type that is not served, or a constraint that is no search"
            )
    return scope
