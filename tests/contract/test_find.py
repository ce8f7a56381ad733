"""Appointment/$find over stored Slots: what is offered, what is refused, and who may ask."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import (
    Answer,
    Client,
    Json,
    Server,
    appointment,
    instant,
    schedule,
    slot,
)

OpenClient = Callable[[str], Client]
REASON = "https://fhir-server.example/fhir/CodeSystem/no-offer-reason"
TZ_CODE = "http://hl7.org/fhir/StructureDefinition/tz-code"


def coded(code: str) -> Json:
    """A CodeableConcept."""
    return {"coding": [{"system": "urn:test", "code": code}]}


def find(client: Client, **criteria: object) -> Answer:
    """A find by GET in the day of the slots; underscores stand for dashes, but the first."""
    given: dict[str, object] = {"start": instant(0), "end": instant(24 * 60), **criteria}
    pairs = [
        (name[:1] + name[1:].replace("_", "-"), str(one))
        for name, value in given.items()
        if value is not None
        for one in (value if isinstance(value, list) else [value])
    ]
    return client.get(f"Appointment/$find?{urlencode(pairs, quote_via=quote)}")


def post(client: Client, *given: Json) -> Answer:
    """A find by POST."""
    return client.post(
        "Appointment/$find", {"resourceType": "Parameters", "parameter": list(given)}
    )


def times(*more: Json) -> list[Json]:
    """The parameters of a POST, the day of the slots included."""
    return [
        {"name": "start", "valueDateTime": instant(0)},
        {"name": "end", "valueDateTime": instant(24 * 60)},
        *more,
    ]


def offers(answer: Answer) -> list[Json]:
    """The Appointments offered."""
    assert answer.status == 200, answer.body
    bundle = answer.json
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    found = [one["resource"] for one in bundle["entry"] if one["search"]["mode"] == "match"]
    assert bundle["total"] == len(found)
    assert all(one["resourceType"] == "Appointment" for one in found)
    return found


def offered(answer: Answer) -> list[str]:
    """The Slots offered."""
    return [one["slot"][0]["reference"] for one in offers(answer)]


def reasons(answer: Answer) -> dict[str, str]:
    """The coded reasons why nothing is offered, with their texts."""
    assert offers(answer) == []
    (entry,) = answer.json["entry"]
    assert entry["search"]["mode"] == "outcome"
    return {
        coding["code"]: issue["diagnostics"]
        for issue in entry["resource"]["issue"]
        for coding in issue.get("details", {}).get("coding", [])
        if coding["system"] == REASON
    }


@dataclass
class Clinic:
    """A practitioner with a Schedule and Slots, in a place, by a role, for a service."""

    client: Client
    organization: str
    place: str
    service: str
    practitioner: str
    role: str
    agenda: Json

    def slot(self, start: int, minutes: int = 30, **changed: Json) -> str:
        """The reference of a new Slot."""
        stored = self.client.created(slot(self.agenda["id"], start, minutes, **changed))
        return f"Slot/{stored['id']}"


def clinic(
    client: Client, *, actors: Callable[[Clinic], list[str]] | None = None, **changed: Json
) -> Clinic:
    """A new one; nothing of it is shared with another."""
    organization = client.created({"resourceType": "Organization", "name": "Clinic"})
    owner = {"reference": f"Organization/{organization['id']}"}
    place = client.created(
        {
            "resourceType": "Location",
            "name": f"House {organization['id']}",
            "managingOrganization": owner,
            "extension": [{"url": TZ_CODE, "valueCode": "Asia/Kolkata"}],
        }
    )
    house = {"reference": f"Location/{place['id']}"}
    service = client.created(
        {
            "resourceType": "HealthcareService",
            "providedBy": owner,
            "location": [house],
            "specialty": [coded("cardiology")],
            "type": [coded("echo")],
        }
    )
    person = client.created(
        {
            "resourceType": "Practitioner",
            "identifier": [{"system": "urn:npi", "value": organization["id"]}],
            "gender": "female",
            "communication": [coded("mi")],
        }
    )
    role = client.created(
        {
            "resourceType": "PractitionerRole",
            "active": True,
            "practitioner": {"reference": f"Practitioner/{person['id']}"},
            "organization": owner,
            "location": [house],
            "healthcareService": [{"reference": f"HealthcareService/{service['id']}"}],
            "code": [coded(f"role-{organization['id']}")],
            "specialty": [coded("surgery")],
        }
    )
    built = Clinic(
        client, organization["id"], place["id"], service["id"], person["id"], role["id"], None
    )
    named = actors(built) if actors else [f"Practitioner/{person['id']}"]
    built.agenda = client.created(schedule(actor=[{"reference": one} for one in named], **changed))
    return built


@pytest.fixture
def client_with(server: Server) -> Iterator[OpenClient]:
    """Opens clients whose token has the given scope."""
    opened: list[Client] = []

    def open_client(scope: str) -> Client:
        opened.append(Client(server.base_url, server.token(scope)))
        return opened[-1]

    yield open_client
    for one in opened:
        one.close()


def test_an_offer_says_what_argonaut_and_ihe_require(client: Client) -> None:
    """Status, times, duration, slot, participants, the window and what the Slot is for."""
    here = clinic(client, serviceType=[coded("consultation")], specialty=[coded("cardiology")])
    wanted = here.slot(540, specialty=[coded("surgery")], appointmentType=coded("ROUTINE"))
    answer = find(
        client, schedule=here.agenda["id"], patient_reference="Patient/ada", reason="urn:r|cough"
    )
    (offer,) = offers(answer)
    assert offer == {
        "resourceType": "Appointment",
        "status": "proposed",
        "serviceType": [coded("consultation")],
        "specialty": [coded("surgery")],
        "appointmentType": coded("ROUTINE"),
        "reasonCode": [{"coding": [{"system": "urn:r", "code": "cough"}]}],
        "start": instant(540),
        "end": instant(570),
        "minutesDuration": 30,
        "slot": [{"reference": wanted}],
        "participant": [
            {
                "actor": {"reference": f"Practitioner/{here.practitioner}"},
                "required": "required",
                "status": "needs-action",
            },
            {
                "actor": {"reference": "Patient/ada"},
                "required": "required",
                "status": "needs-action",
            },
        ],
        "requestedPeriod": [
            {
                "start": instant(0).replace("Z", ".000Z"),
                "end": instant(24 * 60).replace("Z", ".000Z"),
            }
        ],
    }


def test_every_offer_can_be_booked_unchanged(client: Client) -> None:
    """Each is 201 when handed to $book; afterwards nothing is left."""
    here = clinic(client)
    for start in (540, 570, 600):
        here.slot(start)
    for offer in offers(find(client, schedule=here.agenda["id"], patient_reference="Patient/a")):
        booked = client.post("Appointment/$book", offer)
        assert booked.status == 201, booked.body
        assert booked.json["participant"][1]["status"] == "accepted"
    assert reasons(find(client, schedule=here.agenda["id"], explain="true")) == {
        "booked": "Slots are booked (busy): 3"
    }


def test_post_takes_what_get_takes(client: Client) -> None:
    """As strings, and as the datatypes that IHE and Epic send."""
    here = clinic(client, specialty=[coded("cardiology")])
    wanted = here.slot(540)
    who = f"Practitioner/{here.practitioner}"
    identifier = {"system": "urn:npi", "value": here.organization}
    for given in (
        {"name": "practitioner", "valueString": who},
        {"name": "practitioner", "valueUri": f"{client.base_url}/{who}"},
        {"name": "practitioner", "valueReference": {"reference": who}},
        {"name": "practitioner", "valueReference": {"identifier": identifier}},
        {"name": "provider", "valueReference": {"reference": who}},
    ):
        assert offered(post(client, *times(given))) == [wanted], given
    for what in (
        {"name": "specialty", "valueString": "urn:test|cardiology"},
        {"name": "specialty", "valueCode": "cardiology"},
        {"name": "specialty", "valueCoding": {"system": "urn:test", "code": "cardiology"}},
        {"name": "specialty", "valueCodeableConcept": coded("cardiology")},
    ):
        agenda = {"name": "schedule", "valueString": here.agenda["id"]}
        assert offered(post(client, *times(agenda, what))) == [wanted], what


@pytest.mark.parametrize(
    "names",
    [
        ("start", "end", "location-reference", "healthcare-service"),
        ("startTime", "endTime", "location", "service-type-reference"),
    ],
)
def test_aliases_mean_the_same(client: Client, names: tuple[str, str, str, str]) -> None:
    """The names of Argonaut, Epic and Medplum."""
    here = clinic(client, actors=lambda it: [f"Location/{it.place}"])
    wanted = here.slot(540)
    start, end, where, what = names
    window = {start: instant(0), end: instant(24 * 60)}
    at = client.get(f"Appointment/$find?{urlencode({**window, where: here.place})}")
    assert offered(at) == [wanted]
    here = clinic(client, actors=lambda it: [f"HealthcareService/{it.service}"])
    wanted = here.slot(540)
    by = client.get(f"Appointment/$find?{urlencode({**window, what: here.service})}")
    assert offered(by) == [wanted]


@pytest.mark.parametrize("actor", ["Practitioner", "PractitionerRole"])
def test_practitioner_is_found_by_any_actor(client: Client, actor: str) -> None:
    """Whether the Schedule names the practitioner or a role of theirs."""
    here = clinic(
        client,
        actors=lambda it: [f"{actor}/{it.practitioner if actor == 'Practitioner' else it.role}"],
    )
    wanted = here.slot(540)
    assert offered(find(client, practitioner=here.practitioner)) == [wanted]
    assert offered(find(client, practitioner=f"Practitioner/{here.practitioner}")) == [wanted]
    assert offered(find(client, role=f"urn:test|role-{here.organization}")) == [wanted]
    by_role = find(client, practitioner=f"PractitionerRole/{here.role}")
    assert offered(by_role) == ([wanted] if actor == "PractitionerRole" else [])


@pytest.mark.parametrize(
    "actor", ["Practitioner", "PractitionerRole", "Location", "HealthcareService"]
)
def test_organization_and_place_are_found_through_actors(client: Client, actor: str) -> None:
    """Those of a place, service or role; of a practitioner, those of their roles."""
    field = {
        "Practitioner": "practitioner",
        "PractitionerRole": "role",
        "Location": "place",
        "HealthcareService": "service",
    }[actor]
    here = clinic(client, actors=lambda it: [f"{actor}/{getattr(it, field)}"])
    wanted = here.slot(540)
    assert offered(find(client, organization=here.organization)) == [wanted]
    assert offered(find(client, location_reference=here.place)) == [wanted]
    assert offered(find(client, location_string=f"House {here.organization}")) == [wanted]
    other = clinic(client)
    assert offered(find(client, organization=other.organization, schedule=here.agenda["id"])) == []


def test_what_a_schedule_names_counts_more_than_roles(client: Client) -> None:
    """A practitioner's other place is not that of a Schedule that names its own."""
    other = clinic(client)
    here = clinic(
        client, actors=lambda it: [f"Practitioner/{it.practitioner}", f"Location/{other.place}"]
    )
    wanted = here.slot(540)
    assert offered(find(client, location_reference=other.place)) == [wanted]
    assert offered(find(client, location_reference=here.place)) == []


def test_parts_of_places_and_organizations_count(client: Client) -> None:
    """A room is in its house, a department is of its hospital."""
    here = clinic(client)
    room = client.created(
        {
            "resourceType": "Location",
            "partOf": {"reference": f"Location/{here.place}"},
            "position": {"latitude": -75.25, "longitude": 12.5},
        }
    )
    agenda = client.created(schedule(actor=[{"reference": f"Location/{room['id']}"}]))
    wanted = f"Slot/{client.created(slot(agenda['id'], 540, 30))['id']}"
    assert offered(find(client, location_reference=here.place)) == [wanted]
    assert wanted in offered(find(client, near="-75.26|12.5|5|km", _count=1000))
    assert wanted not in offered(find(client, near="-75.26|12.5|5|m"))


def test_services_of_slot_schedule_and_actors(client: Client) -> None:
    """What the Slot says counts, else what its Schedule says, else its services and roles."""
    here = clinic(client, actors=lambda it: [f"HealthcareService/{it.service}"])
    silent = here.slot(540)
    own = here.slot(600, specialty=[coded("dermatology")], serviceType=[coded("biopsy")])
    agenda = here.agenda["id"]
    assert offered(find(client, schedule=agenda, specialty="cardiology")) == [silent]
    assert offered(find(client, schedule=agenda, specialty="urn:test|dermatology")) == [own]
    both = find(client, schedule=agenda, specialty=["cardiology", "dermatology"])
    assert offered(both) == [silent, own]
    assert offered(find(client, schedule=agenda, service_type="echo")) == [silent]
    assert offered(find(client, schedule=agenda, service_type="biopsy")) == [own]
    assert (
        offered(find(client, schedule=agenda, specialty="dermatology", service_type="echo")) == []
    )
    stating = clinic(client, specialty=[coded("urology")])
    wanted = stating.slot(540)
    assert offered(find(client, schedule=stating.agenda["id"], specialty="urology")) == [wanted]
    assert offered(find(client, schedule=stating.agenda["id"], specialty="surgery")) == []
    by_role = clinic(client)
    wanted = by_role.slot(540)
    assert offered(find(client, schedule=by_role.agenda["id"], specialty="surgery")) == [wanted]


def test_visit_type_is_the_type_of_appointment_or_of_service(client: Client) -> None:
    """The Slot's type of appointment, and where it has none, the type of service."""
    here = clinic(client, serviceType=[coded("consultation")])
    plain = here.slot(540)
    typed = here.slot(600, appointmentType=coded("FOLLOWUP"))
    agenda = here.agenda["id"]
    assert offered(find(client, schedule=agenda, visit_type="urn:test|FOLLOWUP")) == [typed]
    assert offered(find(client, schedule=agenda, visit_type="consultation")) == [plain]


def test_gender_and_language_of_the_practitioner(client: Client) -> None:
    """Of a practitioner that the Schedule names, or whose role it names."""
    for actor, field in (("Practitioner", "practitioner"), ("PractitionerRole", "role")):
        here = clinic(client, actors=lambda it, a=actor, f=field: [f"{a}/{getattr(it, f)}"])  # type: ignore[misc]
        wanted = here.slot(540)
        agenda = here.agenda["id"]
        hers = {"schedule": agenda, "practitioner_gender": "female"}
        assert offered(find(client, **hers)) == [wanted]
        assert offered(find(client, **hers, practitioner_language="mi")) == [wanted]
        assert offered(find(client, **hers, practitioner_language="de")) == []
        assert offered(find(client, schedule=agenda, practitioner_gender="male")) == []


def test_time_of_day_in_the_zone_of_the_place(client: Client) -> None:
    """tz-code of the Schedule, else of its Location, else UTC; `timezone` overrides all."""
    # 09:00 UTC is 14:30 in India.
    for zone, agenda in (
        ("Asia/Kolkata", clinic(client, actors=lambda it: [f"Location/{it.place}"])),
        ("UTC", clinic(client)),
        (
            "America/New_York",
            clinic(client, extension=[{"url": TZ_CODE, "valueCode": "America/New_York"}]),
        ),
    ):
        wanted = agenda.slot(540)
        name = agenda.agenda["id"]
        local = {
            "Asia/Kolkata": "14:30-15:00",
            "UTC": "09:00-09:30",
            "America/New_York": "03:00-05:30",
        }[zone]
        assert offered(find(client, schedule=name, time_of_day=local)) == [wanted], zone
        assert offered(find(client, schedule=name, time_of_day="20:00-21:00,00:00-01:00")) == []
        there = find(client, schedule=name, time_of_day="14:30-15:00", timezone="Asia/Kolkata")
        assert offered(there) == [wanted]


def test_day_of_week(client: Client) -> None:
    """The day on which the Slot begins, by the clock of the zone."""
    here = clinic(client)
    wanted = here.slot(23 * 60)
    agenda = here.agenda["id"]
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    (today,) = [day for day in days if offered(find(client, schedule=agenda, day_of_week=day))]
    tomorrow = days[(days.index(today) + 1) % 7]
    found = find(client, schedule=agenda, day_of_week=tomorrow, timezone="Pacific/Auckland")
    assert offered(found) == [wanted]


def test_only_slots_within_the_window(client: Client) -> None:
    """Both ends count; one that reaches over an end is not offered."""
    here = clinic(client)
    wanted = [here.slot(540), here.slot(570)]
    agenda = here.agenda["id"]
    for start, end, expected in (
        (540, 600, wanted),
        (541, 600, wanted[1:]),
        (540, 599, wanted[:1]),
        (0, 540, []),
    ):
        found = find(client, schedule=agenda, start=instant(start), end=instant(end))
        assert offered(found) == expected
    day = instant(0)[:10]
    assert offered(find(client, schedule=agenda, start=day, end=day)) == wanted


def test_the_earliest_over_all_and_of_each_actor(client: Client) -> None:
    """In order of time; at the same time in order of preference."""
    first, second = clinic(client), clinic(client)
    early = [[one.slot(start) for start in (540, 570, 600)] for one in (first, second)]
    both = f"{second.agenda['id']},{first.agenda['id']}"
    people = [second.practitioner, first.practitioner]
    preferred = [slot for pair in zip(early[1], early[0], strict=True) for slot in pair]
    assert offered(find(client, practitioner=people)) == preferred
    assert offered(find(client, practitioner=people, _count=3)) == preferred[:3]
    assert set(offered(find(client, schedule=both, per_actor=1))) == {early[0][0], early[1][0]}
    found = find(client, practitioner=people, per_actor=2, _count=3)
    assert offered(found) == preferred[:3]


def test_different_criteria_must_all_hold(client: Client) -> None:
    """Repeated ones are alternatives."""
    here, other = clinic(client), clinic(client)
    wanted, another = here.slot(540), other.slot(600)
    either = [here.practitioner, other.practitioner]
    assert offered(find(client, practitioner=either)) == [wanted, another]
    both = find(client, practitioner=either, organization=here.organization)
    assert offered(both) == [wanted]


def test_occupied_time_is_not_offered(client: Client) -> None:
    """Free Slots that overlap a booked one, closed time, and Slots of inactive Schedules."""
    here = clinic(client)
    agenda = here.agenda["id"]
    taken = here.slot(540)
    here.slot(550)
    free = here.slot(570)
    client.created(appointment([client.get(taken).json]))
    here.slot(600)
    here.slot(605, minutes=45, status="busy-unavailable")
    assert offered(find(client, schedule=agenda)) == [free]
    assert client.put(f"Schedule/{agenda}", {**here.agenda, "active": False}).status == 200
    assert offered(find(client, schedule=agenda)) == []


def test_explain_says_why_nothing_is_offered(client: Client) -> None:
    """Which criterion nothing fulfils, or what stands in the way of how many Slots."""
    here = clinic(client, specialty=[coded("urology")])
    agenda = here.agenda["id"]

    def why(**criteria: object) -> dict[str, str]:
        return reasons(find(client, explain="true", **criteria))

    nobody = {"no-schedule": "No active Schedule fulfils the criteria"}
    assert why(practitioner="nobody") == nobody
    assert why(near="-89|0|1|m") == {"no-schedule": f"{nobody['no-schedule']}: near"}
    assert why(schedule="none") == {
        "no-schedule": "No active Schedule fulfils the criteria: schedule"
    }
    assert why(schedule=agenda) == {"no-slots": "The Schedules have no Slot in that time"}
    here.slot(540)
    assert why(schedule=agenda, specialty="surgery") == {
        "other-service": "Free Slots are for another specialty, service or type of visit: 1"
    }
    assert why(schedule=agenda, time_of_day="00:00-01:00") == {
        "day-limits": "Free Slots are outside the times of the day or days of the week asked for: 1"
    }
    assert why(schedule=agenda, end=instant(555)) == {
        "beyond-window": "Free Slots end after the time asked for: 1"
    }
    here.slot(530, 60, status="busy-unavailable")
    here.slot(660, status="busy-tentative")
    assert why(schedule=agenda) == {
        "overlapped": "Free Slots overlap time that is occupied: 1",
        "closed": "Slots are closed for bookings (busy-unavailable): 1",
        "held": "Slots are held or asked for (busy-tentative): 1",
    }
    past = why(schedule=agenda, start="2020-01-01", end="2020-01-02")
    assert past == {"window-past": "The time asked for has passed"}


def test_nothing_without_explain_names_no_reasons(client: Client) -> None:
    """One warning, with what to do."""
    here = clinic(client)
    answer = find(client, schedule=here.agenda["id"])
    assert answer.json["total"] == 0
    (issue,) = answer.json["entry"][0]["resource"]["issue"]
    assert (issue["severity"], issue["code"]) == ("warning", "not-found")
    assert "explain=true" in issue["diagnostics"]


@pytest.mark.parametrize(
    ("criteria", "codes", "text"),
    [
        ({"start": None}, ["required"], "Parameter start is missing"),
        ({"start": None, "end": None}, ["required", "required"], "Parameter end is missing"),
        ({"nonsense": "1"}, ["not-supported"], "There is no parameter nonsense; there are: _count"),
        ({"startTime": "2030-01-01"}, ["value"], "start may be given at most 1 times"),
        ({"start": "tomorrow"}, ["value"], "start must be"),
        ({"start": instant(600), "end": instant(600)}, ["value"], "start must be before end"),
        (
            {"start": "2030-01-01", "end": "2030-02-01T00:00:01Z"},
            ["too-costly"],
            "start and end are more than 31 days apart",
        ),
        ({"practitioner": "Patient/1"}, ["value"], "expected Practitioner/[id] or Practi"),
        ({"location": "https://other.example/fhir/Location/1"}, ["value"], "location-reference"),
        ({"near": "here"}, ["value"], "near: 'here' is no place"),
        ({"specialty": "a|b|c"}, ["value"], "specialty"),
        ({"time_of_day": "9-10"}, ["value"], "time-of-day: '9-10' is no part of a day"),
        ({"day_of_week": "monday"}, ["value"], "day-of-week: 'monday' is no day"),
        ({"timezone": "Mars/Base"}, ["value"], "timezone: 'Mars/Base' is no IANA time zone"),
        ({"timezone": "../etc/passwd"}, ["value"], "timezone"),
        ({"_count": "0"}, ["value"], "_count must be 1 or more"),
        ({"per_actor": "0"}, ["value"], "per-actor must be"),
        ({"explain": "yes"}, ["value"], "explain must be"),
        ({"patient_reference": "Group/1"}, ["value"], "expected Patient/[id]"),
        ({"reason": "a|b|c"}, ["value"], "reason: 'a|b|c' is no code"),
        ({"_count": "0", "timezone": "x"}, ["value", "value"], "timezone"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_refusals(client: Client, criteria: dict[str, object], codes: list[str], text: str) -> None:
    """400 with every problem, and nothing is written."""
    answer = find(client, **criteria)
    assert answer.status == 400, answer.body
    assert answer.codes == codes
    assert any(text in one["diagnostics"] for one in answer.issues), answer.body


def test_refusals_of_bodies_say_where(client: Client) -> None:
    """The element of the Parameters resource that is wrong."""
    answer = post(client, *times({"name": "practitioner", "valueBoolean": True}))
    assert (answer.status, answer.codes) == (400, ["value"])
    assert answer.expressions == ["Parameters.parameter[2]"]
    assert answer.issues[0]["diagnostics"] == (
        "practitioner must be given as valueString or valueUri or valueReference"
    )


@pytest.mark.parametrize(
    ("scope", "criteria", "missing"),
    [
        ("system/Schedule.s", {}, "system/Slot.s"),
        ("system/Slot.s", {}, "system/Schedule.s"),
        ("system/Slot.s system/Schedule.s", {"practitioner": "a"}, "system/PractitionerRole.s"),
        ("system/Slot.s system/Schedule.s", {"organization": "a"}, "system/Organization.s"),
        ("system/Slot.s system/Schedule.s", {"near": "1|1"}, "system/Location.s"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_rights_on_every_type_are_needed(
    client_with: OpenClient, scope: str, criteria: dict[str, object], missing: str
) -> None:
    """403 that names the scope."""
    answer = find(client_with(scope), **criteria)
    assert (answer.status, answer.codes) == (403, ["forbidden"])
    assert missing in answer.issues[0]["diagnostics"]


def test_granular_scopes_limit_what_is_offered(client: Client, client_with: OpenClient) -> None:
    """Slots and Schedules outside the scope are as if they were not there, in reasons as well."""
    here, hidden = clinic(client), clinic(client)
    wanted = here.slot(540)
    hidden.slot(540)
    hidden.slot(600, status="busy")
    limited = client_with(f"system/Slot.s?schedule=Schedule/{here.agenda['id']} system/Schedule.s")
    both = [here.agenda["id"], hidden.agenda["id"]]
    assert offered(find(limited, schedule=both)) == [wanted]
    alone = find(limited, schedule=hidden.agenda["id"], explain="true")
    assert reasons(alone) == {"no-slots": "The Schedules have no Slot in that time"}
    blind = client_with(f"system/Slot.s system/Schedule.s?_id={here.agenda['id']}")
    assert offered(find(blind, schedule=both)) == [wanted]


def test_nothing_tells_who_holds_time(client: Client) -> None:
    """Neither offers nor reasons name Appointments or patients."""
    here = clinic(client)
    patient = f"secret-{time_ordered_id()}"
    booked = client.created(
        appointment(
            [client.get(here.slot(540)).json],
            participant=[{"actor": {"reference": f"Patient/{patient}"}, "status": "accepted"}],
        )
    )
    here.slot(545)
    answer = find(client, schedule=here.agenda["id"], explain="true")
    assert set(reasons(answer)) == {"booked", "overlapped"}
    assert patient.encode() not in answer.body
    assert booked["id"].encode() not in answer.body


def test_a_find_is_on_the_audit_trail(client: Client, server: Server) -> None:
    """With its criteria and the patients it is for."""
    patient = f"Patient/audited-{time_ordered_id()}"
    assert offered(find(client, schedule="none", patient_reference=patient)) == []
    until = time.monotonic() + 10
    found: list[Json] = []
    while not found and time.monotonic() < until:
        found = list(server.database["audit"].find({"patients": patient}))
        if not found:
            found = [
                record
                for document in server.database["audit"].find()
                for record in document.get("records", [])
                if patient in record.get("patients", [])
            ]
    (record,) = found
    assert (record["interaction"], record["outcome"]) == ("$find", "success")
    assert "schedule=none" in record["query"]


def test_find_is_declared(client: Client) -> None:
    """In the CapabilityStatement, by GET and POST only."""
    (rest,) = client.get("metadata").json["rest"]
    (kind,) = [one for one in rest["resource"] if one["type"] == "Appointment"]
    assert "find" in [one["name"] for one in kind["operation"]]
    assert client.send("PUT", "Appointment/$find", {}).status == 405
    assert client.get("Slot/$find?start=2030-01-01&end=2030-01-01").status == 404
