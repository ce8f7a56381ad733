"""One artefact file, and the list of everything that is wrong with the artefacts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.fhir.types import Json, Resource
from fhir_server.operator_error import OperatorError

Fields = Mapping[str, Any]
"""Field names that are understood; each with the fields below it, or None for any content."""

METADATA: Fields = dict.fromkeys(
    (
        "resourceType", "id", "meta", "language", "text", "extension", "url", "identifier",
        "version", "name", "title", "status", "experimental", "date", "publisher", "contact",
        "description", "useContext", "jurisdiction", "purpose", "copyright",
    )
)  # fmt: skip
"""What tells about an artefact and changes nothing here."""


class ArtefactErrors(OperatorError):
    """Everything that is wrong with the artefacts.

    Attributes:
        defects: one line each, `folder/file: what is wrong`.
    """

    def __init__(self, defects: Sequence[str]) -> None:
        count = f"{len(defects)} defects" if len(defects) > 1 else "a defect"
        super().__init__(
            f"the artefacts have {count}: {'; '.join(defects)}; "
            "put the files right, then run `fhir-server artefacts check`"
        )
        self.defects = tuple(defects)


@dataclass(frozen=True, slots=True)
class Artefact:
    """A resource from one of the three folders.

    Attributes:
        path: folder and file name, for messages.
        content: the resource.
    """

    path: str
    content: Resource

    @property
    def type(self) -> str:
        """The resource type."""
        return str(self.content["resourceType"])

    @property
    def url(self) -> str:
        """The canonical URL; empty when it has none."""
        return str(self.content.get("url", ""))


@dataclass(slots=True)
class Defects:
    """Collects what is wrong, so that all of it is told at once."""

    found: list[str] = field(default_factory=list)

    def add(self, artefact: Artefact, message: str) -> None:
        """Notes one defect of an artefact."""
        self.found.append(f"{artefact.path}: {message}")

    def require(self, artefact: Artefact, *names: str) -> bool:
        """Whether the top-level elements are all there; notes those that are not."""
        missing = [name for name in names if name not in artefact.content]
        for name in missing:
            self.add(artefact, f"{name} is missing")
        return not missing

    def refuse_unknown(self, artefact: Artefact, fields: Fields) -> None:
        """Notes every element that nothing here interprets."""
        for path in _unknown(artefact.content, fields, ""):
            self.add(artefact, f"{path} is not interpreted")


def _unknown(node: Json, fields: Fields, path: str) -> list[str]:
    found = []
    for key, value in node.items():
        where = f"{path}.{key}".lstrip(".")
        if key not in fields:
            found.append(where)
        elif fields[key] is not None:
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                place = f"{where}[{index}]" if isinstance(value, list) else where
                if isinstance(item, dict):
                    found += _unknown(item, fields[key], place)
                else:
                    found.append(f"{place} (not an object)")
    return found
