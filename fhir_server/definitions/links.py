"""Links inside a resource: where a transaction puts the real addresses of its entries.

R4 names References, the types uri, url, oid and uuid, and links and images of the narrative;
canonicals are left alone (https://hl7.org/fhir/R4/http.html#trules).
"""

import re
from collections.abc import Callable
from html import escape, unescape
from typing import Final, Literal

from fhir_server.definitions.elements import Structure, Structures
from fhir_server.fhir.types import Json, Resource

Kind = Literal["reference", "uri", "narrative"]
Replace = Callable[[str, Kind], str | None]
"""From the text of a link to the text in its place; None keeps it."""

_URIS: Final = frozenset({"uri", "url", "oid", "uuid"})
_ATTRIBUTE = re.compile(r"""(\b(?:href|src)\s*=\s*)("[^"]*"|'[^']*')""")


def replace_links(structures: Structures, resource: Resource, replace: Replace) -> Resource:
    """A copy of the resource with other links; parts without links are shared with the original.

    What has not the shape that R4 demands is left as it is.
    """
    changed: Resource = _Walk(structures, replace).resource(resource)
    return changed


class _Walk:
    def __init__(self, structures: Structures, replace: Replace) -> None:
        self._structures = structures
        self._replace = replace

    def resource(self, resource: Json) -> Json:
        name = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(name, str) or not self._structures.is_resource(name):
            return resource
        return self._object(resource, self._structures[name])

    def _object(self, node: Json, structure: Structure) -> Json:
        if not isinstance(node, dict):
            return node
        changed: dict[str, Json] = {}
        for key, value in node.items():
            element = structure.elements.get(key)
            if element is not None:
                after = self._value(value, element.datatype)
            elif key[:1] == "_":
                after = self._value(value, "Element")
            else:
                continue
            if after is not value:
                changed[key] = after
        if structure.key == "Reference":
            self._link(node, changed, "reference", "reference")
        elif structure.key == "Narrative" and isinstance(node.get("div"), str):
            changed["div"] = _ATTRIBUTE.sub(self._attribute, node["div"])
        return {**node, **changed} if changed else node

    def _link(self, node: Json, changed: dict[str, Json], name: str, kind: Kind) -> None:
        text = node.get(name)
        after = self._replace(text, kind) if isinstance(text, str) else None
        if after is not None:
            changed[name] = after

    def _value(self, value: Json, datatype: str) -> Json:
        if isinstance(value, list):
            after = [self._value(item, datatype) for item in value]
            return after if any(a is not b for a, b in zip(after, value, strict=True)) else value
        if isinstance(value, str):
            found = self._replace(value, "uri") if datatype in _URIS else None
            return value if found is None else found
        if not isinstance(value, dict):
            return value
        if datatype == "Resource":
            return self.resource(value)
        try:
            structure = self._structures[datatype]
        except KeyError:
            return value
        return self._object(value, structure)

    def _attribute(self, match: re.Match[str]) -> str:
        found = self._replace(unescape(match[2][1:-1]), "narrative")
        return match[0] if found is None else f'{match[1]}"{escape(found)}"'
