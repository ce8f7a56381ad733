"""Laws of dates, strings, tokens and queries."""

from datetime import UTC, datetime, timedelta, timezone
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.dates import format_instant, microseconds, parse, parse_instant
from fhir_server.fhir.errors import FhirError
from fhir_server.search.condition import successor
from fhir_server.search.escapes import split, unescape
from fhir_server.search.predicate import matches, mongo_filter
from fhir_server.search.request import parse_search
from fhir_server.search.values.string import normalise
from tests.property.search_strategies import escaped, populations, queries
from tests.searches import BASE_URL, LIMITS, NOW, definition, indexed, registry

MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 3),
    max_value=datetime(9999, 12, 29),
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
)
STORABLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(MOMENTS)
def test_every_precision_contains_the_moment(moment: datetime) -> None:
    """Writing less of a moment gives a wider range around it."""
    moment = moment.astimezone(UTC)
    text = f"{moment.year:04}-{moment:%m-%dT%H:%M:%S.%f}"
    widths = []
    for length, zone in ((26, "Z"), (23, "Z"), (19, "Z"), (16, "Z"), (10, ""), (7, ""), (4, "")):
        low, high = parse(text[:length] + zone)
        assert low <= microseconds(moment) <= high
        widths.append(high - low)
    assert widths == sorted(widths)


@given(MOMENTS)
def test_instants_survive_writing_and_reading(moment: datetime) -> None:
    """To the millisecond, whatever the time zone."""
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert parse_instant(format_instant(moment)) == moment


@given(st.text())
def test_dates_are_read_or_refused(text: str) -> None:
    """Nothing else happens."""
    try:
        low, high = parse(text)
    except FhirError:
        return
    assert low <= high


@given(STORABLE)
def test_normalised_text_stays_as_it_is(text: str) -> None:
    """Normalising twice changes nothing, so both sides of a comparison meet."""
    assert normalise(normalise(text)) == normalise(text)


@given(STORABLE, STORABLE)
def test_successor_bounds_every_continuation(start: str, rest: str) -> None:
    """What starts so lies between the start and its successor, as UTF-8 too."""
    start = "code=" + start
    assert start.encode() <= (start + rest).encode() < successor(start).encode()


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_escaped_values_come_apart_as_they_were_joined(values: list[str]) -> None:
    """Any text can be a value."""
    joined = ",".join(escaped(value) for value in values)
    assert [unescape(part) for part in split(joined, ",")] == values


@given(st.data())
def test_query_is_understood_the_same_from_its_self_link(data: st.DataObject) -> None:
    """What is shown as used gives the same search again."""
    resource_type, _ = data.draw(populations())
    pairs = [*data.draw(queries(resource_type)), ("colour", "red"), ("_count", "500")]
    kind = definition(resource_type)
    given_once = partial(
        parse_search, kind, base_url=BASE_URL, limits=LIMITS, now=NOW, registry=registry()
    )
    first = given_once(pairs, lenient=True)
    again = given_once(first.pairs_used)
    assert again.clauses == first.clauses
    assert again.pairs_used == first.pairs_used


@given(
    st.sampled_from(sorted(registry().types)),
    st.data(),
    st.one_of(STORABLE, st.text("0123456789-+.,|$\\eTZ:/agl", max_size=30)),
)
def test_any_value_is_understood_or_refused(
    resource_type: str, data: st.DataObject, value: str
) -> None:
    """No value of any declared parameter is an accident."""
    kind = definition(resource_type)
    code = data.draw(st.sampled_from(sorted(kind.search_parameters)))
    try:
        request = parse_search(kind, [(code, value)], base_url=BASE_URL, limits=LIMITS, now=NOW)
    except FhirError:
        return
    assert mongo_filter(request)
    assert not matches(request, {"t": []})
    assert indexed({"resourceType": resource_type, "id": "x"}).ix


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=5), st.booleans())
def test_any_query_is_understood_or_refused(pairs: list[tuple[str, str]], lenient: bool) -> None:
    """Names are as free as values."""
    kind = definition("Appointment")
    try:
        request = parse_search(
            kind, pairs, base_url=BASE_URL, limits=LIMITS, now=NOW, lenient=lenient
        )
    except FhirError:
        return
    assert len(request.pairs_used) <= len(pairs)
