"""Whatever is sent: never a 5xx, always an OperationOutcome on refusal, and nothing written.

The requests are built from the capability statement, so everything that is declared is tried.
"""

import json
import socket
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import Answer, Client, Server, appointment, patient, slot, start_server

Json = Any

EXAMPLES = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def server(
    mongodb_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that nothing but this module writes to."""
    running = start_server(mongodb_url, redis_url, tmp_path_factory.mktemp("fuzz"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    """May do everything."""
    opened = Client(server.base_url, server.token("system/*.cruds"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def parameters(client: Client) -> dict[str, list[str]]:
    """The search parameters that each type declares."""
    declared = client.get("metadata").json["rest"][0]["resource"]
    return {one["type"]: [p["name"] for p in one.get("searchParam", [])] for one in declared}


def check(answer: Answer, method: str = "GET") -> None:
    """A success, or a refusal that says what is wrong."""
    assert answer.status < 500, answer.body
    assert answer.headers["X-Request-Id"]
    if answer.status >= 400 and method != "HEAD":
        assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
        assert answer.json["resourceType"] == "OperationOutcome"
        assert answer.json["issue"]
        for issue in answer.json["issue"]:
            assert issue["severity"] in ("fatal", "error", "information")
            assert issue["code"]
            assert issue["diagnostics"]
        assert "Traceback" not in answer.body.decode()


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["2026-01-01", "2026-01-01T10:00:00Z", "Patient/a", "urn:x", "free", "booked"]
    )
)
ELEMENTS = st.sampled_from(
    [
        "resourceType", "id", "meta", "text", "contained", "extension", "identifier", "status",
        "start", "end", "participant", "actor", "slot", "schedule", "reference", "name", "active",
        "url", "value", "valueString", "valueDecimal", "code", "coding", "system", "_status",
        "criteria", "channel", "parameter", "resource", "period", "date", "fhir_comments", "$a",
        "a.b", "",
    ]
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(ELEMENTS | st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=20,
)


@st.composite
def spoilt(draw: st.DrawFn) -> Json:
    """A valid resource in which one value, anywhere, is replaced, renamed or removed."""
    resource: Json = json.loads(
        json.dumps(
            draw(
                st.sampled_from(
                    [
                        patient(contact=[{"name": {"family": "X"}}], deceasedBoolean=False),
                        appointment([], status="proposed", description="x", priority=1),
                        slot("nowhere", 540),
                        {
                            "resourceType": "Subscription",
                            "status": "requested",
                            "reason": "x",
                            "criteria": "Appointment?status=booked",
                            "channel": {
                                "type": "rest-hook",
                                "endpoint": "http://127.0.0.1:9/x",
                                "payload": "application/fhir+json",
                                "header": ["X-A: b"],
                            },
                        },
                        {
                            "resourceType": "AppointmentResponse",
                            "appointment": {"reference": "Appointment/nowhere"},
                            "actor": {"reference": "Patient/a"},
                            "participantStatus": "accepted",
                        },
                    ]
                )
            )
        )
    )
    places: list[tuple[Json, Json]] = []

    def walk(node: Json) -> None:
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            places.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(resource)
    for _ in range(draw(st.integers(1, 2))):
        node, key = draw(st.sampled_from(places))
        if isinstance(node, list):
            if key < len(node):
                node[key] = draw(TREES)
        elif draw(st.booleans()):
            node[key] = draw(TREES)
        else:
            node[draw(ELEMENTS)] = node.pop(key, draw(LEAVES))
    return resource


def submit(client: Client, server: Server, method: str, path: str, body: Json) -> None:
    """Send it; unless it was accepted, nothing may have changed."""
    before = server.everything()
    answer = client.send(method, path, json.dumps(body).encode())
    check(answer)
    if answer.status >= 400:
        assert server.everything() == before


@EXAMPLES
@given(data=st.data())
def test_any_json_is_refused_or_stored_as_it_is(
    client: Client, server: Server, parameters: dict[str, list[str]], data: st.DataObject
) -> None:
    """Create and update of every type with arbitrary trees."""
    name = data.draw(st.sampled_from(sorted(parameters)))
    body = data.draw(st.dictionaries(ELEMENTS | st.text(max_size=8), TREES, max_size=6) | TREES)
    if isinstance(body, dict) and data.draw(st.booleans()):
        body["resourceType"] = name
    if data.draw(st.booleans()):
        submit(client, server, "POST", name, body)
    else:
        if isinstance(body, dict) and data.draw(st.booleans()):
            body["id"] = "fuzz"
        submit(client, server, "PUT", f"{name}/fuzz", body)


@EXAMPLES
@given(body=spoilt(), update=st.booleans())
def test_nearly_valid_resources_are_refused_or_stored(
    client: Client, server: Server, body: Json, update: bool
) -> None:
    """One or two mistakes in something valid find more than noise does."""
    name = body.get("resourceType") if isinstance(body, dict) else None
    name = name if isinstance(name, str) and name.isalpha() and name.isascii() else "Patient"
    if update:
        submit(client, server, "PUT", f"{name}/spoilt", {**body, "id": "spoilt"})
    else:
        submit(client, server, "POST", name, body)


@EXAMPLES
@given(parameter=TREES, whole=st.booleans())
def test_operations_take_no_nonsense(
    client: Client, server: Server, parameter: Json, whole: bool
) -> None:
    """$book with arbitrary parameters."""
    body = parameter if whole else {"resourceType": "Parameters", "parameter": [parameter]}
    submit(client, server, "POST", "Appointment/$book", body)


@EXAMPLES
@given(body=st.binary(max_size=60))
def test_any_bytes_are_refused(client: Client, server: Server, body: bytes) -> None:
    """Bodies that are no JSON at all."""
    before = server.everything()
    answer = client.send("POST", "Patient", body)
    check(answer)
    assert answer.status == 400
    assert server.everything() == before


VALUES = (
    st.sampled_from(
        [
            "", "a", "|", "a|b", "|a", "a|", "a|b|c", "Patient/a", "http://x/Patient/a", "ge2026",
            "2026-02-30", "eq", "ap2026-01-01", "sa", "1.5", "1e400", "-0", "gt1|s|c", "a$b", "$",
            "\\", "\\,", ",", ",,", "a,b", "9" * 40, "0001", "9999-12-31T23:59:60Z", "24:00",
            "2026-01-01T00:00:00+99:99", "true", "*", "🦊", "42.1|-71.2|10|km", "0|0|-1|km",
            "91|181|1|km", "nan", "inf", "#x", "urn:uuid:x", "..", "%", ".*", "[", "(",
        ]
    )
    | st.text(max_size=12)
)  # fmt: skip
SUFFIXES = st.sampled_from(
    ["", "", "", ":missing", ":exact", ":not", ":", ".name", ":Patient.name"]
)
RESULTS = st.sampled_from(
    ["_count", "_sort", "_total", "_page", "_format", "_pretty", "_summary", "_include", "_has"]
)


@EXAMPLES
@given(data=st.data())
def test_any_search_is_answered_or_refused(
    client: Client, parameters: dict[str, list[str]], data: st.DataObject
) -> None:
    """Every declared parameter of every type with arbitrary values."""
    name = data.draw(st.sampled_from(sorted(parameters)))
    codes = st.sampled_from(parameters[name] or ["_id"]) | RESULTS | st.text(max_size=6)
    pairs = data.draw(st.lists(st.tuples(codes, SUFFIXES, VALUES), min_size=1, max_size=4))
    query = "&".join(f"{quote(code + suffix)}={quote(value)}" for code, suffix, value in pairs)
    lenient = data.draw(st.booleans())
    prefer = "handling=lenient" if lenient else None
    got = client.get(f"{name}?{query}", Prefer=prefer)
    check(got)
    form = {"Content-Type": "application/x-www-form-urlencoded", "Prefer": prefer}
    posted = client.send("POST", f"{name}/_search", query.encode(), form)
    assert posted.status == got.status


SEGMENTS = st.sampled_from(
    [
        "Patient", "Appointment", "Slot", "metadata", "_history", "_search", "$book", "$x", "a",
        "1", "", "..", ".", "%2F", "%00", "%FF", "a%20b", "é", "_history/1", "-", "\\", "*", "//",
    ]
) | st.text(alphabet=string.printable, max_size=8)  # fmt: skip
METHODS = st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "LINK"]
)


@EXAMPLES
@given(method=METHODS, segments=st.lists(SEGMENTS, max_size=6), query=st.text(max_size=10))
def test_any_address_is_answered_or_refused(
    client: Client, server: Server, method: str, segments: list[str], query: str
) -> None:
    """Every method on arbitrary paths, without a body."""
    before = server.everything()
    path = quote("/".join(segments), safe="/%$")
    answer = client.send(method, f"/fhir/{path}?{quote(query)}")
    check(answer, method)
    assert server.everything() == before


HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept", "Content-Type", "If-Match", "If-None-Match", "If-Modified-Since", "Prefer",
            "If-None-Exist", "X-Request-Id", "Authorization", "Accept-Charset", "Range", "Cookie",
            "X-Forwarded-Proto", "X-HTTP-Method-Override",
        ]
    ),
    st.text(alphabet=string.printable.replace("\r", "").replace("\n", "").strip(), max_size=20)
    | st.sampled_from(
        [
            'W/"1"', '"1"', "*", "application/json", "a/b;q=x", ";;;", "return=minimal",
            "Thu, 01 Jan 1970 00:00:00 GMT", "Bearer x", 'W/"99999999999999999999"', "bytes=0-1",
        ]
    ),
    max_size=5,
)  # fmt: skip


@EXAMPLES
@given(
    headers=HEADERS,
    request=st.sampled_from(
        [
            ("GET", "Patient/headers"),
            ("GET", "Patient?_id=headers"),
            ("PUT", "Patient/headers"),
            ("POST", "Patient"),
            ("DELETE", "Patient/headers"),
            ("GET", "Patient/headers/_history"),
            ("GET", "Patient/headers/_history/1"),
        ]
    ),
)
def test_any_headers_are_obeyed_or_refused(
    client: Client, server: Server, headers: dict[str, str], request: tuple[str, str]
) -> None:
    """Arbitrary values of the headers that this server reads."""
    method, path = request
    body = patient(id="headers") if method in ("PUT", "POST") else None
    before = server.everything()
    answer = client.send(method, path, body, headers)
    check(answer)
    if answer.status >= 400:
        assert server.everything() == before


@EXAMPLES
@given(rest=st.binary(max_size=80))
def test_broken_http_does_not_break_the_server(client: Client, rest: bytes) -> None:
    """A client that speaks no HTTP harms only itself."""
    parts = urlsplit(client.root)
    head = (
        f"POST /fhir/Patient HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {client.token}\r\nContent-Type: application/fhir+json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(head.encode() + rest)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    assert not answer.startswith(b"HTTP/1.1 5")
    assert client.get("metadata").status == 200
