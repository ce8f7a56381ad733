"""What the text of a search value needs to be understood."""

from dataclasses import dataclass
from datetime import datetime

from fhir_server.definitions.registry import Registry, TypeDefinition


@dataclass(frozen=True, slots=True)
class Query:
    """The circumstances of a search.

    Attributes:
        definition: the type searched.
        base_url: the FHIR base, without a trailing slash.
        now: when it is asked; `ap` measures from it.
        registry: the other types and the value sets; without it a search may ask of one type's
            own elements only.
        several: whether other types are searched by the same query.
    """

    definition: TypeDefinition
    base_url: str
    now: datetime
    registry: Registry | None = None
    several: bool = False
