"""References, in every form that names the same resource.

https://hl7.org/fhir/R4/search.html#reference

A reference to a resource of ours has the term `code=Type/id`, however it is written; to others
`code=url`. One to a version has both the versioned and the versionless term; a canonical likewise.
A logical reference has `code:identifier=` terms.
"""

from collections.abc import Sequence

from fhir_server.definitions.search_parameter import Element, SearchParameter
from fhir_server.fhir.errors import Invalid, Value
from fhir_server.fhir.ids import is_id
from fhir_server.fhir.references import parse_reference
from fhir_server.fhir.types import Json
from fhir_server.search.condition import Condition, Either, TermPrefix, Terms
from fhir_server.search.entry import Entry
from fhir_server.search.escapes import split, unescape
from fhir_server.search.query import Query
from fhir_server.search.values.token import fold


def index(code: str, elements: Sequence[Element], entry: Entry) -> None:
    """Add the terms of the elements that a reference parameter selects."""
    for element in elements:
        value = element.value
        if isinstance(value, str):
            _canonical(code, value, entry)
        elif isinstance(value, dict):
            literal = value.get("reference")
            if literal:
                _literal(code, literal, entry)
            identifier = value.get("identifier")
            if identifier:
                _identifier(code, identifier, entry)


def condition(parameter: SearchParameter, text: str, query: Query) -> Terms:
    """`[id]`, `[Type]/[id]` or `[url]`, each with `|[version]` or `/_history/[version]`.

    Raises:
        Invalid: a bare id where several types may be meant.
        Value: it is none of these forms.
    """
    code = parameter.code
    wanted = unescape(text)
    url, pipe, version = wanted.partition("|")
    found = parse_reference(url, query.base_url)
    if found is not None:
        term = f"{code}={found.target}"
        if found.version is not None:
            term += f"/_history/{found.version}"
    elif is_id(url) and not pipe:
        term = f"{code}={_only_target(parameter, url)}/{url}"
    elif ":" in url:
        term = f"{code}={url}"
    else:
        raise Value(f"'{text[:64]}' is no reference; expected id, Type/id or an absolute URL")
    return Terms((f"{term}|{version}" if pipe else term,))


def of_target(parameter: SearchParameter, target: str, text: str, query: Query) -> Condition:
    """`:[type]`: a reference to a resource of that type, by its id or in any other form.

    Raises:
        Value: it is none of the forms, or refers to another type.
    """
    wanted = unescape(text)
    if is_id(wanted):
        return Terms((f"{parameter.code}={target}/{wanted}",))
    found = parse_reference(wanted, query.base_url)
    if found is None or found.type != target:
        raise Value(f"'{text[:64]}' is no reference to {target}; expected an id or {target}/id")
    return condition(parameter, text, query)


def of_identifier(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`:identifier`: by the identifier in the reference itself, as a token; no chain.

    Raises:
        Value: it is no token.
    """
    del query
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) > 2 or not any(parts):
        raise Value(f"'{text[:64]}' is no identifier; expected value, system|value or system|")
    start = f"{parameter.code}:identifier="
    if len(parts) == 1:
        return Terms((f"{start}{fold(parts[0])}",))
    system, value = fold_system(parts[0]), parts[1]
    if not value:
        return TermPrefix(f"{start}{system}|")
    return Terms((f"{start}{system}|{fold(value)}",))


def below(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`:below`: a canonical of any version, or of a version and those made from it.

    `url|1` is below itself as well as `url|1.2`.

    Raises:
        Value: it is no canonical.
    """
    exact = condition(parameter, text, query)
    if "|" not in text:
        return exact
    return Either((exact, *(TermPrefix(f"{term}.") for term in exact.terms)))


def _only_target(parameter: SearchParameter, logical_id: str) -> str:
    named = [t for t in parameter.targets if t.lower() == parameter.code.replace("-", "")]
    targets = named or parameter.targets
    if len(targets) == 1:
        return targets[0]
    raise Invalid(
        f"'{parameter.code}={logical_id}' is ambiguous: it may refer to several types; "
        f"write Type/{logical_id}, with one of {', '.join(sorted(targets))}"
    )


def _literal(code: str, text: str, entry: Entry) -> None:
    found = parse_reference(text, entry.base_url)
    if found is None:
        if not text.startswith("#"):
            entry.terms.add(f"{code}={text}")
        return
    term = f"{code}={found.target}"
    entry.terms.add(term)
    if found.version is not None:
        entry.terms.add(f"{term}/_history/{found.version}")
    if found.absolute_base is None and code in entry.compartment_codes:
        entry.targets.setdefault(code, []).append((found.type, found.id))


def _canonical(code: str, text: str, entry: Entry) -> None:
    url, pipe, version = text.partition("|")
    _literal(code, url, entry)
    if pipe:
        found = parse_reference(url, entry.base_url)
        entry.terms.add(f"{code}={found.target if found else url}|{version}")


def _identifier(code: str, identifier: Json, entry: Entry) -> None:
    value = identifier.get("value")
    if value:
        folded = fold(value)
        system = identifier.get("system") or ""
        entry.terms.add(f"{code}:identifier={folded}")
        entry.terms.add(f"{code}:identifier={fold_system(system)}|{folded}")


def fold_system(system: str) -> str:
    """A system as it stands before the pipe of a term."""
    return system.replace("|", r"\|")
