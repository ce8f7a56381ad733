"""Searches of several types and in compartments."""

from collections.abc import Iterator

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import Answer, Client, Json, Server, patient, schedule, slot

FORM = "application/x-www-form-urlencoded"


def keys(answer: Answer) -> list[str]:
    """`Type/id` of the matches, in order."""
    assert answer.status == 200, answer.body
    return [
        f"{one['resource']['resourceType']}/{one['resource']['id']}"
        for one in answer.json.get("entry", [])
        if one["search"]["mode"] == "match"
    ]


class File:
    """What belongs to a Patient, and what does not; all of it with one tag.

    Attributes:
        tag: a tag that nothing else has.
        patient: `Patient/id`.
        own: what is in the compartment, in the order of its creation.
        all: everything that has the tag.
    """

    def __init__(self, client: Client) -> None:
        self.tag = f"urn:test|{time_ordered_id()}"
        system, _, code = self.tag.partition("|")
        meta = {"tag": [{"system": system, "code": code}]}

        def create(resource: Json) -> str:
            stored = client.created({**resource, "meta": meta})
            return f"{stored['resourceType']}/{stored['id']}"

        self.patient = create(patient())
        subject = {"reference": self.patient}
        note: Json = {"resourceType": "Communication", "status": "preparation"}
        self.own = [
            self.patient,
            create({**note, "subject": subject}),
            create({"resourceType": "Basic", "code": {"text": "x"}, "subject": subject}),
            create({**note, "status": "in-progress", "subject": subject}),
            create(
                {
                    "resourceType": "Appointment",
                    "status": "proposed",
                    "participant": [{"actor": subject, "status": "accepted"}],
                }
            ),
        ]
        self.all = [*self.own, create(note), create(patient())]


@pytest.fixture(scope="module")
def file(server: Server, operator_token: str) -> Iterator[File]:
    """The same for all tests, which only read."""
    opened = Client(server.base_url, operator_token)
    yield File(opened)
    opened.close()


def test_the_whole_system_is_searched(client: Client, file: File) -> None:
    """All types, in the order of their last update; the self link tells what was asked."""
    answer = client.get(f"?_tag={file.tag}&_total=accurate")
    assert keys(answer) == file.all
    assert answer.json["total"] == len(file.all)
    assert (answer.relation("self") or "").startswith(f"{client.base_url}?")
    assert keys(client.get(f"?_tag={file.tag}&_sort=-_lastUpdated")) == file.all[::-1]


def test_types_are_chosen(client: Client, file: File) -> None:
    """Their common parameters may be used."""
    notes = [one for one in file.all if one.startswith("Communication/")]
    assert keys(client.get(f"?_type=Communication&_tag={file.tag}")) == notes
    answer = client.get(
        f"?_type=Communication,Appointment&status=preparation,proposed&_tag={file.tag}"
    )
    assert keys(answer) == [file.own[1], file.own[4], file.all[5]]
    assert "_type=Appointment,Communication" in (answer.relation("self") or "")


def test_pages_of_several_types_show_each_match_once(client: Client, file: File) -> None:
    """In both directions, whatever the order and the size of the pages."""
    for sort in ("_lastUpdated", "-_lastUpdated", "_id", "-_id"):
        whole = keys(client.get(f"?_tag={file.tag}&_sort={sort}"))
        assert sorted(whole) == sorted(file.all)
        for count in (1, 2, 3):
            shown: list[str] = []
            url: str | None = f"?_tag={file.tag}&_sort={sort}&_count={count}"
            previous = None
            while url is not None:
                page = client.get(url)
                assert len(keys(page)) <= count
                shown += keys(page)
                previous, url = page.relation("previous"), page.relation("next")
            assert shown == whole
            first = whole
            while previous is not None:
                page = client.get(previous)
                first, previous = keys(page), page.relation("previous")
            assert first == whole[:count]


def test_a_page_of_one_search_is_none_of_another(client: Client, file: File) -> None:
    """Tokens are bound to the types and the compartment."""
    url = client.get(f"?_tag={file.tag}&_count=1").relation("next") or ""
    query = url.partition("?")[2]
    assert client.get(f"?_type=Communication&{query}").status == 400
    assert client.get(f"{file.patient}/*?{query}").status == 400
    assert client.get(f"Communication?{query}").status == 400


def test_a_compartment_holds_what_belongs_to_it(client: Client, file: File) -> None:
    """Of one type or of all, by GET or POST, with further criteria."""
    notes = [one for one in file.own if one.startswith("Communication/")]
    assert keys(client.get(f"{file.patient}/Communication")) == notes
    assert keys(client.get(f"{file.patient}/Communication?status=in-progress")) == notes[1:]
    assert keys(client.get(f"{file.patient}/Appointment")) == [file.own[4]]
    assert keys(client.get(f"{file.patient}/Patient")) == [file.patient]
    assert keys(client.get(f"{file.patient}/*")) == file.own
    assert keys(client.get(f"{file.patient}/*?_type=Basic,Communication")) == file.own[1:4]
    for path, form in ((f"{file.patient}/Communication/_search", "status=in-progress"),):
        posted = client.send("POST", path, form.encode(), {"Content-Type": FORM})
        assert keys(posted) == notes[1:]
    posted = client.send("POST", "_search", f"_tag={file.tag}".encode(), {"Content-Type": FORM})
    assert keys(posted) == file.all
    page = client.get(f"{file.patient}/*?_count=2")
    assert (page.relation("next") or "").startswith(f"{client.base_url}/{file.patient}/*?")
    assert keys(client.get(page.relation("next") or "")) == file.own[2:4]
    assert keys(client.get("Patient/nobody/Communication")) == []


def test_entries_of_a_batch_search_alike(client: Client, file: File) -> None:
    """Compartments and several types too."""
    paths = (f"{file.patient}/Communication", f"{file.patient}/*", f"?_tag={file.tag}", "Slot?x=y")
    entries = [{"request": {"method": "GET", "url": path}} for path in paths]
    batch = client.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert batch.status == 200, batch.body
    answered = batch.json["entry"]
    for entry, path in zip(answered[:2], paths[:2], strict=True):
        assert entry["resource"]["entry"] == client.get(path).json["entry"]
    assert answered[3]["response"]["status"].startswith("400")


def test_other_compartments_are_searched_too(client: Client) -> None:
    """A Practitioner's, for example."""
    doctor = client.created({"resourceType": "Practitioner", "name": [{"family": "D"}]})
    actor = {"reference": f"Practitioner/{doctor['id']}"}
    calendar = client.created(schedule(actor=[actor]))
    found = client.get(f"Practitioner/{doctor['id']}/Schedule?_revinclude=Slot:schedule")
    assert keys(found) == [f"Schedule/{calendar['id']}"]
    client.created(slot(calendar["id"], 1200))
    everything = client.get(f"Practitioner/{doctor['id']}/*?_include=Schedule:actor")
    assert f"Schedule/{calendar['id']}" in keys(everything)


def test_several_types_show_only_what_the_token_may_search(
    server: Server, client: Client, file: File
) -> None:
    """Types without a right are left out; named ones are refused; constraints and totals hold."""
    limited = Client(
        server.base_url, server.token("system/Communication.s?status=preparation system/Basic.s")
    )
    nothing = Client(server.base_url, server.token("system/Communication.r"))
    try:
        visible = [file.own[1], file.own[2], file.all[5]]
        answer = limited.get(f"?_tag={file.tag}&_total=accurate")
        assert keys(answer) == visible
        assert answer.json["total"] == 3
        assert keys(limited.get(f"{file.patient}/*")) == visible[:2]
        assert keys(limited.get(f"{file.patient}/Communication")) == visible[:1]
        assert limited.get(f"?_type=Communication,Patient&_tag={file.tag}").status == 403
        assert limited.get(f"{file.patient}/Appointment").status == 403
        for path in (f"?_tag={file.tag}", f"{file.patient}/*", "?_type=Communication"):
            assert nothing.get(path).status == 403
    finally:
        limited.close()
        nothing.close()


def test_summaries_counts_and_includes_work_for_several_types(client: Client, file: File) -> None:
    """As for one."""
    counted = client.get(f"?_tag={file.tag}&_summary=count")
    assert counted.json["total"] == len(file.all)
    assert "entry" not in counted.json
    included = client.get(
        f"?_type=Communication,Basic&_tag={file.tag}&_include=Communication:patient"
    )
    shown = [
        one["resource"]["id"]
        for one in included.json["entry"]
        if one["search"]["mode"] == "include"
    ]
    assert shown == [file.patient.partition("/")[2]]
    parts = client.get(f"?_type=Communication,Basic&_tag={file.tag}&_elements=status")
    assert all("SUBSETTED" in str(one["resource"]["meta"]) for one in parts.json["entry"])


@pytest.mark.parametrize(
    "path",
    [
        "?_type=Colour",
        "?_type=",
        "?_type=Task,",
        "?_type=Communication&_type=Slot",
        "?family=x",
        "?_type=Task,Patient&family=x",
        "?_type=Task,Slot&_sort=status",
        "?_sort=name",
        "?nonsense=x",
        "?_page=x",
        "Patient/x/*?_type=Slot",
        "Patient/x/*?nonsense=1",
    ],
)
def test_what_not_all_types_have_is_400(client: Client, path: str) -> None:
    """A refusal that says what to do."""
    assert client.get(path).status == 400


@pytest.mark.parametrize(
    "path", ["Patient/x/Slot", "Patient/x/Colour", "Slot/x/Patient", "Patient/!/Communication"]
)
def test_what_is_in_no_compartment_is_404(client: Client, path: str) -> None:
    """Slots belong to nobody's compartment."""
    assert client.get(path).status == 404


def test_anonymous_callers_are_refused(anonymous: Client) -> None:
    """Nothing is searched without a token."""
    for path in ("", "?_type=Slot", "Patient/x/*", "Patient/x/Communication"):
        assert anonymous.get(path).status == 401
