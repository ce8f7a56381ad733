"""Bundles and patches of every kind: never a 5xx, and no transaction that is half done."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import Client, Server, appointment, patient, slot, start_server
from tests.property.test_http_fuzz import TREES, check

Json = Any

EXAMPLES = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def server(
    mongodb_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that nothing but this module writes to."""
    running = start_server(mongodb_url, redis_url, tmp_path_factory.mktemp("bundles"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    """May do everything."""
    opened = Client(server.base_url, server.token("system/*.cruds"))
    for name in ("a", "b"):
        opened.put(f"Patient/{name}", patient(id=name))
    yield opened
    opened.close()


URLS = st.sampled_from(
    [
        "Patient", "Patient/a", "Patient/b", "Patient/none", "Patient?identifier=x",
        "Patient?_id=a", "Patient?nonsense=1", "Patient/a/_history", "Patient/a/_history/1",
        "Slot", "Appointment", "Appointment/x", "Appointment/$book", "metadata", "", "/", "//",
        "Nonsense", "Patient/_search", "$x", "Patient/a?x=y", "Patient?", "?", "Patient/%FF",
        "http://x/Patient/a", "urn:uuid:1", "Bundle", "_history", "Patient/_history",
    ]
)  # fmt: skip
NAMES = st.sampled_from(["urn:uuid:1", "urn:uuid:2", "http://x/fhir/Patient/1", "", "Patient/a"])
REFERENCES = st.sampled_from(
    ["urn:uuid:1", "urn:uuid:2", "Patient/1", "Patient/a", "Patient?identifier=x", "Patient?_id=a",
     "Nonsense?x=1", "Patient?", "#x", "http://x/fhir/Patient/1/_history/2"]
)  # fmt: skip
OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "nonsense"]),
        "path": st.sampled_from(
            ["", "/", "/name", "/name/0", "/name/-", "/name/0/given/1", "/id", "/meta", "/x/y",
             "/resourceType", "/active", "/name/0/family", "name", "/~2"]
        ),
    },
    optional={
        "from": st.sampled_from(["", "/name", "/name/0", "/meta", "/x", "y"]),
        "value": TREES,
    },
)  # fmt: skip
PARTS = st.lists(
    st.one_of(
        st.builds(
            lambda value: {"name": "type", "valueCode": value},
            st.sampled_from(["add", "insert", "delete", "replace", "move", "x"]),
        ),
        st.builds(
            lambda value: {"name": "path", "valueString": value},
            st.sampled_from(
                ["Patient", "Patient.name", "Patient.name[0]", "Patient.name[0].given",
                 "Patient.name.where(family='Okafor')", "Patient.birthDate", "Patient.deceased",
                 "Patient.name.where(", "Patient.name.where(x = 1)", "Patient.name.ofType(x)",
                 "Patient.extension('x')", "Patient.id", "Group.x", "", "Patient..x", "Resource",
                 "Patient.name.where(given.where(family = 'x').exists())", "Patient.meta"]
            ),
        ),
        st.builds(
            lambda value: {"name": "name", "valueString": value},
            st.sampled_from(["name", "active", "deceased", "id", "x", "contact", "resourceType"]),
        ),
        st.builds(
            lambda name, value: {"name": name, "valueInteger": value},
            st.sampled_from(["index", "source", "destination"]),
            st.integers(-1, 3),
        ),
        st.builds(lambda value: {"name": "value", **value}, st.sampled_from([
            {"valueString": "x"}, {"valueBoolean": True}, {"valueHumanName": {"family": "x"}},
            {"part": [{"name": "name", "valueHumanName": {"text": "x"}}]}, {"resource": {}}, {},
            {"valueX": 7}, {"part": [{"name": "gender", "part": []}]}, {"part": [7]},
        ])),
        TREES,
    ),
    max_size=5,
    unique_by=lambda part: json.dumps(part.get("name") if isinstance(part, dict) else part),
)  # fmt: skip
PARAMETERS = st.builds(
    lambda operations: {
        "resourceType": "Parameters",
        "parameter": [{"name": "operation", "part": parts} for parts in operations],
    },
    st.lists(PARTS, min_size=1, max_size=3),
)


@st.composite
def referring(draw: st.DrawFn) -> Json:
    """A resource with links in many places."""
    link = draw(REFERENCES)
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{link}">x</a></div>'
    return {
        "resourceType": "Basic",
        "text": {"status": "generated", "div": div},
        "code": {"text": "x"},
        "subject": {"reference": draw(REFERENCES)},
        "extension": [{"url": "urn:x", "valueUri": draw(REFERENCES)}, draw(TREES)],
    }


RESOURCES = st.one_of(
    st.sampled_from([patient(), patient(id="a"), slot("nowhere", 0), appointment([])]),
    PARAMETERS,
    referring(),
    TREES,
)


@st.composite
def entries(draw: st.DrawFn) -> Json:
    """One entry, more or less right."""
    request: Json = {
        "method": draw(st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "X"])),
        "url": draw(URLS),
    }
    for name in ("ifMatch", "ifNoneMatch", "ifNoneExist", "ifModifiedSince"):
        if draw(st.integers(0, 9)) == 0:
            request[name] = draw(st.sampled_from(['W/"1"', "*", "identifier=x", "", 7, "ü"]))
    built: Json = {"request": request}
    if draw(st.booleans()):
        built["fullUrl"] = draw(NAMES)
    if draw(st.integers(0, 3)):
        built["resource"] = draw(RESOURCES)
    return draw(TREES) if draw(st.integers(0, 19)) == 0 else built


@EXAMPLES
@given(kind=st.sampled_from(["batch", "transaction"]), sent=st.lists(entries(), max_size=5))
def test_bundles(client: Client, server: Server, kind: str, sent: list[Json]) -> None:
    """A transaction answers 200 or has changed nothing; a batch answers each entry."""
    before = server.everything()
    answer = client.post("", {"resourceType": "Bundle", "type": kind, "entry": sent})
    check(answer)
    if answer.status != 200:
        assert server.everything() == before
        return
    told = answer.json.get("entry", [])
    assert len(told) == len(sent)
    assert not any(one["response"]["status"].startswith("5") for one in told), answer.body


@EXAMPLES
@given(operations=st.lists(OPERATIONS, max_size=4))
def test_json_patches(client: Client, server: Server, operations: list[Json]) -> None:
    """A new version or nothing."""
    before = server.everything()
    kind = {"Content-Type": "application/json-patch+json"}
    answer = client.send("PATCH", "Patient/a", operations, kind)
    check(answer)
    if answer.status != 200:
        assert server.everything() == before


@EXAMPLES
@given(parameters=PARAMETERS)
def test_fhirpath_patches(client: Client, server: Server, parameters: Json) -> None:
    """A new version or nothing."""
    before = server.everything()
    answer = client.send("PATCH", "Patient/b", parameters)
    check(answer)
    if answer.status != 200:
        assert server.everything() == before
