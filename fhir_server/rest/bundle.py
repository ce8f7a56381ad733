"""Bundles posted to the base: each entry becomes a request for the same dispatcher.

https://hl7.org/fhir/R4/http.html#transaction
"""

import asyncio
import base64
import binascii
import copy
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import structlog

from fhir_server.context import RequestContext
from fhir_server.fhir import bundles, codec
from fhir_server.fhir.bundle_entries import METHODS, Entry, Sent, parse_bundle, placed
from fhir_server.fhir.dates import format_instant
from fhir_server.fhir.errors import (
    FhirError,
    Invalid,
    Issues,
    NotSupported,
    Required,
    TooLarge,
    UnsupportedMediaType,
    Value,
)
from fhir_server.fhir.exchange import Answer, Prefer, Request
from fhir_server.fhir.outcome import operation_outcome, status_of
from fhir_server.fhir.preconditions import format_etag
from fhir_server.fhir.types import Json, Resource
from fhir_server.interactions.transaction import Asked
from fhir_server.rest.negotiation import FHIR_JSON, JSON_PATCH, negotiate, parse_pairs
from fhir_server.rest.response import fail, prefer
from fhir_server.rest.router import OPERATION, PUBLIC, TRANSACTION, Router
from fhir_server.settings import Settings

_AT_ONCE: Final = 32
_READS: Final = frozenset({"GET", "HEAD"})
_PATH_READS: Final = frozenset({"read", "history-instance", "vread"})

Dispatch = Callable[[RequestContext, Request], Awaitable[Answer]]
Check = Callable[[RequestContext, Request], None]
Transaction = Callable[[RequestContext, Sequence[Asked]], Awaitable[list[Answer]]]


class EntryBody:
    """The body of an entry; see `exchange.Body`."""

    def __init__(self, entry: Entry, settings: Settings) -> None:
        self._entry = entry
        self._settings = settings

    async def resource(self) -> Resource:
        """The entry's resource, for the reader to change as it likes.

        Raises:
            Required: there is none.
            TooLarge: it is larger than the settings allow for one resource.
        """
        entry = self._entry
        if entry.resource is None:
            place = f"{entry.place}.resource"
            raise Required(f"{entry.method} needs a resource", expression=[place])
        if len(codec.encode_json(entry.resource)) > self._settings.max_body_bytes:
            raise TooLarge(f"A resource may have {self._settings.max_body_bytes} bytes")
        return copy.deepcopy(entry.resource)

    async def patch(self) -> list[Json] | Resource:
        """A FHIRPath Patch as Parameters, or a JSON Patch in a Binary.

        Raises:
            UnsupportedMediaType: the Binary holds something else.
            Value: its data is no base64.
            FhirError: as `resource`, or the JSON Patch is malformed.
        """
        resource = await self.resource()
        if resource.get("resourceType") != "Binary":
            return resource
        if resource.get("contentType") != JSON_PATCH:
            raise UnsupportedMediaType(f"A patch in a Binary has the contentType {JSON_PATCH}")
        try:
            data = base64.b64decode(str(resource.get("data", "")), validate=True)
        except (binascii.Error, ValueError):
            raise Value("The data is no base64", expression=["Binary.data"]) from None
        return codec.parse_list(data, max_depth=self._settings.max_json_depth)


class Bundles:
    """Answers batches and transactions.

    Args:
        dispatch: answers one request.
        check: raises when the caller may not make a request at all.
        transaction: writes entries, all or none.
    """

    def __init__(
        self,
        router: Router,
        settings: Settings,
        *,
        dispatch: Dispatch,
        check: Check,
        transaction: Transaction,
    ) -> None:
        self._router = router
        self._settings = settings
        self._dispatch = dispatch
        self._check = check
        self._transaction = transaction
        self._log = structlog.get_logger("fhir_server.rest")

    async def answer(self, ctx: RequestContext, request: Request) -> Answer:
        """200 with what came of each entry, in their order.

        Raises:
            FhirError: the Bundle is malformed, or it is a transaction that failed: then nothing
                was written.
        """
        bundle = await request.body.resource()
        sent = parse_bundle(bundle, most=self._settings.max_bundle_entries)
        if sent.type == "batch":
            entries = await self._batch(ctx, request, sent)
        else:
            entries = await self._all_or_none(ctx, request, sent)
        return Answer(200, bundles.responses(f"{sent.type}-response", entries))

    async def _batch(self, ctx: RequestContext, outer: Request, sent: Sent) -> list[bytes]:
        names = {
            one.full_url
            for one in sent.entries
            if isinstance(one, Entry) and one.full_url.startswith("urn:")
        }
        limit = asyncio.Semaphore(_AT_ONCE)

        async def answer(entry: Entry | FhirError) -> bytes:
            if isinstance(entry, FhirError):
                return _refused(entry)
            async with limit:
                return await self._independent(ctx, outer, entry, names)

        answers: dict[int, bytes] = {}
        for group in _groups(sent.entries):
            found = await asyncio.gather(*(answer(sent.entries[number]) for number in group))
            answers.update(zip(group, found, strict=True))
        return [answers[number] for number in range(len(sent.entries))]

    async def _independent(
        self, ctx: RequestContext, outer: Request, entry: Entry, names: set[str]
    ) -> bytes:
        try:
            _refuse_cross_reference(entry, names)
            request = self._request(outer, entry)
            answer = await self._dispatch(ctx, request)
        except FhirError as error:
            return _refused(placed(error, entry.place))
        except Exception:  # noqa: BLE001 - a defect of ours must not harm the other entries
            self._log.exception("request_failed", request_id=ctx.request_id)
            told = fail(ctx.request_id)
            return bundles.response_entry({"status": _status(500)}, outcome=told.body)
        return _answered(entry, answer, outer.prefer)

    async def _all_or_none(self, ctx: RequestContext, outer: Request, sent: Sent) -> list[bytes]:
        asked = self._understood(ctx, outer, sent)
        writes = [one for one in asked if one.entry.method not in _READS]
        reads = [one for one in asked if one.entry.method in _READS]
        if writes and reads:
            await self._rehearse(ctx, writes, reads)
        answers: dict[int, bytes] = {}
        written = await self._transaction(ctx, writes) if writes else []
        for one, answer in zip(writes, written, strict=True):
            preferred = prefer(answer, outer.prefer)
            answers[one.entry.number] = _answered(one.entry, preferred, outer.prefer)
        for one in reads:
            answers[one.entry.number] = await self._read(ctx, outer, one, settled=bool(writes))
        return [answers[number] for number in range(len(sent.entries))]

    def _understood(self, ctx: RequestContext, outer: Request, sent: Sent) -> list[Asked]:
        problems: list[FhirError] = []
        asked = []
        for entry in sent.entries:
            if isinstance(entry, FhirError):
                problems.append(entry)
                continue
            try:
                request = self._request(outer, entry)
                if request.interaction == OPERATION and entry.method not in _READS:
                    raise NotSupported(
                        "Operations cannot be part of a transaction; send them in a batch"
                    )
                self._check(ctx, request)
                asked.append(Asked(entry, request))
            except FhirError as error:
                problems.append(placed(error, entry.place))
        names = [one.entry.full_url for one in asked if one.entry.full_url]
        twice = sorted({name for name in names if names.count(name) > 1}) if names else []
        problems += [Invalid(f"Two entries have the fullUrl {name[:100]}") for name in twice]
        if problems:
            raise problems[0] if len(problems) == 1 else Issues(_flat(problems))
        return asked

    async def _rehearse(
        self, ctx: RequestContext, writes: Sequence[Asked], reads: Sequence[Asked]
    ) -> None:
        """Find out before anything is written whether a read would be refused."""
        changed = {(one.request.type, one.request.id): one.entry.method for one in writes}
        for one in reads:
            request = one.request
            method = changed.get((request.type, request.id)) if request.id else None
            if method == "DELETE" and request.interaction == "read":
                raise Invalid(
                    "The same transaction deletes what this entry reads",
                    expression=[one.entry.place],
                )
            if method is not None and request.interaction in _PATH_READS:
                continue
            try:
                await self._dispatch(ctx, request)
            except FhirError as error:
                raise placed(error, one.entry.place) from None

    async def _read(
        self, ctx: RequestContext, outer: Request, one: Asked, *, settled: bool
    ) -> bytes:
        try:
            answer = await self._dispatch(ctx, one.request)
        except FhirError as error:
            told = placed(error, one.entry.place)
            if settled:
                # What was written stays written; only this answer is missing.
                return _refused(told)
            raise told from None
        return _answered(one.entry, answer, outer.prefer)

    def _request(self, outer: Request, entry: Entry) -> Request:
        """The request that an entry makes.

        Raises:
            FhirError: there is nothing at its address, or not inside a Bundle.
        """
        path, _, query = entry.url.partition("?")
        path = path.removeprefix(f"{self._settings.fhir_base}/").removeprefix("/")
        if "://" in path:
            where = [f"{entry.place}.request.url"]
            raise Invalid("The url is relative to the base of this server", expression=where)
        segments = [unquote(one) for one in path.split("/")] if path else []
        route = self._router.resolve(entry.method, segments)
        if route.interaction in PUBLIC or route.interaction == TRANSACTION or route.form:
            raise NotSupported(f"{entry.method} {path[:80]} is not offered inside a Bundle")
        pairs = parse_pairs(query, self._settings.max_search_parameters + 2)
        headers = dict(entry.headers)
        if entry.resource is not None:
            headers[b"content-type"] = FHIR_JSON
        if b"prefer" in outer.headers:
            headers[b"prefer"] = outer.headers[b"prefer"]
        return Request(
            route.interaction,
            route.type,
            route.id,
            route.version_id,
            route.operation,
            negotiate(None, pairs).pairs,
            headers,
            EntryBody(entry, self._settings),
            route.compartment,
        )


def _groups(entries: Sequence[Entry | FhirError]) -> Iterable[list[int]]:
    """The numbers of the entries in R4's order of processing; equals go together."""
    ranks: dict[int, list[int]] = {}
    for number, entry in enumerate(entries):
        method = entry.method if isinstance(entry, Entry) else "GET"
        ranks.setdefault(_RANK[method], []).append(number)
    return [ranks[rank] for rank in sorted(ranks)]


_RANK: Final[Mapping[str, int]] = {
    method: rank - (method in ("PATCH", "HEAD")) for rank, method in enumerate(METHODS)
}


def _refuse_cross_reference(entry: Entry, names: set[str]) -> None:
    others = names - {entry.full_url}
    if entry.resource is None or not others:
        return
    text = codec.encode_json(entry.resource)
    named = [name for name in others if f'"{name}"'.encode() in text]
    if named:
        raise Invalid(
            f"The entry refers to another one ({named[0][:100]}), which a batch does not allow; "
            "send a transaction",
            expression=[f"{entry.place}.resource"],
        )


def _answered(entry: Entry, answer: Answer, preference: Prefer) -> bytes:
    told: dict[str, Json] = {"status": _status(answer.status)}
    writes = entry.method not in _READS
    location = answer.address or answer.location
    if location is not None:
        told["location"] = location
    if answer.version is not None:
        told["etag"] = format_etag(answer.version)
    if answer.last_modified is not None:
        told["lastModified"] = format_instant(answer.last_modified)
    body = b"" if entry.method == "HEAD" else answer.body
    if writes and preference.answer == "OperationOutcome":
        return bundles.response_entry(told, outcome=body)
    return bundles.response_entry(told, resource=body)


def _refused(error: FhirError) -> bytes:
    outcome = codec.encode_json(operation_outcome(error))
    return bundles.response_entry({"status": _status(status_of(error))}, outcome=outcome)


def _status(code: int) -> str:
    return f"{code} {HTTPStatus(code).phrase}"


def _flat(problems: Sequence[FhirError]) -> list[FhirError]:
    return [
        issue
        for problem in problems
        for issue in (problem.issues if isinstance(problem, Issues) else (problem,))
    ]
