"""SearchParameter artefacts compiled for each type that they apply to.

https://hl7.org/fhir/R4/searchparameter.html
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fhir_server.definitions.artefact import METADATA, Artefact, Defects
from fhir_server.definitions.elements import Structures
from fhir_server.definitions.fhirpath import (
    ExpressionError,
    compile_expression,
    element_type,
    selects_listed_codes,
)
from fhir_server.definitions.search_parameter import SearchParameter

TYPES = frozenset(
    {"number", "date", "string", "token", "reference", "composite", "quantity", "uri", "special"}
)
SPECIAL = frozenset({"near"})
"""The special parameters whose meaning the search knows."""

_FIELDS = {
    **METADATA,
    "code": None,
    "base": None,
    "type": None,
    "expression": None,
    "target": None,
    "component": {"definition": None, "expression": None},
}


class SearchCompiler:
    """Compiles and keeps the declared search parameters.

    Args:
        artefacts: all SearchParameters.
        structures: the shapes of R4's types.
        defects: takes what is wrong.
    """

    def __init__(
        self, artefacts: Iterable[Artefact], structures: Structures, defects: Defects
    ) -> None:
        self._structures = structures
        self._defects = defects
        self._by_url: dict[str, Artefact] = {}
        for artefact in artefacts:
            if self._is_sound(artefact):
                self._by_url[artefact.url] = artefact

    @property
    def by_url(self) -> Mapping[str, Artefact]:
        """The sound SearchParameters by canonical URL."""
        return self._by_url

    def compile(self, artefact: Artefact, type_name: str) -> SearchParameter | None:
        """The parameter for one type; None, with its defects noted, when it does not compile."""
        content = artefact.content
        try:
            extract = compile_expression(self._structures, content["expression"], type_name)
            datatypes = element_type(self._structures, content["expression"], type_name)
            listed = selects_listed_codes(self._structures, content["expression"], type_name)
            components = self._components(artefact, type_name)
        except ExpressionError as error:
            self._defects.add(artefact, f"expression does not compile for {type_name}: {error}")
            return None
        return SearchParameter(
            code=content["code"],
            type=content["type"],
            url=artefact.url,
            targets=tuple(content.get("target", ())),
            extract=extract,
            components=components,
            datatypes=datatypes,
            case_sensitive=listed,
        )

    def _components(self, artefact: Artefact, type_name: str) -> tuple[SearchParameter, ...]:
        listed = artefact.content.get("component", ())
        if not listed:
            return ()
        contexts = element_type(self._structures, artefact.content["expression"], type_name)
        if len(contexts) != 1:
            raise ExpressionError("a composite must select elements of one type")
        components = []
        for component in listed:
            definition = self._by_url.get(component["definition"])
            if definition is None:
                self._defects.add(artefact, f"component {component['definition']} does not exist")
                continue
            compiled = self.compile(definition, type_name)
            if compiled is not None:
                expression, context = component["expression"], contexts[0]
                extract = compile_expression(self._structures, expression, context)
                datatypes = element_type(self._structures, expression, context)
                components.append(replace(compiled, extract=extract, datatypes=datatypes))
        return tuple(components)

    def _is_sound(self, artefact: Artefact) -> bool:
        defects, content = self._defects, artefact.content
        defects.refuse_unknown(artefact, _FIELDS)
        if not defects.require(artefact, "url", "code", "base", "type", "expression"):
            return False
        if content["type"] not in TYPES:
            defects.add(
                artefact, f"type {content['type']} is not one of {', '.join(sorted(TYPES))}"
            )
            return False
        if content["type"] == "special" and content["code"] not in SPECIAL:
            defects.add(artefact, f"the special parameter {content['code']} is not known")
        if (content["type"] == "composite") != ("component" in content):
            defects.add(artefact, "a composite, and nothing else, has components")
        return True
