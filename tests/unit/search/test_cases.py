"""The search cases, judged in memory."""

import pytest

from fhir_server.fhir.errors import FhirError, Issues
from fhir_server.search.predicate import matches
from tests.searches import Case, cases, indexed, search

ALL = list(cases())


@pytest.mark.parametrize("case", [c for c in ALL if c.finds is not None], ids=lambda c: c.name)
def test_search_finds_exactly(case: Case) -> None:
    """The query finds these resources and no others."""
    request = search(case.type, case.query)
    found = {name for name, one in case.resources.items() if matches(request, indexed(one).ix)}
    assert frozenset(found) == case.finds


@pytest.mark.parametrize("case", [c for c in ALL if c.finds is None], ids=lambda c: c.name)
def test_search_refuses(case: Case) -> None:
    """The query is refused with this issue type, and the text says what is wrong."""
    with pytest.raises(FhirError) as refusal:
        search(case.type, case.query)
    error = refusal.value
    first = error.issues[0] if isinstance(error, Issues) else error
    assert first.issue_type == case.refuses
    assert case.says in error.diagnostics
