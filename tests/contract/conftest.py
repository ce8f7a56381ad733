"""The real application on a real socket, with a real database, and a client for it."""

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from pymongo import MongoClient

from fhir_server import app
from fhir_server.context import system_clock
from fhir_server.settings import Settings
from fhir_server.store.database import Connection
from fhir_server.store.tokens import Tokens

FHIR_JSON = "application/fhir+json"
Json = Any


@dataclass(frozen=True)
class Answer:
    """An HTTP response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Json:
        """The parsed body."""
        return json.loads(self.body)

    @property
    def issues(self) -> list[Json]:
        """The issues of the OperationOutcome."""
        assert self.json["resourceType"] == "OperationOutcome", self.body
        return list(self.json["issue"])

    @property
    def codes(self) -> list[str]:
        """The issues' types."""
        return [one["code"] for one in self.issues]

    @property
    def expressions(self) -> list[str]:
        """Every place that the issues name."""
        return [place for one in self.issues for place in one.get("expression", [])]

    @property
    def id(self) -> str:
        """The resource's logical id."""
        return str(self.json["id"])

    def relation(self, name: str) -> str | None:
        """A Bundle's link."""
        return next((one["url"] for one in self.json["link"] if one["relation"] == name), None)


class Client:
    """Speaks HTTP as plainly as can be, so that nothing a test sends is put right on the way."""

    def __init__(self, base_url: str, token: str | None) -> None:
        self.base_url = base_url
        self.token = token
        parts = urlsplit(base_url)
        self.root = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=30)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Json = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send one request.

        Args:
            method: any HTTP method.
            path: below the FHIR base; with a leading slash, below the root; or an absolute URL.
            body: bytes as they are; anything else as JSON, with FHIR's content type.
            headers: added to the defaults; None takes one away.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent: dict[str, str | None] = {"Accept": FHIR_JSON}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        if data is not None:
            sent["Content-Type"] = FHIR_JSON
        sent |= headers or {}
        url = path.removeprefix(self.root)
        if not url.startswith("/"):
            url = f"{self._prefix}/{url}" if url else self._prefix
        given = {name: value for name, value in sent.items() if value is not None}
        try:
            self._connection.request(method, url, data, given)
            response = self._connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (http.client.HTTPException, OSError):
            self._connection.close()
            raise

    def get(self, path: str, **headers: str | None) -> Answer:
        """Read; keyword headers with underscores for dashes."""
        return self.send("GET", path, headers=_dashed(headers))

    def post(self, path: str, body: Json, **headers: str | None) -> Answer:
        """Create, or invoke an operation."""
        return self.send("POST", path, body, _dashed(headers))

    def put(self, path: str, body: Json, **headers: str | None) -> Answer:
        """Update."""
        return self.send("PUT", path, body, _dashed(headers))

    def delete(self, path: str, **headers: str | None) -> Answer:
        """Delete."""
        return self.send("DELETE", path, headers=_dashed(headers))

    def created(self, resource: Json) -> Json:
        """The resource as stored, after a create that must work."""
        answer = self.post(resource["resourceType"], resource)
        assert answer.status == 201, answer.body
        return answer.json

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _dashed(headers: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class Server:
    """The application, served from a thread of its own."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self.settings = settings
        self.base_url = settings.fhir_base
        self._database = MongoClient[dict[str, Json]](settings.mongodb_url, tz_aware=True)
        config = uvicorn.Config(
            app.create(settings),
            http="httptools",
            loop="asyncio",
            lifespan="on",
            access_log=False,
            server_header=False,
            log_config=None,
        )
        self._uvicorn = uvicorn.Server(config)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(listener,), daemon=True)
        self._thread.start()
        while not self._uvicorn.started:
            self._thread.join(0.01)
            if not self._thread.is_alive():
                raise RuntimeError("the application did not start") from self._failure

    def _run(self, listener: socket.socket) -> None:
        try:
            self._uvicorn.run([listener])
        except BaseException as error:
            self._failure = error
            raise

    @property
    def database(self) -> Any:
        """The tenant's database."""
        return self._database[f"{self.settings.database_prefix}_default"]

    def token(self, scope: str, client_id: str = "tests") -> str:
        """A new access token."""

        async def issue() -> str:
            connection = await Connection.open(self.settings)
            try:
                token, _ = await Tokens(connection.control).issue(
                    client_id, scope, now=system_clock(), seconds=3600
                )
            finally:
                await connection.close()
            return token

        return asyncio.run(issue())

    def everything(self) -> dict[str, int]:
        """How many documents each collection of resources, history, events and cells has."""
        names = self.database.list_collection_names()
        return {
            name: self.database[name].count_documents({})
            for name in sorted(names)
            if name != "audit" and not name.startswith("system.")
        } | {"versions": sum(one["v"] for name in names if name[:1].isupper()
                             and not name.endswith("_history")
                             for one in self.database[name].find({}, {"v": 1}))}  # fmt: skip

    def stop(self) -> None:
        """Let it finish and drop its data."""
        self._uvicorn.should_exit = True
        self._thread.join(20)
        for name in self._database.list_database_names():
            if name.startswith(f"{self.settings.database_prefix}_"):
                self._database.drop_database(name)
        self._database.close()


@pytest.fixture(scope="session")
def server(
    mongodb_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server for all contract tests of a worker; each test uses resources of its own."""
    running = start_server(mongodb_url, redis_url, tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


def start_server(mongodb_url: str, redis_url: str, folder: Path, **changed: Any) -> Server:
    """A server with databases of its own, on a free port."""
    # asyncio switches Nagle's algorithm off only for sockets that say that they are TCP.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    settings = Settings(
        mongodb_url=mongodb_url,
        redis_url=redis_url,
        port=port,
        database_prefix=f"contract{port}",
        data_dir=folder,
        demo=False,
        allow_loopback_endpoints=True,
        log_level="error",
        max_body_bytes=100_000,
        **changed,
    )
    return Server(settings, listener)


@pytest.fixture(scope="session")
def operator_token(server: Server) -> str:
    """May do everything."""
    return server.token("system/*.cruds")


@pytest.fixture
def client(server: Server, operator_token: str) -> Iterator[Client]:
    """A client that may do everything."""
    opened = Client(server.base_url, operator_token)
    yield opened
    opened.close()


@pytest.fixture
def anonymous(server: Server) -> Iterator[Client]:
    """A client without a token."""
    opened = Client(server.base_url, None)
    yield opened
    opened.close()


@pytest.fixture
def unchanged(server: Server) -> Iterator[None]:
    """Fails a test in which anything is written."""
    before = server.everything()
    yield
    assert server.everything() == before


PATIENT: Json = {
    "resourceType": "Patient",
    "name": [{"family": "Okafor", "given": ["Ada"]}],
    "birthDate": "1980-02-29",
}


def patient(**changed: Json) -> Json:
    """A Patient to submit."""
    return {**PATIENT, **changed}


def schedule(**changed: Json) -> Json:
    """A Schedule to submit."""
    return {
        "resourceType": "Schedule",
        "active": True,
        "actor": [{"reference": "Practitioner/somebody"}],
        **changed,
    }


def instant(minutes: int) -> str:
    """An instant in the future, so many minutes after midnight of the day after tomorrow."""
    midnight = system_clock().replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + timedelta(days=2, minutes=minutes)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def slot(schedule_id: str, start: int, minutes: int = 15, **changed: Json) -> Json:
    """A free Slot to submit."""
    return {
        "resourceType": "Slot",
        "schedule": {"reference": f"Schedule/{schedule_id}"},
        "status": "free",
        "start": instant(start),
        "end": instant(start + minutes),
        **changed,
    }


def appointment(slots: list[Json], **changed: Json) -> Json:
    """A booked Appointment that fills the slots."""
    built: Json = {
        "resourceType": "Appointment",
        "status": "booked",
        "participant": [{"actor": {"reference": "Patient/ada"}, "status": "accepted"}],
    }
    if slots:
        built["slot"] = [{"reference": f"Slot/{one['id']}"} for one in slots]
        built["start"] = min(one["start"] for one in slots)
        built["end"] = max(one["end"] for one in slots)
    return {**built, **changed}
