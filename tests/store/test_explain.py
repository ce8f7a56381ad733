"""How MongoDB answers searches: from indexes, in a fixed number of commands."""

from urllib.parse import parse_qsl

import pytest
from click.testing import CliRunner

from fhir_server.commands.explain import command
from fhir_server.search.request import parse_search
from fhir_server.search.several import parse_several
from fhir_server.settings import Settings
from fhir_server.store.explain import Step, explain
from fhir_server.store.store import Store
from tests.fixtures_store import BASE_URL, NOW, context, creating, loaded


async def _filled(store: Store) -> None:
    """Twelve Patients, each with a Task."""
    for number in range(12):
        patient = {
            "resourceType": "Patient",
            "gender": "female" if number % 2 else "male",
            "name": [{"family": f"F{number}"}],
        }
        task = {
            "resourceType": "Task",
            "status": "draft" if number % 3 else "ready",
            "intent": "order",
            "for": {"reference": f"Patient/p{number}"},
        }
        await store.run(context(), creating(patient, f"p{number}"), interaction="create")
        await store.run(context(), creating(task, f"t{number}"), interaction="create")


async def _steps(store: Store, settings: Settings, kind: str, query: str) -> tuple[Step, ...]:
    request = parse_search(
        loaded().types[kind],
        parse_qsl(query, keep_blank_values=True),
        base_url=BASE_URL,
        limits=settings,
        now=NOW,
        registry=loaded(),
    )
    return await explain(await store.searches(context()), lambda one: one.page(request))


@pytest.mark.parametrize(
    ("kind", "query", "commands"),
    [
        ("Task", "", ["find"]),
        ("Task", "status=draft", ["find"]),
        ("Task", "status:not=draft", ["find"]),
        ("Task", "status:not=draft&_total=accurate", ["find", "count"]),
        ("Task", "_total=accurate&_count=0", ["count"]),
        ("Task", "code:missing=true&_count=0", ["count"]),
        ("Patient", "name:contains=x", ["find"]),
        ("Patient", "name:exact=F1", ["find"]),
        ("Patient", "_sort=family", ["aggregate"]),
        ("Patient", "_sort=-birthdate,family&gender:not=male", ["aggregate"]),
        ("Task", "patient.gender=female", ["find", "find"]),
        ("Task", "patient.gender:not=female", ["find", "find"]),
        ("Task", "patient.organization.name=x&patient.name=F1", ["find", "find", "find", "find"]),
        ("Patient", "_has:Task:patient:status=draft", ["aggregate", "find"]),
        ("Patient", "_has:Task:patient:status:not=draft", ["aggregate", "find"]),
        ("Task", "_include=Task:patient", ["find", "find"]),
        ("Patient", "_revinclude=Task:patient", ["find", "find"]),
        (
            "Patient",
            "gender=female&_revinclude=Task:patient&_include:iterate=Task:patient",
            ["find", "find"],
        ),
    ],
)
async def test_searches_are_few_commands_on_indexes(
    store: Store, settings: Settings, kind: str, query: str, commands: list[str]
) -> None:
    """Never the whole collection, and as many commands as there are hops, types and totals."""
    await _filled(store)
    steps = await _steps(store, settings, kind, query)
    assert sorted(one.command for one in steps) == sorted(commands)
    for one in steps:
        assert one.stages
        assert not one.scans_collection, one
        assert one.indexes or one.stages[0] in {"EOF", "IDHACK", "CLUSTERED_IDX"}, one


async def test_examined_counts_are_told(store: Store, settings: Settings) -> None:
    """A selective search looks at little more than it finds."""
    await _filled(store)
    (step,) = await _steps(store, settings, "Task", "patient=Patient/p3")
    assert (step.command, step.collection, step.returned) == ("find", "Task", 1)
    assert step.indexes[0][0] == "terms"
    assert step.documents == 1
    assert step.keys <= 2


async def test_searches_of_several_types_are_two_commands_for_each(
    store: Store, settings: Settings
) -> None:
    """One for the order and one for the resources; no collection is scanned."""
    await _filled(store)
    request = parse_several(
        loaded(),
        [("_type", "Patient,Task"), ("_total", "accurate")],
        base_url=BASE_URL,
        limits=settings,
        now=NOW,
    )
    steps = await explain(await store.searches(context()), lambda one: one.page_of_several(request))
    assert sorted(one.command for one in steps) == ["count"] * 2 + ["find"] * 4
    assert not any(one.scans_collection for one in steps)


def _run(settings: Settings, *arguments: str) -> tuple[int, str]:
    environment = {
        "FHIR_SERVER_MONGODB_URL": settings.mongodb_url,
        "FHIR_SERVER_DATABASE_PREFIX": settings.database_prefix,
    }
    result = CliRunner().invoke(command, arguments, env=environment)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "url",
    [
        "Slot?schedule=Schedule/1&status=free",
        "/Patient/1/Appointment?_total=accurate",
        "http://127.0.0.1:8000/fhir/Slot?schedule.actor=Practitioner/1",
        "?_type=Slot,Schedule",
    ],
)
def test_the_command_shows_the_plan(settings: Settings, url: str) -> None:
    """Any address that a client may search at."""
    code, output = _run(settings, url)
    assert code == 0, output
    assert output.startswith("1. find")
    assert "   plan      " in output
    assert "   examined  0 index entries" in output


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("Slot?colour=red", "'colour' is not known"),
        ("Slot/1", "this is no search"),
        ("Colour?x=y", "is not served here"),
        ("http://elsewhere.example/Slot", "does not begin with"),
    ],
)
def test_the_command_refuses_what_is_no_search(settings: Settings, url: str, says: str) -> None:
    """With the reason and exit code 1."""
    code, output = _run(settings, url)
    assert code == 1
    assert says in output
