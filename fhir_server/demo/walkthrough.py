"""What the server's users do, played over HTTP with real tokens, each request and answer shown."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from fhir_server.client.connection import Answer, Connection
from fhir_server.demo.backend_client import BackendClient
from fhir_server.demo.receiver import Receiver
from fhir_server.fhir.types import Json, Resource

PATIENT, OTHER_PATIENT = "Patient/demo-patient-001", "Patient/demo-patient-002"
SCHEDULE, PRACTITIONER = "Schedule/demo-schedule-1", "Practitioner/demo-practitioner-1"
ACTIVATION_SECONDS = 10
DELIVERY_SECONDS = 15
CLIENTS = {
    "ehr": "system/Subscription.crud system/Appointment.rus system/AppointmentResponse.c "
    "system/Slot.rs system/Practitioner.r",
    "patient-app": "system/Slot.rs system/Appointment.crus",
    "other-app": "system/Slot.rs system/Appointment.crus",
}
"""The play's clients, and the least that each needs."""


class DemoError(Exception):
    """The play could not go on; the message says what the server answered."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the play takes place.

    Attributes:
        say: prints a line.
        now: gives the present.
        base_url: the server's FHIR base.
        clients: registered clients by the names of `CLIENTS`.
    """

    say: Callable[[str], None]
    now: Callable[[], datetime]
    base_url: str
    clients: Mapping[str, BackendClient]


class Actor:
    """One client, on stage: shows what it sends and what it is told."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage, self.name = stage, name
        self.connection = Connection(stage.base_url)

    async def sign_in(self) -> None:
        """Gets an access token with the client's own key."""
        client = self.stage.clients[self.name]
        seconds = await client.sign_in(self.connection, self.stage.now())
        self.stage.say(f"[{self.name}] POST /auth/token  private_key_jwt, {client.scope}")
        self.stage.say(f"    200 a token for {seconds} s")

    async def ask(
        self,
        method: str,
        path: str,
        body: Resource | None = None,
        *,
        expect: tuple[int, ...],
        **headers: str,
    ) -> Answer:
        """Sends a request and shows it.

        Raises:
            DemoError: the status is none of those expected.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.connection.request(method, path, body, sent)
        self.stage.say(f"[{self.name}] {method} {path}")
        self.stage.say(f"    {shown(answer)}")
        if answer.status not in expect:
            raise DemoError(f"{method} {path} was answered {answer.problem()}")
        return answer


def shown(answer: Answer) -> str:
    """An answer in one line: its status, and what came with it."""
    return " ".join(filter(None, (str(answer.status), _brief(answer.resource, answer.version))))


def _brief(resource: Resource, version: str) -> str:
    if not resource:
        return ""
    kind = resource.get("resourceType", "")
    if kind == "Bundle":
        return f"Bundle with {len(resource.get('entry', []))} entries"
    if kind == "OperationOutcome":
        return "; ".join(_issue(i) for i in resource["issue"])
    parts = [f"{kind}/{resource.get('id')}", resource.get("status"), f"version {version}"]
    return ", ".join(str(p) for p in parts if p)


def _issue(issue: Json) -> str:
    coding = issue.get("details", {}).get("coding", [{}])
    return " ".join(filter(None, [coding[0].get("code"), issue.get("diagnostics")]))


def appointment(slot: Resource, patient: str, status: str) -> Resource:
    """A visit in one slot; the practitioner has not answered yet."""
    return {
        "resourceType": "Appointment",
        "status": status,
        "start": slot["start"],
        "end": slot["end"],
        "slot": [{"reference": f"Slot/{slot['id']}"}],
        "participant": [
            {"actor": {"reference": patient}, "required": "required", "status": "accepted"},
            {
                "actor": {"reference": PRACTITIONER},
                "required": "required",
                "status": "needs-action",
            },
        ],
    }


def book(resource: Resource) -> Resource:
    """The body of Appointment/$book."""
    parameter = {"name": "appointment-resource", "resource": resource}
    return {"resourceType": "Parameters", "parameter": [parameter]}


async def play(stage: Stage) -> None:
    """The whole story; leaves no Subscription behind.

    Raises:
        DemoError: the server answered otherwise than it should.
        TimeoutError: a notification did not come.
    """
    actors = {name: Actor(stage, name) for name in CLIENTS}
    try:
        for actor in actors.values():
            await actor.sign_in()
        async with Receiver() as receiver:
            where = await _subscribe(actors["ehr"], receiver)
            try:
                expected = await _visits(stage, actors)
                await receiver.wait_for(len(expected), DELIVERY_SECONDS)
            finally:
                await actors["ehr"].ask("DELETE", where, expect=(200, 204))
            _report(stage, receiver, expected)
    finally:
        for actor in actors.values():
            await actor.connection.close()


async def _subscribe(ehr: Actor, receiver: Receiver) -> str:
    """An R4 rest-hook Subscription; waits until the server has made it active."""
    answer = await ehr.ask(
        "POST",
        "Subscription",
        {
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "Tell billing of every appointment",
            "criteria": f"Appointment?practitioner={PRACTITIONER}",
            "channel": {
                "type": "rest-hook",
                "endpoint": receiver.url,
                "payload": "application/fhir+json",
            },
        },
        expect=(201,),
    )
    where = f"Subscription/{answer.resource['id']}"
    async with asyncio.timeout(ACTIVATION_SECONDS):
        while True:
            current = await ehr.connection.request("GET", where)
            if current.resource["status"] == "active":
                break
            await asyncio.sleep(0.1)
    ehr.stage.say(f"    {where} is active")
    return where


async def _visits(stage: Stage, actors: Mapping[str, Actor]) -> list[str]:
    """Books, races, accepts and cancels; answers the notifications due, in order."""
    app, other, ehr = actors["patient-app"], actors["other-app"], actors["ehr"]
    after = stage.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    found = await app.ask(
        "GET", f"Slot?schedule={SCHEDULE}&status=free&start=ge{after}&_count=3", expect=(200,)
    )
    slots = [entry["resource"] for entry in found.resource.get("entry", [])]
    if len(slots) < 3:
        raise DemoError("fewer than three free slots; load the demo clinic with `fhir-server demo`")
    asked = await app.ask(
        "POST", "Appointment", appointment(slots[0], PATIENT, "pending"), expect=(201,)
    )
    visit = f"Appointment/{asked.resource['id']}"
    proposed = book(appointment(slots[1], PATIENT, "proposed"))
    booked = await app.ask("POST", "Appointment/$book", proposed, expect=(201,))
    won = await _race(app, other, slots[2])
    accept = {
        "resourceType": "AppointmentResponse",
        "appointment": {"reference": visit},
        "actor": {"reference": PRACTITIONER},
        "participantStatus": "accepted",
    }
    await ehr.ask("POST", "AppointmentResponse", accept, expect=(201,))
    current = await app.ask("GET", visit, expect=(200,))
    cancelled = {**current.resource, "status": "cancelled"}
    await app.ask("PUT", visit, cancelled, expect=(200,), If_Match=current.headers["ETag"])
    freed = await app.ask("GET", f"Slot/{slots[0]['id']}", expect=(200,))
    if freed.resource["status"] != "free":
        raise DemoError(f"Slot/{slots[0]['id']} should be free again")
    return [
        f"{visit} pending",
        f"Appointment/{booked.resource['id']} booked",
        f"Appointment/{won.resource['id']} booked",
        f"{visit} booked",
        f"{visit} cancelled",
    ]


async def _race(app: Actor, other: Actor, slot: Resource) -> Answer:
    """Two clients ask for one slot at the same moment; answers what the winner was told."""
    answers = await asyncio.gather(
        app.ask("POST", "Appointment", appointment(slot, PATIENT, "booked"), expect=(201, 409)),
        other.ask(
            "POST",
            "Appointment/$book",
            book(appointment(slot, OTHER_PATIENT, "proposed")),
            expect=(201, 409),
        ),
    )
    statuses = sorted(answer.status for answer in answers)
    if statuses != [201, 409]:
        raise DemoError(f"the race for Slot/{slot['id']} ended {statuses}, not [201, 409]")
    return min(answers, key=lambda answer: answer.status)


def _report(stage: Stage, receiver: Receiver, expected: list[str]) -> None:
    stage.say("[subscriber] received, in order:")
    got = []
    for notification in receiver.notifications:
        resource = notification.resource
        got.append(f"Appointment/{resource.get('id')} {resource.get('status')}")
        stage.say(f"    {notification.number}: {got[-1]}")
    if got != expected:
        raise DemoError(f"expected {expected}")
    stage.say("done: everything arrived, in order, once")
