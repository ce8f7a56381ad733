"""Access tokens for the person who runs the server."""

from datetime import datetime
from typing import Final

from fhir_server.authorization_server.token import check_scopes
from fhir_server.store.control import ControlDatabase
from fhir_server.store.tokens import Tokens

OPERATOR: Final = "operator"
"""The client id of such tokens; no client can be registered under it."""


async def issue_operator_token(
    control: ControlDatabase, scope: str, seconds: int, now: datetime
) -> str:
    """Make an access token without a client; whoever can reach the database may do that.

    Args:
        control: the control database.
        scope: `system/` scopes, space separated.
        seconds: the token's life.
        now: aware.

    Returns:
        The token.

    Raises:
        ValueError: a scope could never be granted.
        Transient: the database cannot be reached.
    """
    check_scopes(scope)
    tokens = Tokens(control)
    await tokens.prepare()
    token, _ = await tokens.issue(
        OPERATOR, " ".join(scope.split()), now=now, seconds=seconds, display="Operator"
    )
    return token
