"""Refusals in OAuth's own words, never as OperationOutcome (RFC 6749 section 5.2)."""


class OAuthError(Exception):
    """A refusal of the authorization server.

    Args:
        code: the OAuth error code, for example `invalid_client`.
        description: for the client's developer.
        status: the HTTP status.
        reason: for the log only; what must not be told to somebody who has proved nothing.
        retry_after: seconds until another attempt makes sense; None when it never does.
    """

    def __init__(
        self,
        code: str,
        description: str,
        *,
        status: int = 400,
        reason: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status
        self.reason = reason or description
        self.retry_after = retry_after
