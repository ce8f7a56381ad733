"""How a Subscription is followed through the stream of its versions."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_server.store.events import Event, in_version_order
from fhir_server.subscriptions.lifecycle import SYSTEM, Followed

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(version: int, client: str = "billing", **more: Any) -> Event:
    return Event(
        f"Subscription/s/{version}",
        "Subscription",
        "s",
        version,
        "update",
        more.pop("at", AT),
        client,
        more.pop("scope", "system/*.rs"),
    )


def resource(status: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Subscription", "status": status, "criteria": "Basic?", **more}


def followed(*statuses: str | None) -> Followed:
    state = Followed("s")
    for version, status in enumerate(statuses, start=1):
        content = None if status is None else resource(status)
        client = SYSTEM.client_id if status in {"active", "error"} else "billing"
        state = state.after(event(version, client), content)
    return state


@pytest.mark.parametrize(
    ("statuses", "counting"),
    [
        (["requested"], False),
        (["requested", "active"], True),
        (["requested", "active", "error"], True),
        (["requested", "active", "error", "requested"], True),
        (["requested", "active", "off"], False),
        (["requested", "active", "off", "requested"], False),
        (["error"], False),
        (["off"], False),
        (["requested", "active", None], False),
        (["requested", "active", None, "requested"], False),
    ],
)
def test_counting_lasts_from_active_until_off(statuses: list[str | None], counting: bool) -> None:
    """Numbers are given from `active` on, also in `error`, until `off` or the deletion."""
    assert followed(*statuses).counting is counting


def test_server_is_never_the_owner() -> None:
    """Activation by the server leaves the client's rights with the Subscription."""
    state = followed("requested", "active")
    assert (state.client, state.scope) == ("billing", "system/*.rs")


def test_later_writer_is_the_owner() -> None:
    """The rights are those of the client that wrote last."""
    state = followed("requested", "active").after(
        event(3, "other", scope="system/Basic.r"), resource("active")
    )
    assert (state.client, state.scope, state.counting) == ("other", "system/Basic.r", True)


def test_end_in_the_past_neither_counts_nor_asks() -> None:
    """Past its end a Subscription is a record, whatever its status says."""
    for status in ("requested", "active"):
        ended = resource(status, end="2026-03-01T12:00:00Z")
        state = Followed("s", counting=True).after(event(1), ended)
        assert not state.counting
        assert not state.asks(AT)


def test_deletion_moves_the_start_behind_the_last_number() -> None:
    """A successor of the same id does not get what its predecessor was not told."""
    state = Followed("s", counting=True, last=7, start=1).after(event(3), None)
    assert (state.status, state.start, state.last) == ("deleted", 8, 7)


def test_document_round_trip() -> None:
    """What is stored gives the same state back."""
    state = followed("requested", "active")
    assert Followed.of({"_id": "s", **state.document}) == state


def test_versions_take_their_places_in_order() -> None:
    """Clocks that differ do not turn the versions of one resource around."""

    def one(logical_id: str, version: int) -> Event:
        return Event(f"Basic/{logical_id}/{version}", "Basic", logical_id, version, "update", AT)

    found = in_version_order([one("a", 2), one("b", 1), one("a", 1), one("b", 2), one("a", 3)])
    assert [event.key for event in found] == [
        "Basic/a/1",
        "Basic/b/1",
        "Basic/a/2",
        "Basic/b/2",
        "Basic/a/3",
    ]
