"""Reads resources out of files and folders: JSON, NDJSON, Bundles.

What comes out is in the order in which a server that keeps referential integrity can take it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fhir_server.fhir import codec, errors
from fhir_server.fhir.types import Json, Resource

MAX_DEPTH = 200
RANK = {
    "Organization": 0,
    "Location": 1,
    "Practitioner": 1,
    "Patient": 1,
    "HealthcareService": 2,
    "PractitionerRole": 2,
    "Schedule": 3,
    "Slot": 4,
    "Appointment": 6,
    "AppointmentResponse": 7,
    "Encounter": 8,
    "Subscription": 9,
}
DEFAULT_RANK = 5
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
URN = re.compile(r"^urn:uuid:([0-9a-fA-F-]{36})$")


@dataclass(frozen=True, slots=True)
class Item:
    """One resource to load.

    Attributes:
        origin: the file and, if there is more than one in it, the place.
        type: the resource type.
        id: its logical id; None lets the server choose one.
        body: the bytes to send.
    """

    origin: str
    type: str
    id: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something in the files that is no resource."""

    origin: str
    problem: str


def files(paths: Iterable[Path]) -> list[Path]:
    """The `.json` and `.ndjson` files named, and those in the folders named, sorted."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix in (".json", ".ndjson"))
        else:
            found.append(path)
    return found


def read(paths: Iterable[Path]) -> tuple[list[Item], list[Unreadable]]:
    """Every resource of the files, those that others refer to first."""
    items: list[Item] = []
    unreadable: list[Unreadable] = []
    for path in files(paths):
        for found in _read_file(path):
            if isinstance(found, Item):
                items.append(found)
            else:
                unreadable.append(found)
    items.sort(key=lambda item: RANK.get(item.type, DEFAULT_RANK))
    return items, unreadable


def _read_file(path: Path) -> Iterator[Item | Unreadable]:
    if path.suffix == ".ndjson":
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield from _read_body(line.strip(), f"{path}:{number}")
    else:
        yield from _read_body(path.read_bytes(), str(path))


def _read_body(body: bytes, origin: str) -> Iterator[Item | Unreadable]:
    body = body.removeprefix(_BYTE_ORDER_MARK)
    try:
        resource = codec.parse(body, max_depth=MAX_DEPTH)
    except errors.FhirError as error:
        yield Unreadable(origin, error.diagnostics)
        return
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        yield Unreadable(origin, "no resourceType")
    elif kind == "Bundle":
        yield from _read_bundle(resource, origin)
    else:
        yield Item(origin, kind, _id(resource), body)


def _id(resource: Resource) -> str | None:
    found = resource.get("id")
    return found if isinstance(found, str) else None


def _read_bundle(bundle: Resource, origin: str) -> Iterator[Item | Unreadable]:
    """The entries; an entry known only by `urn:uuid:` keeps that UUID as its id.

    So a Bundle can be loaded again without making its resources twice.
    """
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        yield Unreadable(f"{origin} Bundle.entry", "must be a list")
        return
    resources: list[tuple[int, Json, Resource]] = []
    for number, entry in enumerate(entries):
        if _is_resource(entry):
            resources.append((number, entry.get("fullUrl"), entry["resource"]))
        else:
            yield Unreadable(f"{origin} Bundle.entry[{number}]", "holds no resource")
    renamed: dict[str, str] = {}
    for _, url, resource in resources:
        known = URN.match(url) if isinstance(url, str) else None
        if known:
            resource["id"] = _id(resource) or known[1]
            renamed[str(url)] = f"{resource['resourceType']}/{resource['id']}"
    for number, _, resource in resources:
        _rename(resource, renamed)
        place = f"{origin} Bundle.entry[{number}]"
        yield Item(place, resource["resourceType"], _id(resource), codec.encode(resource))


def _is_resource(entry: Json) -> bool:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    return isinstance(resource, dict) and isinstance(resource.get("resourceType"), str)


def _rename(value: Json, renamed: dict[str, str]) -> None:
    """Replaces references by fullUrl with `Type/id`, in place."""
    if isinstance(value, list):
        for each in value:
            _rename(each, renamed)
    elif isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str) and reference in renamed:
            value["reference"] = renamed[reference]
        for each in value.values():
            _rename(each, renamed)
