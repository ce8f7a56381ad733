"""The outermost layer: what is logged, and what a defect looks like from outside."""

import json
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from fhir_server.fhir.errors import Transient
from fhir_server.rest.body import ClientGone
from fhir_server.rest.middleware import Exchange, Middleware
from fhir_server.rest.response import Response

Message = MutableMapping[str, Any]
SECRET = "Okafor"


@pytest.fixture(autouse=True)
def _plain_logging() -> Iterator[None]:
    """Every level is logged, whatever other tests have configured."""
    configured = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**configured)


def scope(path: str, **headers: str) -> Message:
    """An HTTP request."""
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": f"name={SECRET}".encode(),
        "headers": sent,
    }


async def nothing() -> Message:
    """No body."""
    return {"type": "http.request", "body": b"", "more_body": False}


class Sent(list[Message]):
    """What was sent."""

    async def send(self, message: Message) -> None:
        """Remember it."""
        self.append(message)


def middleware(answer: Response | Exception) -> Middleware:
    """Around an endpoint that always answers so."""

    async def endpoint(exchange: Exchange) -> Response:
        exchange.interaction, exchange.type, exchange.client_id = "read", "Patient", "ehr"
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Middleware(endpoint, lambda: "own-id")


async def test_a_request_is_one_log_line_without_anything_about_a_patient() -> None:
    """A constant event name; neither path nor query."""
    with capture_logs() as logs:
        await middleware(Response(200, [], b"{}"))(
            scope(f"/fhir/Patient/{SECRET}"), nothing, Sent().send
        )
    (line,) = logs
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "interaction": "read",
        "type": "Patient",
        "status": 200,
        "client": "ehr",
        "request_id": "own-id",
    }


async def test_a_defect_is_500_without_internals_and_logged_once() -> None:
    """The client gets the request id, the log the traceback."""
    sent = Sent()
    with capture_logs() as logs:
        await middleware(RuntimeError(f"about {SECRET}"))(
            scope("/x", x_request_id="theirs"), nothing, sent.send
        )
    assert [one["event"] for one in logs] == ["request_failed", "request"]
    assert logs[0]["exc_info"]
    assert sent[0]["status"] == 500
    outcome = json.loads(sent[1]["body"])
    assert outcome["issue"][0]["code"] == "exception"
    assert "theirs" in outcome["issue"][0]["diagnostics"]
    assert SECRET not in sent[1]["body"].decode()
    assert dict(sent[0]["headers"])[b"x-request-id"] == b"theirs"


async def test_a_transient_failure_tells_when_to_come_back() -> None:
    """503 with Retry-After."""
    sent = Sent()
    await middleware(Transient("soon", retry_after=7))(scope("/x"), nothing, sent.send)
    assert sent[0]["status"] == 503
    assert dict(sent[0]["headers"])[b"retry-after"] == b"7"


async def test_nobody_is_answered_who_has_gone() -> None:
    """But the request is on record."""
    sent = Sent()
    with capture_logs() as logs:
        await middleware(ClientGone())(scope("/x"), nothing, sent.send)
    assert sent == []
    assert [one["status"] for one in logs] == [499]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_head_sends_no_body(method: str) -> None:
    """The headers are the same."""
    sent = Sent()
    asked = {**scope("/x"), "method": method}
    headers = [(b"content-length", b"2")]
    await middleware(Response(200, headers, b"{}"))(asked, nothing, sent.send)
    assert sent[1]["body"] == (b"{}" if method == "GET" else b"")
    assert dict(sent[0]["headers"])[b"content-length"] == b"2"
