"""history of a type and of everything (https://hl7.org/fhir/R4/http.html#history)."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest

from fhir_server.context import system_clock
from fhir_server.fhir.dates import format_instant, parse_instant
from tests.contract.conftest import Client, Json, Server, patient, schedule, slot, start_server
from tests.contract.test_transaction import entry, send


@pytest.fixture(scope="module")
def server(
    mongodb_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that nothing but this module writes to."""
    running = start_server(mongodb_url, redis_url, tmp_path_factory.mktemp("history"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def operator_token(server: Server) -> str:
    """May do everything."""
    return server.token("system/*.cruds")


def now() -> str:
    """This moment, later than all that was written before; what comes next is later."""
    time.sleep(0.003)
    moment = format_instant(system_clock() + timedelta(milliseconds=1))
    time.sleep(0.003)
    return moment


def follow(client: Client, url: str | None) -> list[Json]:
    """The entries of all pages."""
    entries: list[Json] = []
    while url is not None:
        page = client.get(url)
        assert page.status == 200, page.body
        entries += page.json.get("entry", [])
        url = page.relation("next")
    return entries


def told(entries: list[Json], base_url: str) -> list[tuple[str, str]]:
    """Address and method of each."""
    return [
        (one["fullUrl"].removeprefix(f"{base_url}/"), one["request"]["method"]) for one in entries
    ]


@pytest.mark.parametrize("path", ["Basic/_history", "_history"])
def test_newest_first_with_deletions(client: Client, server: Server, path: str) -> None:
    """Of every resource, in the words of an instance's history."""
    start = now()
    basic = {"resourceType": "Basic", "code": {"text": "x"}}
    one, two = client.created(basic), client.created(basic)
    time.sleep(0.003)
    client.put(f"Basic/{one['id']}", {**basic, "id": one["id"]})
    time.sleep(0.003)
    client.delete(f"Basic/{two['id']}")
    answer = client.get(f"{path}?_since={start}")
    assert answer.json["type"] == "history"
    entries = answer.json["entry"]
    assert told(entries, server.base_url)[:2] == [
        (f"Basic/{two['id']}", "DELETE"),
        (f"Basic/{one['id']}", "PUT"),
    ]
    assert "resource" not in entries[0]
    assert [each["response"]["status"][:3] for each in entries] == ["204", "200", "201", "201"]
    assert {each["resource"]["id"] for each in entries[2:]} == {one["id"], two["id"]}
    assert client.send("HEAD", path).status == 200


@pytest.mark.parametrize("path", ["Patient/_history", "_history"])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_pages_show_everything_once(client: Client, path: str, count: int) -> None:
    """Also what was written in one millisecond, and while the pages are read."""
    start = now()
    bundle = [entry("POST", "Patient", patient()) for _ in range(5)]
    bundle += [entry("POST", "Schedule", schedule()) for _ in range(5)]
    send(client, *bundle)
    stored = client.created(patient())
    client.put(f"Patient/{stored['id']}", patient(id=stored["id"]))
    whole = follow(client, f"{path}?_since={start}")
    expected = 12 if path == "_history" else 7
    assert len(whole) == expected
    first = client.get(f"{path}?_since={start}&_count={count}")
    client.created(patient())
    rest = follow(client, first.relation("next"))
    seen = [*first.json["entry"], *rest]
    assert seen == whole
    assert all(len(one) for one in seen)
    written = [one["response"]["lastModified"] for one in whole]
    assert written == sorted(written, reverse=True)


def test_versions_of_one_resource_are_in_order(client: Client) -> None:
    """Even if they share a millisecond."""
    start = now()
    stored = client.created(patient())
    for _ in range(12):
        client.put(f"Patient/{stored['id']}", patient(id=stored["id"]))
    found = follow(client, f"Patient/_history?_since={start}&_count=4")
    versions = [int(one["resource"]["meta"]["versionId"]) for one in found]
    assert versions == list(range(13, 0, -1))


@pytest.mark.parametrize("path", ["Schedule/_history", "_history"])
def test_at_shows_the_state_of_that_time(client: Client, server: Server, path: str) -> None:
    """What was current then, deletions included; nothing older and nothing newer."""
    kept = client.created(schedule())
    changed = client.created(schedule())
    gone = client.created(schedule())
    client.put(f"Schedule/{changed['id']}", schedule(id=changed["id"]))
    client.delete(f"Schedule/{gone['id']}")
    then = now()
    client.put(f"Schedule/{changed['id']}", schedule(id=changed["id"]))
    client.created(schedule())
    mine = {f"Schedule/{one['id']}" for one in (kept, changed, gone)}

    def at(query: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in follow(client, f"{path}?_count=3&_at={query}"):
            address = one["fullUrl"].removeprefix(f"{server.base_url}/")
            if address in mine:
                version = one.get("resource", {}).get("meta", {}).get("versionId", "gone")
                found.setdefault(address, []).append(version)
        return found

    assert at(then) == {
        f"Schedule/{kept['id']}": ["1"],
        f"Schedule/{changed['id']}": ["2"],
        f"Schedule/{gone['id']}": ["gone"],
    }
    assert at("2999")[f"Schedule/{changed['id']}"] == ["3"]
    assert at("1999") == {}
    today = at(then[:10])
    assert today[f"Schedule/{changed['id']}"] == ["3", "2", "1"]
    assert today[f"Schedule/{gone['id']}"] == ["gone", "1"]


@pytest.mark.parametrize("path", ["Patient/_history", "_history"])
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("_count=x", "value"),
        ("_count=1&_count=2", "value"),
        ("_since=yesterday", "value"),
        ("_at=yesterday", "value"),
        ("_at=2026&_at=2026", "value"),
        ("_page=x", "invalid"),
        ("_sort=_lastUpdated", "not-supported"),
        ("name=x", "not-supported"),
    ],
)
def test_malformed_or_unknown_parameters_are_400(
    client: Client, path: str, query: str, code: str
) -> None:
    """Nothing is silently ignored."""
    answer = client.get(f"{path}?{query}")
    assert answer.status == 400
    assert set(answer.codes) == {code}


def test_a_page_belongs_to_its_query(client: Client) -> None:
    """An altered or borrowed token is refused."""
    for _ in range(3):
        client.created(patient())
    token = (client.get("Patient/_history?_count=1").relation("next") or "").partition("_page=")[2]
    assert client.get(f"Patient/_history?_count=1&_page={token}").status == 200
    other = "B" if token[-1] == "A" else "A"
    for url in (
        f"Patient/_history?_count=2&_page={token}",
        f"Schedule/_history?_count=1&_page={token}",
        f"_history?_count=1&_page={token}",
        f"Patient/_history?_count=1&_page={token[:-2]}{other}{token[-1]}",
    ):
        assert client.get(url).status == 400, url


def test_count_zero_has_no_entries(client: Client) -> None:
    """And no other page."""
    answer = client.get("_history?_count=0")
    assert "entry" not in answer.json
    assert answer.relation("next") is None


@pytest.fixture
def limited(server: Server) -> Iterator[Callable[[str], Client]]:
    """Makes clients with narrow tokens."""
    opened: list[Client] = []

    def make(scope: str) -> Client:
        opened.append(Client(server.base_url, server.token(scope)))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_only_types_that_may_be_read(client: Client, limited: Callable[[str], Client]) -> None:
    """Others are left out of the whole, and forbidden alone."""
    owner = client.created(schedule())
    client.created(slot(owner["id"], 0))
    client.created(patient())
    reader = limited("system/Slot.r system/Patient.s")
    found = follow(reader, "_history?_count=50")
    assert {one["resource"]["resourceType"] for one in found} == {"Slot"}
    assert reader.get("Patient/_history").status == 403
    assert limited("system/Slot.cuds").get("_history").status == 403


def test_only_resources_that_may_be_read(client: Client, limited: Callable[[str], Client]) -> None:
    """As in the history of one: what is out of reach takes its old versions along."""
    start = quote(now())
    seen = client.created(patient(gender="female"))
    left = client.created(patient(gender="female"))
    client.put(f"Patient/{left['id']}", patient(id=left["id"], gender="male"))
    gone = client.created(patient(gender="female"))
    client.delete(f"Patient/{gone['id']}")
    client.created(patient(gender="male"))
    reader = limited("system/Patient.r?gender=female")
    for path in ("Patient/_history", "_history"):
        found = follow(reader, f"{path}?_since={start}&_count=2")
        assert [one["resource"]["id"] for one in found] == [seen["id"]]


def test_times_are_those_of_the_answers(client: Client) -> None:
    """The lastModified of an entry is its meta.lastUpdated."""
    client.created(patient())
    newest = client.get("Patient/_history?_count=1").json["entry"][0]
    assert parse_instant(newest["response"]["lastModified"]) == parse_instant(
        newest["resource"]["meta"]["lastUpdated"]
    )
