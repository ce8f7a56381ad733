"""Search parameters as the server uses them (https://hl7.org/fhir/R4/searchparameter.html)."""

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.fhir.types import Json, Resource


@dataclass(frozen=True, slots=True)
class Element:
    """One value that a search expression selects.

    Attributes:
        datatype: its FHIR type: `code`, `Coding`, `Reference`, `dateTime`, `Period`, …
        value: the JSON as stored.
        system: of a `code`, the code system that its required binding implies, when there is one.
    """

    datatype: str
    value: Json
    system: str | None = None


Extract = Callable[[Resource], list[Element]]
"""A compiled expression: the elements that it selects, in document order."""


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A declared search parameter of one resource type.

    Attributes:
        code: its name in a URL.
        type: number, date, string, token, reference, composite, quantity, uri or special.
        url: the canonical of its artefact.
        targets: of a reference, the types that it may point to.
        extract: its compiled expression; of a composite's component it takes the element value
            that the composite selects.
        components: of a composite, its parts in order.
        datatypes: the FHIR types of the elements that the expression may select.
        case_sensitive: whether it selects only codes that a required binding lists.
    """

    code: str
    type: str
    url: str
    targets: tuple[str, ...]
    extract: Extract
    components: tuple["SearchParameter", ...] = ()
    datatypes: tuple[str, ...] = ()
    case_sensitive: bool = False
