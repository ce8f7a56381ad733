"""The index document of one resource while it is being built."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from fhir_server.fhir.types import Json

_NOTHING: Final[frozenset[str]] = frozenset()


class Entry:
    """Collects what the search parameters of one resource select.

    Args:
        base_url: the FHIR base, by which references to ourselves are recognised.
        compartment_codes: the reference parameters whose targets are to be noted.

    Attributes:
        terms: terms of tokens, references, URIs and strings, `code=value`.
        dates: ranges in microseconds by parameter.
        numbers: ranges of numbers and quantities by parameter.
        groups: small index documents of composites by parameter.
        originals: strings as written, `code=normalised<tab>original`.
        single: fields that hold one value: `i` id, `s` main date, `u` last update, `g` position.
        targets: local references, as `(type, id)`, by parameter.
    """

    __slots__ = (
        "base_url",
        "compartment_codes",
        "dates",
        "groups",
        "numbers",
        "originals",
        "single",
        "targets",
        "terms",
    )

    def __init__(self, base_url: str, compartment_codes: Collection[str] = _NOTHING) -> None:
        self.base_url = base_url
        self.compartment_codes = compartment_codes
        self.terms: set[str] = set()
        self.dates: dict[str, list[Mapping[str, int]]] = {}
        self.numbers: dict[str, list[Mapping[str, Json]]] = {}
        self.groups: dict[str, list[Mapping[str, Json]]] = {}
        self.originals: set[str] = set()
        self.single: dict[str, Json] = {}
        self.targets: dict[str, list[tuple[str, str]]] = {}

    def document(self) -> dict[str, Any]:
        """The index document, as it is stored; empty parts are left out."""
        built: dict[str, Any] = {"t": sorted(self.terms)}
        if self.dates:
            built["d"] = self.dates
        if self.numbers:
            built["n"] = self.numbers
        if self.groups:
            built["c"] = self.groups
        if self.originals:
            built["x"] = sorted(self.originals)
        built.update(self.single)
        return built
