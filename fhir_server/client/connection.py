"""One FHIR base URL with a bearer token, over a pooled HTTP connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from fhir_server.fhir import codec
from fhir_server.fhir.types import Resource

JSON_TYPE = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def resource(self) -> Resource:
        """The body as a resource; an empty dict when there is none."""
        return codec.decode(self.body) if self.body else {}

    @property
    def version(self) -> str:
        """The version id that ETag names, or an empty string."""
        return self.headers.get("ETag", "").removeprefix("W/").strip('"')

    def problem(self) -> str:
        """The issues of an OperationOutcome in one line; else the status and what came with it."""
        try:
            issues = self.resource.get("issue", [])
        except ValueError:
            issues = []
        texts = [
            " ".join(filter(None, [", ".join(i.get("expression", [])), i.get("diagnostics", "")]))
            for i in issues
            if i.get("severity") in ("error", "fatal")
        ]
        return f"{self.status} " + ("; ".join(texts) or self.body[:200].decode(errors="replace"))


class Connection:
    """Speaks FHIR JSON with one server.

    Args:
        base_url: the FHIR base, without a trailing slash.
        token: a bearer token; may be set later.
        parallel: how many requests may be under way at once.
    """

    def __init__(self, base_url: str, token: str | None = None, *, parallel: int = 16) -> None:
        self.base_url = base_url.rstrip("/")
        self.token = token
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=parallel),
            timeout=aiohttp.ClientTimeout(total=60),
            trust_env=False,
        )

    async def request(
        self,
        method: str,
        path: str,
        body: Resource | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends one request; `path` is relative to the base, or an absolute URL.

        Raises:
            aiohttp.ClientError: the server cannot be reached.
        """
        sent = {"Accept": JSON_TYPE, **(headers or {})}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        data = codec.encode(body) if isinstance(body, dict) else body
        if data is not None:
            sent.setdefault("Content-Type", JSON_TYPE)
        url = path if "://" in path else f"{self.base_url}/{path}"
        async with self._session.request(method, url, data=data, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def form(self, url: str, fields: Mapping[str, str]) -> Answer:
        """Posts a form, as OAuth's token endpoint wants it."""
        async with self._session.post(url, data=dict(fields)) as response:
            return Answer(response.status, response.headers, await response.read())

    async def close(self) -> None:
        """Closes the pool."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        """The open connection."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the pool."""
        await self.close()
