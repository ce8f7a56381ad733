"""Answers and refusals as HTTP messages (https://hl7.org/fhir/R4/http.html#Status-Codes)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from fhir_server.fhir import errors
from fhir_server.fhir.codec import encode_json
from fhir_server.fhir.exchange import Answer, Prefer
from fhir_server.fhir.outcome import operation_outcome, status_of
from fhir_server.fhir.preconditions import format_etag, format_http_date
from fhir_server.rest.negotiation import FHIR_JSON, indent

Headers = list[tuple[bytes, bytes]]

COMMON_HEADERS: Sequence[tuple[bytes, bytes]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_NO_STORE = (b"cache-control", b"no-store")
# The client may keep it for itself and must ask each time, which is what makes 304 possible.
_REVALIDATE = (b"cache-control", b"private, no-cache")
_CONTENT_TYPE = (b"content-type", FHIR_JSON)


class Response(NamedTuple):
    """An HTTP response, not yet sent."""

    status: int
    headers: Headers
    body: bytes


def respond(answer: Answer, *, pretty: bool) -> Response:
    """The response for an answer."""
    headers: Headers = [_REVALIDATE if answer.cacheable else _NO_STORE]
    if answer.version is not None:
        headers.append((b"etag", format_etag(answer.version).encode()))
    if answer.last_modified is not None:
        headers.append((b"last-modified", format_http_date(answer.last_modified).encode()))
    if answer.location is not None:
        headers.append((b"location", answer.location.encode()))
    if answer.expires is not None:
        headers.append((b"expires", format_http_date(answer.expires).encode()))
    body = answer.body
    if body:
        if pretty:
            body = indent(body)
        headers.append(_CONTENT_TYPE)
    if answer.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    return Response(answer.status, headers, body)


def prefer(answer: Answer, preference: Prefer) -> Answer:
    """The answer to a write as the client likes to see it."""
    if preference.answer == "minimal":
        answer.body = b""
    elif preference.answer == "OperationOutcome":
        text = f"Done; now at version {answer.version}" if answer.version else "Done"
        told = {"severity": "information", "code": "informational", "diagnostics": text}
        answer.body = orjson.dumps({"resourceType": "OperationOutcome", "issue": [told]})
        answer.status = 200 if answer.status == 204 else answer.status
    return answer


def refuse(error: errors.FhirError, *, pretty: bool = False) -> Response:
    """The response for a refusal: an OperationOutcome and the headers its kind demands."""
    first = error.issues[0] if isinstance(error, errors.Issues) else error
    body = encode_json(operation_outcome(error))
    return _outcome(status_of(error), indent(body) if pretty else body, _extra_headers(first))


def fail(request_id: str) -> Response:
    """The response for a defect of ours: nothing but where to look in the log."""
    outcome: dict[str, Any] = {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "fatal",
                "code": "exception",
                "diagnostics": f"The server failed; tell its operators request id {request_id}",
            }
        ],
    }
    return _outcome(500, orjson.dumps(outcome), [])


def _outcome(status: int, body: bytes, extra: Headers) -> Response:
    length = (b"content-length", b"%d" % len(body))
    return Response(status, [_NO_STORE, _CONTENT_TYPE, length, *extra], body)


def _extra_headers(error: errors.FhirError) -> Headers:
    match error:
        case errors.Login():
            return [(b"www-authenticate", error.challenge.encode())]
        case errors.Forbidden():
            return [(b"www-authenticate", b'Bearer error="insufficient_scope"')]
        case errors.MethodNotAllowed():
            return [(b"allow", ", ".join(error.allow).encode())]
        case errors.Deleted():
            return [(b"etag", format_etag(error.version).encode())]
        case errors.Throttled() | errors.Transient():
            return [(b"retry-after", b"%d" % error.retry_after)]
        case _:
            return []
