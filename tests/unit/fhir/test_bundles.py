"""Bundles of stored bytes."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from fhir_server.fhir import bundles

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
BASE = "http://localhost/fhir"


@dataclass(frozen=True)
class Found:
    """A stored resource."""

    type: str
    id: str
    json: bytes


def test_searchset_holds_the_stored_bytes_untouched() -> None:
    """Not a digit, a space or the order of keys changes."""
    stored = b'{"resourceType":"Slot","id":"a","x":1.50,"start":"2026-03-01T09:00:00+00:00"}'
    made = bundles.searchset(
        BASE, [Found("Slot", "a", stored)], links=[("self", f"{BASE}/Slot")], total=1
    )
    assert stored in made
    assert json.loads(made)["entry"][0]["fullUrl"] == f"{BASE}/Slot/a"
    assert json.loads(made)["entry"][0]["search"] == {"mode": "match"}
    assert json.loads(made)["total"] == 1
    assert json.loads(made)["link"] == [{"relation": "self", "url": f"{BASE}/Slot"}]


def test_empty_bundles_have_no_entry_and_unknown_totals_none() -> None:
    """R4 allows no empty arrays, and no total is better than a wrong one."""
    made = json.loads(bundles.searchset(BASE, [], links=[], total=None))
    assert made == {"resourceType": "Bundle", "type": "searchset"}


def test_warnings_are_an_entry_of_mode_outcome() -> None:
    """They count as no match."""
    outcome = {"resourceType": "OperationOutcome", "issue": []}
    made = json.loads(bundles.searchset(BASE, [], links=[], total=0, outcome=outcome))
    assert made["entry"] == [{"resource": outcome, "search": {"mode": "outcome"}}]


def test_history_tells_method_status_and_time_of_each_version() -> None:
    """A deletion has no resource; an update that created says so."""
    versions = [
        bundles.HistoryEntry("Slot", "a", 3, "DELETE", AT, b""),
        bundles.HistoryEntry("Slot", "a", 2, "PUT", AT, b'{"id":"a"}'),
        bundles.HistoryEntry("Slot", "a", 1, "POST", AT, b'{"id":"a"}'),
        bundles.HistoryEntry("Slot", "a", 1, "PUT", AT, b'{"id":"a"}'),
    ]
    made = json.loads(bundles.history(BASE, versions, links=[], total=4))
    assert made["type"] == "history"
    assert [one["request"] for one in made["entry"]] == [
        {"method": "DELETE", "url": "Slot/a"},
        {"method": "PUT", "url": "Slot/a"},
        {"method": "POST", "url": "Slot"},
        {"method": "PUT", "url": "Slot/a"},
    ]
    assert [one["response"]["status"] for one in made["entry"]] == [
        "204 No Content",
        "200 OK",
        "201 Created",
        "201 Created",
    ]
    assert "resource" not in made["entry"][0]
    assert made["entry"][0]["response"]["lastModified"].startswith("2026-03-01T09:00:00")
    assert {one["fullUrl"] for one in made["entry"]} == {f"{BASE}/Slot/a"}
