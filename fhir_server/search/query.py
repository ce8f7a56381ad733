"""What the text of a search value needs to be understood."""

from dataclasses import dataclass
from datetime import datetime

from fhir_server.definitions.registry import TypeDefinition


@dataclass(frozen=True, slots=True)
class Query:
    """The circumstances of a search.

    Attributes:
        definition: the type searched.
        base_url: the FHIR base, without a trailing slash.
        now: when it is asked; `ap` measures from it.
    """

    definition: TypeDefinition
    base_url: str
    now: datetime
