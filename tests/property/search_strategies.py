"""Random resources and random queries that have a fair chance to meet."""

from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]

DATES = st.sampled_from(
    [
        "2026",
        "2026-11",
        "2026-12",
        "2026-12-01",
        "2026-12-02",
        "2026-12-01T09:00:00Z",
        "2026-12-01T09:00:00.500Z",
        "2026-12-01T10:00:00+01:00",
        "2026-12-01T23:59:59Z",
        "1969-12-31",
    ]
)
INSTANTS = st.sampled_from(
    [
        "2026-12-01T09:00:00Z",
        "2026-12-01T09:00:00.500Z",
        "2026-12-01T10:00:00.000+01:00",
        "2026-12-01T23:59:59.999Z",
        "2026-12-02T00:00:00Z",
        "1969-12-31T23:59:59Z",
    ]
)
PREFIXES = st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
SYSTEMS = st.sampled_from(["http://a.example", "http://A.example", "urn:oid:1.2", "a|b"])
CODES = st.sampled_from(["x", "X", "y", "a|b", "a,b", "a$b", "\\", "ẞ", "1"])
WORDS = st.one_of(
    st.sampled_from(["Ann", "anna", "Müller-Weiß", "O'Brien", "van der Berg", "山田", "Łuk", "É"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6),
)
NUMBERS = st.sampled_from([0, 5, 5.4, 5.45, 30, 30.5, -2, 100, 1e3])
REFERENCES = st.sampled_from(
    [
        "Patient/1",
        "Patient/2",
        "Group/1",
        "Practitioner/1",
        "http://example.org/fhir/Patient/1",
        "http://other.example/fhir/Patient/1",
        "Patient/1/_history/3",
        "urn:uuid:7",
        "#contained",
    ]
)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    """A JSON object that holds some of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


CODING = optional(system=SYSTEMS, code=CODES, display=WORDS, userSelected=st.just(True))
CONCEPT = optional(coding=st.lists(CODING, max_size=2), text=WORDS)
IDENTIFIER = optional(
    system=SYSTEMS, value=CODES, type=CONCEPT, extension=st.just([{"url": "urn:x"}])
)
REFERENCE = optional(reference=REFERENCES, identifier=IDENTIFIER)
PERIOD = optional(start=DATES, end=DATES)
UNIT = {"unit": st.sampled_from(["min", "h"]), "code": st.sampled_from(["min", "h"])}
QUANTITY = optional(
    value=NUMBERS, system=SYSTEMS, comparator=st.sampled_from(["<", "<=", ">", ">="]), **UNIT
)
RANGE = optional(low=optional(value=NUMBERS, **UNIT), high=optional(value=NUMBERS, **UNIT))

RESOURCES: dict[str, st.SearchStrategy[Document]] = {
    "Appointment": optional(
        status=st.sampled_from(["booked", "pending"]),
        start=INSTANTS,
        end=INSTANTS,
        requestedPeriod=st.lists(PERIOD, max_size=2),
        identifier=st.lists(IDENTIFIER, max_size=2),
        serviceType=st.lists(CONCEPT, max_size=2),
        participant=st.lists(optional(actor=REFERENCE), max_size=3),
    ),
    "Encounter": optional(
        period=PERIOD,
        length=QUANTITY,
        subject=REFERENCE,
        location=st.lists(optional(period=PERIOD), max_size=2),
    ),
    "Patient": optional(
        active=st.booleans(),
        birthDate=st.sampled_from(["2026", "2026-12", "2026-12-01", "1969-12-31"]),
        deceasedBoolean=st.booleans(),
        identifier=st.lists(IDENTIFIER, max_size=2),
        name=st.lists(
            optional(family=WORDS, given=st.lists(WORDS, max_size=2), text=WORDS), max_size=2
        ),
        telecom=st.lists(
            optional(
                system=st.sampled_from(["phone", "email"]),
                value=st.sampled_from(["+1 (555) 1", "15551", "A@b.example"]),
            ),
            max_size=2,
        ),
    ),
    "Location": optional(
        name=WORDS,
        position=optional(
            longitude=st.sampled_from([0, 0.1, 179.99, -179.99, 91.5]),
            latitude=st.sampled_from([0, 0.1, -90, 89.9, 45.25]),
        ),
    ),
    "Measure": optional(
        url=st.sampled_from(["http://m.example/a", "http://m.example/A"]),
        version=st.sampled_from(["1", "2"]),
        effectivePeriod=PERIOD,
        useContext=st.lists(
            st.one_of(
                optional(code=CODING, valueQuantity=QUANTITY),
                optional(code=CODING, valueRange=RANGE),
                optional(code=CODING, valueCodeableConcept=CONCEPT),
            ),
            max_size=3,
        ),
    ),
}


def escaped(text: str) -> str:
    """A value as a client writes it."""
    return "".join("\\" + c if c in "\\,$|" else c for c in text)


ESCAPED_CODES = CODES.map(escaped)
TOKENS = st.one_of(
    ESCAPED_CODES,
    ESCAPED_CODES.map(lambda code: f"|{code}"),
    SYSTEMS.map(lambda system: f"{escaped(system)}|"),
    st.builds(lambda system, code: f"{escaped(system)}|{code}", SYSTEMS, ESCAPED_CODES),
)
TIMES = st.builds(lambda prefix, date: prefix + date, PREFIXES, st.one_of(DATES, INSTANTS))
AMOUNTS = st.builds(
    lambda prefix, number, unit: f"{prefix}{number}{unit}",
    PREFIXES,
    st.sampled_from(["5", "5.4", "30", "30.0", "3e1", "-2", "1e3", "0"]),
    st.sampled_from(["", "||min", "||h", "|http://a.example|min"]),
)
TARGETS = REFERENCES.filter(lambda text: not text.startswith("#"))
NAMES = WORDS.filter(lambda word: any(c.isalnum() for c in word)).map(escaped)
PLACES = st.builds(
    lambda latitude, longitude, rest: f"{latitude}|{longitude}{rest}",
    st.sampled_from(["0", "45.25", "-90", "89.9"]),
    st.sampled_from(["0", "179.99", "-180", "91.5"]),
    st.sampled_from(["", "|1|km", "|15000|m", "|20000|km", "|0|km", "|30000|km"]),
)

VALUES: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "Appointment": {
        "status": st.sampled_from(["booked", "pending", "BOOKED"]),
        "date": TIMES,
        "end": TIMES,
        "period": TIMES,
        "requested-period": TIMES,
        "identifier": TOKENS,
        "service-type": TOKENS,
        "actor": TARGETS,
        "patient": st.one_of(TARGETS, st.sampled_from(["1", "2"])),
        "_id": st.sampled_from(["r0", "r1", "R1"]),
        "_lastUpdated": TIMES,
    },
    "Encounter": {
        "date": TIMES,
        "location-period": TIMES,
        "length": AMOUNTS,
        "subject": TARGETS,
    },
    "Patient": {
        "active": st.sampled_from(["true", "false"]),
        "birthdate": TIMES,
        "deceased": st.sampled_from(["true", "false"]),
        "identifier": TOKENS,
        "name": NAMES,
        "family": NAMES,
        "phonetic": NAMES,
        "phone": st.sampled_from(["15551", "+1-555-1"]),
        "telecom": st.sampled_from(["a@B.example", "15551"]),
    },
    "Location": {"name": NAMES, "near": PLACES},
    "Measure": {
        "url": st.sampled_from(["http://m.example/a", "http://m.example/a|1"]),
        "effective": TIMES,
        "context-type": TOKENS,
        "context-quantity": AMOUNTS,
        "context-type-quantity": st.builds("{}${}".format, TOKENS, AMOUNTS),
        "context-type-value": st.builds("{}${}".format, TOKENS, TOKENS),
    },
}

MISSING = st.sampled_from(["true", "false"])
FRAGMENTS = st.one_of(st.sampled_from(["n", "eis", "der b", "a.", "Ü"]), NAMES).filter(
    lambda word: any(c.isalnum() for c in word)
)
IDENTIFIERS = (
    st.builds(lambda system, code: f"{escaped(system)}|{code}", SYSTEMS, ESCAPED_CODES)
    | ESCAPED_CODES
)
# Values of parameters with a modifier; `:missing` takes one value only.
MODIFIED: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "Appointment": {
        "status:not": st.sampled_from(["booked", "pending"]),
        "status:in": st.just("http://hl7.org/fhir/ValueSet/appointmentstatus"),
        "status:not-in": st.just("http://hl7.org/fhir/ValueSet/slotstatus"),
        "identifier:not": TOKENS,
        "identifier:text": NAMES,
        "identifier:of-type": st.builds(
            "{}|{}|{}".format, SYSTEMS.map(escaped), CODES.map(escaped), CODES.map(escaped)
        ),
        "service-type:text": NAMES,
        "actor:identifier": IDENTIFIERS,
        "actor:Patient": st.sampled_from(["1", "2", "Patient/1"]),
        **dict.fromkeys(
            (
                "status:missing",
                "date:missing",
                "service-type:missing",
                "actor:missing",
                "_id:missing",
            ),
            MISSING,
        ),
    },
    "Encounter": {
        "subject:identifier": IDENTIFIERS,
        **dict.fromkeys(("date:missing", "length:missing", "subject:missing"), MISSING),
    },
    "Patient": {
        "name:exact": NAMES,
        "family:exact": NAMES,
        "given:contains": FRAGMENTS,
        "name:contains": FRAGMENTS,
        "active:not": st.sampled_from(["true", "false"]),
        "identifier:not": TOKENS,
        **dict.fromkeys(
            ("name:missing", "active:missing", "phone:missing", "birthdate:missing"), MISSING
        ),
    },
    "Location": {"name:contains": FRAGMENTS, "name:exact": NAMES, "near:missing": MISSING},
    "Measure": {
        "url:below": st.sampled_from(
            ["http://m.example", "http://m.example/", "http://m.example/a"]
        ),
        "url:above": st.sampled_from(["http://m.example/a/b", "http://m.example/A"]),
        "context-type:text": NAMES,
        "context-quantity:missing": MISSING,
    },
}


@st.composite
def populations(draw: st.DrawFn) -> tuple[str, list[Document]]:
    """A resource type and some resources of it."""
    resource_type = draw(st.sampled_from(sorted(RESOURCES)))
    contents = draw(st.lists(RESOURCES[resource_type], min_size=1, max_size=6))
    moments = draw(st.lists(INSTANTS, min_size=len(contents), max_size=len(contents)))
    return resource_type, [
        {
            "resourceType": resource_type,
            "id": f"r{number}",
            "meta": {"lastUpdated": moment},
            **content,
        }
        for number, (content, moment) in enumerate(zip(contents, moments, strict=True))
    ]


@st.composite
def queries(draw: st.DrawFn, resource_type: str) -> list[tuple[str, str]]:
    """A query of one to three parameters, each with one to three values."""
    values = {**VALUES[resource_type], **MODIFIED[resource_type]}
    codes = draw(st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=3))
    return [
        (code, ",".join(draw(st.lists(values[code], min_size=1, max_size=_most(code)))))
        for code in codes
    ]


def _most(code: str) -> int:
    return 1 if code.endswith(":missing") else 3
