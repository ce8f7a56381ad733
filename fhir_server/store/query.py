"""Searches (https://hl7.org/fhir/R4/search.html)."""

from dataclasses import dataclass
from typing import Any

from fhir_server.store.stored import StoredVersion


@dataclass(frozen=True, slots=True)
class SearchPage:
    matches: tuple[StoredVersion, ...]
    total: int | None
    next: Any
    previous: Any


async def search(database: Any, request: Any, restriction: Any, *, milliseconds: int) -> SearchPage:
    raise NotImplementedError
