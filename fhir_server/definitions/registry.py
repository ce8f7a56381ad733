"""What this server offers, read from the artefacts and immutable from then on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fhir_server.definitions import capability_statement
from fhir_server.definitions.elements import Structures
from fhir_server.definitions.search_parameter import SearchParameter
from fhir_server.fhir.types import Resource


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """A served resource type.

    Attributes:
        name: the type.
        interactions: FHIR's codes of what may be done with it: read, vread, update, delete,
            history-instance, create, search-type.
        search_parameters: by code; `_id`, `_lastUpdated`, `_profile`, `_tag`, `_security` and
            `_source` included.
        compartments: for each compartment's type, the codes of the search parameters by which a
            resource of this type belongs to it.
        update_create: whether an update may create the resource at an id the client chose.
        conditional_create: whether If-None-Exist is honoured.
        conditional_update: whether update and patch may name the resource by criteria.
        conditional_delete: `not-supported`, `single` or `multiple`.
    """

    name: str
    interactions: frozenset[str]
    search_parameters: Mapping[str, SearchParameter]
    compartments: Mapping[str, tuple[str, ...]]
    update_create: bool
    conditional_create: bool = False
    conditional_update: bool = False
    conditional_delete: str = "not-supported"


@dataclass(frozen=True, slots=True)
class OperationParameter:
    """A parameter of an operation.

    Attributes:
        name: its name in a Parameters resource.
        minimum: how often it must occur.
        maximum: how often it may occur; None for any number.
        type: its FHIR type.
        search_type: of a string that is understood like a search parameter, that one's type.
        alias_of: the parameter that this is another name of; empty for none.
    """

    name: str
    minimum: int
    maximum: int | None
    type: str
    search_type: str = ""
    alias_of: str = ""


@dataclass(frozen=True, slots=True)
class OperationDefinition:
    """A declared operation.

    Attributes:
        code: its name without the dollar sign.
        canonical: its canonical URL, which `operations` maps to a handler.
        types: the resource types it may be invoked on.
        system: whether it is invoked on the base URL.
        on_type: whether it is invoked on a type.
        on_instance: whether it is invoked on one resource.
        affects_state: whether it may change anything; if so, only POST is allowed.
        inputs: its parameters of use `in`.
        outputs: its parameters of use `out`.
    """

    code: str
    canonical: str
    types: tuple[str, ...]
    system: bool
    on_type: bool
    on_instance: bool
    affects_state: bool
    inputs: tuple[OperationParameter, ...]
    outputs: tuple[OperationParameter, ...]


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything the artefacts declare.

    Attributes:
        types: the served types by name.
        operations: the operations by canonical URL.
        compartments: the types that have a compartment.
        structures: the shapes of R4's types, for `structure_definition.validate`.
        statement: the CapabilityStatement as in its file.
        artefact_hash: changes whenever any artefact does; a changed one demands a reindex.
    """

    types: Mapping[str, TypeDefinition]
    operations: Mapping[str, OperationDefinition]
    compartments: tuple[str, ...]
    structures: Structures
    statement: Resource
    artefact_hash: str

    @property
    def interactions(self) -> frozenset[str]:
        """FHIR's codes of what may be done on the base URL."""
        rests = self.statement.get("rest", ())
        return frozenset(one["code"] for rest in rests for one in rest.get("interaction", ()))

    def capability_statement(
        self, base_url: str, date: datetime, version: str, *, security_url: str | None = None
    ) -> Resource:
        """The document that `GET [base]/metadata` answers.

        Args:
            base_url: the FHIR base of the tenant that is asked.
            date: when the statement last changed, aware.
            version: the version of the server's software.
            security_url: the root of the authorization server; none leaves the URLs out.
        """
        return capability_statement.build(
            self.statement, base_url, date, version, security_url=security_url
        )
