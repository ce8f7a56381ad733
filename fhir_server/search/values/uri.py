"""URIs: equal to the last character (https://hl7.org/fhir/R4/search.html#uri).

A canonical with a version is found with and without it. `url|version` on a type whose resources
carry their version in an element of its own asks for both elements.
"""

from collections.abc import Sequence

from fhir_server.definitions.search_parameter import Element, SearchParameter
from fhir_server.fhir.errors import Value
from fhir_server.search.condition import Condition, Either, Every, TermPrefix, Terms
from fhir_server.search.entry import Entry
from fhir_server.search.escapes import unescape
from fhir_server.search.query import Query
from fhir_server.search.values.token import fold


def index(code: str, elements: Sequence[Element], entry: Entry) -> None:
    """Add the terms of the elements that a URI parameter selects."""
    for element in elements:
        value = element.value
        if not isinstance(value, str):
            continue
        entry.terms.add(f"{code}={value}")
        if element.datatype == "canonical" and "|" in value:
            entry.terms.add(f"{code}={value.partition('|')[0]}")


def condition(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """The whole URI, or a canonical with its version."""
    code = parameter.code
    wanted = unescape(text)
    exact = Terms((f"{code}={wanted}",))
    url, pipe, version = wanted.rpartition("|")
    if not (pipe and code == "url" and "version" in query.definition.search_parameters):
        return exact
    both = Every((Terms((f"{code}={url}",)), Terms((f"version={fold(version)}",))))
    return Either((exact, both))


def below(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`:below`: the URL itself or one whose path starts with it.

    Raises:
        Value: it is no URL, and so has no path.
    """
    del query
    url = _url(text)
    if url.endswith("/"):
        return TermPrefix(f"{parameter.code}={url}")
    return Either((Terms((f"{parameter.code}={url}",)), TermPrefix(f"{parameter.code}={url}/")))


def above(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`:above`: the URL itself or one that its path starts with.

    Raises:
        Value: it is no URL, and so has no path.
    """
    del query
    url = _url(text)
    scheme, _, rest = url.partition("://")
    segments = rest.split("/")
    starts = ["/".join(segments[: number + 1]) for number in range(len(segments))]
    urls = dict.fromkeys(
        f"{scheme}://{start}{slash}"
        for start in starts
        for slash in ("", "/")
        if url.startswith(f"{scheme}://{start}{slash}")
    )
    return Terms(tuple(f"{parameter.code}={one}" for one in urls))


def _url(text: str) -> str:
    url = unescape(text)
    scheme, mark, rest = url.partition("://")
    if not (scheme and mark and rest.strip("/")):
        raise Value(f"'{text[:64]}' is no URL; only URLs have others above and below them")
    return url
