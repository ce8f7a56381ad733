"""What is read out of files that are to be loaded."""

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_server.client.sources import Item, Unreadable, read

PATIENT = {"resourceType": "Patient", "id": "a"}


def _read(folder: Path, name: str, content: bytes) -> tuple[list[Item], list[Unreadable]]:
    path = folder / name
    path.write_bytes(content)
    return read([path])


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_byte_order_mark_is_not_sent(name: str, tmp_path: Path) -> None:
    """Some programs write one; servers need not take it (RFC 8259, section 8.1)."""
    body = json.dumps(PATIENT).encode()
    items, unreadable = _read(tmp_path, name, b"\xef\xbb\xbf" + body)
    assert ([item.body for item in items], unreadable) == ([body], [])


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ("x", "Bundle.entry"),
        ([5], "Bundle.entry[0]"),
        ([{"resource": PATIENT}, {"fullUrl": "urn:x"}], "Bundle.entry[1]"),
        ([{"resource": {"id": "a"}}], "Bundle.entry[0]"),
        ([{"request": {"method": "DELETE", "url": "Patient/a"}}], "Bundle.entry[0]"),
    ],
)
def test_what_is_no_resource_in_a_bundle_is_told(entry: Any, place: str, tmp_path: Path) -> None:
    """Nothing of a file is passed over in silence."""
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entry}
    _, unreadable = _read(tmp_path, "b.json", json.dumps(bundle).encode())
    assert [one.origin for one in unreadable] == [f"{tmp_path / 'b.json'} {place}"]


def test_empty_bundle_holds_nothing(tmp_path: Path) -> None:
    """A Bundle without entries is no mistake."""
    assert _read(tmp_path, "b.json", b'{"resourceType":"Bundle"}') == ([], [])
