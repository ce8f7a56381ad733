"""`_sort` (https://hl7.org/fhir/R4/search.html#sort)."""

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import Client, Json, Server


def ids(bundle: Json) -> list[str]:
    """Of the matches, in order."""
    return [one["resource"]["id"] for one in bundle.get("entry", [])]


class People:
    """Patients of an organization that nobody else has.

    Attributes:
        query: finds them all.
    """

    def __init__(self, client: Client) -> None:
        organization = client.created({"resourceType": "Organization", "name": "People"})
        reference = f"Organization/{organization['id']}"
        self.query = f"Patient?organization={reference}"
        self.named: dict[str, str] = {}
        contents: dict[str, dict[str, Any]] = {
            "zoe": {"name": [{"family": "Zoe"}, {"family": "Bo"}], "birthDate": "1990"},
            "eva": {"name": [{"family": "éva"}], "birthDate": "1980-05", "gender": "female"},
            "eve": {"name": [{"family": "EVE"}], "birthDate": "1980-05", "gender": "male"},
            "ann": {"name": [{"family": "von Ann"}], "gender": "female"},
            "nil": {},
        }
        for key, content in contents.items():
            body = {**content, "managingOrganization": {"reference": reference}}
            self.named[client.created({"resourceType": "Patient", **body})["id"]] = key

    def order(self, client: Client, sort: str) -> list[str]:
        """Their keys as that sort orders them."""
        answer = client.get(f"{self.query}&_sort={sort}")
        assert answer.status == 200, answer.body
        assert f"_sort={sort}" in (answer.relation("self") or "")
        return [self.named[one] for one in ids(answer.json)]


@pytest.fixture(scope="module")
def people(server: Server, operator_token: str) -> Iterator[People]:
    """The same for all tests, which only read."""
    opened = Client(server.base_url, operator_token)
    yield People(opened)
    opened.close()


def test_strings_are_sorted_without_case_and_accents(client: Client, people: People) -> None:
    """Of several values the first in that order; what has none is the greatest."""
    assert people.order(client, "family") == ["zoe", "eva", "eve", "ann", "nil"]
    assert people.order(client, "-family") == ["nil", "zoe", "ann", "eve", "eva"]


def test_several_keys_each_have_a_direction(client: Client, people: People) -> None:
    """Ties of the first are ordered by the second, and at last by id."""
    assert people.order(client, "birthdate,-family") == ["eve", "eva", "zoe", "nil", "ann"]
    assert people.order(client, "gender,-birthdate") == ["ann", "eva", "eve", "nil", "zoe"]
    created = list(people.named.values())
    assert people.order(client, "active") == created
    assert people.order(client, "-active") == created[::-1]
    assert people.order(client, "organization,-_id") == created[::-1]


@pytest.mark.parametrize("sort", ["family", "-birthdate,family", "gender,-_lastUpdated", "active"])
def test_pages_keep_the_order_in_both_directions(client: Client, people: People, sort: str) -> None:
    """Every match once, whatever the size of the page."""
    whole = people.order(client, sort)
    for count in (1, 2, 4):
        shown: list[str] = []
        url: str | None = f"{people.query}&_sort={sort}&_count={count}"
        previous = None
        while url is not None:
            page = client.get(url)
            assert page.status == 200, page.body
            shown += [people.named[one] for one in ids(page.json)]
            previous, url = page.relation("previous"), page.relation("next")
        assert shown == whole
        first = whole
        while previous is not None:
            page = client.get(previous)
            first = [people.named[one] for one in ids(page.json)]
            previous = page.relation("previous")
        assert first == whole[:count]


def test_pages_are_stable_while_others_come(client: Client) -> None:
    """What is added before the position neither hides nor repeats anything."""
    organization = client.created({"resourceType": "Organization", "name": "Growing"})
    reference = {"reference": f"Organization/{organization['id']}"}

    def add(family: str) -> str:
        body = {"resourceType": "Patient", "name": [{"family": family}]}
        return str(client.created({**body, "managingOrganization": reference})["id"])

    first, second, third = add("A"), add("C"), add("E")
    page = client.get(f"Patient?organization={reference['reference']}&_sort=family&_count=2")
    assert ids(page.json) == [first, second]
    add("B")
    fourth = add("D")
    following = client.get(page.relation("next") or "")
    assert ids(following.json) == [fourth, third]


def test_a_sort_tells_nothing_of_what_is_out_of_reach(
    server: Server, client: Client, people: People
) -> None:
    """A narrow token sees its matches in order, and only them, on all pages."""
    limited = Client(server.base_url, server.token("system/Patient.s?gender=female"))
    try:
        assert people.order(limited, "-birthdate,family") == ["ann", "eva"]
        page = limited.get(f"{people.query}&_sort=family&_count=1&_total=accurate")
        assert page.json["total"] == 2
        assert page.relation("next") is not None
        last = limited.get(page.relation("next") or "")
        assert last.relation("next") is None
    finally:
        limited.close()


def test_every_sortable_parameter_sorts(client: Client) -> None:
    """All types, both directions."""
    for resource in client.get("metadata").json["rest"][0]["resource"]:
        for one in resource.get("searchParam", []):
            if one["type"] in {"composite", "special"} or one["name"] == "phonetic":
                continue
            answer = client.get(f"{resource['type']}?_sort=-{one['name']}&_count=3")
            assert answer.status == 200, (resource["type"], one["name"], answer.body)


def test_an_altered_page_of_a_computed_order_is_400(client: Client, people: People) -> None:
    """Positions with strings are signed too."""
    url = client.get(f"{people.query}&_sort=family&_count=1").relation("next") or ""
    assert client.get(url[:-3] + ("AAA" if not url.endswith("AAA") else "BBB")).status == 400
    assert client.get(url.replace("_sort=family", "_sort=-family")).status == 400


def test_long_and_strange_names_can_be_paged(client: Client) -> None:
    """Neither length nor script makes a link that is refused."""
    mark = f"q{time_ordered_id()}"
    for name in ("山" * 400, "Ж" * 400, "a" * 400, "\u200d\ufeff☃"):
        client.created({"resourceType": "Organization", "name": name, "alias": [mark]})
    url: str | None = f"Organization?name={mark}&_sort=-name,name:x&_count=1"
    assert client.get(url or "").status == 400
    url = f"Organization?name={mark}&_sort=name,address,-address-city,partof&_count=1"
    seen = 0
    while url is not None:
        page = client.get(url)
        assert page.status == 200, page.body
        seen += len(ids(page.json))
        url = page.relation("next")
    assert seen == 4
