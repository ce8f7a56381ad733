"""search-type (https://hl7.org/fhir/R4/http.html#search)."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import Client, Json, Server, patient

FORM = "application/x-www-form-urlencoded"


def family(client: Client, count: int) -> str:
    """So many Patients of a family name that nobody else has."""
    name = f"Q{time_ordered_id()}"
    for number in range(count):
        client.created(patient(name=[{"family": name, "given": [f"G{number}"]}]))
    return name


def ids(bundle: Json) -> list[str]:
    """Of the matches, in order."""
    return [
        one["resource"]["id"] for one in bundle.get("entry", []) if one["search"]["mode"] == "match"
    ]


def test_search_answers_a_searchset(client: Client, server: Server) -> None:
    """Matches with fullUrl and mode; a self link that shows what was used."""
    name = family(client, 2)
    answer = client.get(f"Patient?family={name}")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    bundle = answer.json
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    assert len(ids(bundle)) == 2
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert entry["fullUrl"] == f"{server.base_url}/Patient/{resource['id']}"
        assert resource == client.get(f"Patient/{resource['id']}").json
    link = urlsplit(answer.relation("self") or "")
    assert f"{link.scheme}://{link.netloc}{link.path}" == f"{server.base_url}/Patient"
    assert ("family", name) in parse_qsl(link.query)


def test_links_use_the_configured_base_and_not_the_host_header(
    client: Client, server: Server
) -> None:
    """A forged Host header leads nobody astray."""
    name = family(client, 2)
    answer = client.get(f"Patient?family={name}&_count=1", Host="evil.example")
    assert all(one["url"].startswith(f"{server.base_url}/") for one in answer.json["link"])


def test_search_by_post_is_the_same_as_by_get(client: Client) -> None:
    """Parameters of body and address are taken together."""
    name = family(client, 3)
    got = client.get(f"Patient?family={name}&given=G1")
    for path, form in [
        ("Patient/_search", f"family={name}&given=G1"),
        (f"Patient/_search?family={name}", "given=G1"),
        (f"Patient/_search?family={name}&given=G1", ""),
    ]:
        posted = client.send("POST", path, form.encode(), {"Content-Type": FORM})
        assert posted.status == 200, posted.body
        assert ids(posted.json) == ids(got.json)
        assert len(ids(posted.json)) == 1


def test_form_may_ask_for_format_and_pretty(client: Client) -> None:
    """They are no search parameters there either."""
    asked = b"_id=nowhere&_format=json&_pretty=true"
    answer = client.send("POST", "Patient/_search", asked, {"Content-Type": FORM, "Accept": "a/b"})
    assert answer.status == 200
    assert answer.body.startswith(b"{\n")


def test_search_by_post_takes_forms_only(client: Client) -> None:
    """415 for JSON; a body that is no form in spite of its type is 400."""
    assert client.post("Patient/_search", {"family": "x"}).status == 415
    answer = client.send("POST", "Patient/_search", b"a=\xff", {"Content-Type": FORM})
    assert answer.status == 400


def test_pages_are_stable_and_linked_both_ways(client: Client) -> None:
    """Following next shows every match once; previous leads back to the first page."""
    name = family(client, 5)
    pages: list[list[str]] = []
    url: str | None = f"Patient?family={name}&_count=2"
    previous = None
    while url is not None:
        page = client.get(url)
        assert len(ids(page.json)) <= 2
        pages.append(ids(page.json))
        previous = page.relation("previous")
        url = page.relation("next")
    assert len({one for page in pages for one in page}) == 5
    assert [len(page) for page in pages] == [2, 2, 1]
    assert previous is not None
    assert ids(client.get(previous).json) == pages[1]


def test_an_altered_page_link_is_400(client: Client) -> None:
    """Page tokens are signed and bound to their search."""
    name = family(client, 2)
    url = client.get(f"Patient?family={name}&_count=1").relation("next") or ""
    assert client.get(url[:-3] + ("AAA" if not url.endswith("AAA") else "BBB")).status == 400
    assert client.get(url.replace(name, "other")).status == 400
    assert client.get("Patient?_page=x").status == 400


def test_total_is_told_when_asked_for(client: Client) -> None:
    """`_total=accurate` counts matches of all pages."""
    name = family(client, 3)
    assert client.get(f"Patient?family={name}&_count=1&_total=accurate").json["total"] == 3


def test_count_zero_only_counts(client: Client) -> None:
    """Total, no entries, no page links."""
    name = family(client, 3)
    answer = client.get(f"Patient?family={name}&_count=0")
    assert answer.json["total"] == 3
    assert "entry" not in answer.json
    assert [one["relation"] for one in answer.json["link"]] == ["self"]


@pytest.mark.parametrize(
    "query",
    [
        "nonsense=1",
        "family:nonsense=x",
        "birthdate=notadate",
        "birthdate=2026-13-01",
        "_count=x",
        "_count=-1",
        "_sort=nonsense",
        "general-practitioner.nonsense=x",
        "_include=Patient:nonsense",
        "_has:Appointment:patient:nonsense=1",
        "family=%ff",
        "family=%00",
        "_pretty=maybe",
        "&".join(["family=a"] * 60),
        "family=" + "a" * 5000,
    ],
)
def test_unknown_or_malformed_parameters_are_400(client: Client, query: str) -> None:
    """Never answered with the unfiltered set."""
    answer = client.get(f"Patient?{query}")
    assert answer.status == 400
    assert all(one["severity"] == "error" for one in answer.issues)


def test_all_problems_of_a_query_are_told_at_once(client: Client) -> None:
    """One round trip per mistake would be cruel."""
    assert len(client.get("Patient?nonsense=1&birthdate=x&_count=y").issues) == 3


def test_lenient_clients_get_a_warning_and_an_honest_self_link(client: Client) -> None:
    """The unknown parameter is left out of the self link and named in an outcome entry."""
    name = family(client, 1)
    answer = client.get(f"Patient?family={name}&nonsense=1", Prefer="handling=lenient")
    assert answer.status == 200
    assert len(ids(answer.json)) == 1
    outcome = [e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "outcome"]
    assert len(outcome) == 1
    assert "nonsense" in outcome[0]["issue"][0]["diagnostics"]
    assert outcome[0]["issue"][0]["severity"] == "warning"
    assert "nonsense" not in (answer.relation("self") or "")


def test_lenient_clients_are_still_refused_modifiers(client: Client) -> None:
    """An unsupported modifier SHALL be refused."""
    answer = client.get("Patient?family:nonsense=x", Prefer="handling=lenient")
    assert answer.status == 400


def test_strict_is_the_default_and_may_be_asked_for(client: Client) -> None:
    """`handling=strict` changes nothing."""
    assert client.get("Patient?nonsense=1", Prefer="handling=strict").status == 400


def test_search_by_post_is_bounded(client: Client) -> None:
    """What would keep the server busy for long is refused before it is looked at."""
    asked = b"birthdate=" + b",".join([b"ne2026"] * 10_000)
    answer = client.send("POST", "Patient/_search", asked, {"Content-Type": FORM})
    assert answer.status == 413
    assert "16000" in answer.json["issue"][0]["diagnostics"]
    most = b"birthdate=" + b",".join([b"ne2026"] * 2_000)
    assert client.send("POST", "Patient/_search", most, {"Content-Type": FORM}).status == 200


def test_pages_of_a_long_form_can_be_followed(client: Client) -> None:
    """The link to the next page repeats the form in the address; it is not too long for us."""
    name = family(client, 3)
    others = ",".join(f"no-such-name-{number:06d}" for number in range(400))
    asked = f"family={name},{others}&_count=2".encode()
    first = client.send("POST", "Patient/_search", asked, {"Content-Type": FORM}).json
    address = next(link["url"] for link in first["link"] if link["relation"] == "next")
    assert len(address) > 4_000
    second = client.get(address.partition("/fhir/")[2])
    assert second.status == 200
    assert len({*ids(first), *ids(second.json)}) == 3


def test_head_of_a_search_has_no_body(client: Client) -> None:
    """HEAD goes wherever GET does."""
    answer = client.send("HEAD", "Patient?_id=nowhere")
    assert (answer.status, answer.body) == (200, b"")


def test_every_type_can_be_searched(client: Client) -> None:
    """Each declared type answers a search without parameters."""
    statement = client.get("metadata").json
    for resource in statement["rest"][0]["resource"]:
        if {"code": "search-type"} in resource["interaction"]:
            answer = client.get(f"{resource['type']}?_count=1")
            assert answer.status == 200, (resource["type"], answer.body)
