"""Many clients that book the same slots at the same moment, by every way of writing."""

import threading
from collections import Counter
from collections.abc import Callable

from tests.contract.conftest import Answer, Client, Json, Server, appointment, schedule, slot
from tests.contract.test_transaction import booking, entry, send

EVERYBODY = 64
SLOTS = 8


def race(server: Server, token: str, act: Callable[[Client, int], Answer]) -> list[Answer]:
    """What everybody is told who acts at once, each over a connection of their own."""
    answers: dict[int, Answer] = {}
    start = threading.Barrier(EVERYBODY)

    def run(number: int) -> None:
        client = Client(server.base_url, token)
        start.wait(30)
        answers[number] = act(client, number)
        client.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(EVERYBODY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [answers[number] for number in range(EVERYBODY)]


def free_slots(client: Client) -> list[Json]:
    """Slots of one Schedule, one after the other."""
    owner = client.created(schedule())
    return [client.created(slot(owner["id"], 15 * number)) for number in range(SLOTS)]


def assert_each_taken_once(server: Server, slots: list[Json]) -> None:
    """Every slot is busy and named by one live Appointment."""
    names = {f"Slot/{one['id']}": one["id"] for one in slots}
    holders: Counter[str] = Counter()
    for document in server.database["Appointment"].find({"deleted": False}):
        text = document["json"].decode()
        if '"status":"booked"' in text:
            holders.update(name for name in names if f'"{name}"' in text)
    assert holders == dict.fromkeys(names, 1)
    for one in slots:
        assert b'"status":"busy"' in server.database["Slot"].find_one({"_id": one["id"]})["json"]


def test_transactions_of_slot_and_appointment(
    client: Client, server: Server, operator_token: str
) -> None:
    """One of those who want a slot gets it; the others are told that it is taken or has changed."""
    slots = free_slots(client)
    answers = race(
        server, operator_token, lambda own, number: send(own, *booking(slots[number % SLOTS]))
    )
    told = Counter(one.status for one in answers)
    assert told[200] == SLOTS
    assert told[200] + told[409] + told[412] == EVERYBODY, told
    assert_each_taken_once(server, slots)


def test_every_way_of_writing_at_once(client: Client, server: Server, operator_token: str) -> None:
    """Transaction, batch, create, patch and update compete for the same slots."""
    slots = free_slots(client)
    proposed = [
        client.created(appointment([slots[number % SLOTS]], status="proposed"))
        for number in range(EVERYBODY)
    ]
    book = [{"op": "replace", "path": "/status", "value": "booked"}]

    def act(own: Client, number: int) -> Answer:
        wanted, mine = slots[number % SLOTS], proposed[number]
        match number // SLOTS % 5:
            case 0:
                return send(own, *booking(wanted))
            case 1:
                return send(own, entry("POST", "Appointment", appointment([wanted])))
            case 2:
                return own.post("Appointment", appointment([wanted]))
            case 3:
                kind = {"Content-Type": "application/json-patch+json"}
                return own.send("PATCH", f"Appointment/{mine['id']}", book, kind)
            case _:
                return own.put(f"Appointment/{mine['id']}", {**mine, "status": "booked"})

    told = Counter(one.status for one in race(server, operator_token, act))
    assert told[200] + told[201] == SLOTS, told
    assert told[200] + told[201] + told[409] + told[412] == EVERYBODY, told
    assert_each_taken_once(server, slots)


def test_transactions_of_several_slots_take_all_or_none(
    client: Client, server: Server, operator_token: str
) -> None:
    """Neighbours overlap in one slot, so that no two of them can both win."""
    slots = free_slots(client)

    def act(own: Client, number: int) -> Answer:
        pair = [slots[number % SLOTS], slots[(number + 1) % SLOTS]]
        entries = [one for each in pair for one in booking(each)]
        return send(own, *entries)

    answers = race(server, operator_token, act)
    won = sum(one.status == 200 for one in answers)
    assert {one.status for one in answers} <= {200, 409, 412}
    assert 1 <= won <= SLOTS // 2
    busy = sum(client.get(f"Slot/{one['id']}").json["status"] == "busy" for one in slots)
    assert busy == 2 * won
