"""Which holds have lapsed and are not cancelled yet."""

from datetime import datetime

from fhir_server.fhir.dates import microseconds
from fhir_server.scheduling.holds import APPOINTMENT
from fhir_server.store import cells
from fhir_server.store.find import LOCAL, Database, find


async def lapsed_holds(database: Database, now: datetime, limit: int) -> list[str]:
    """The logical ids of Appointments whose hold has ended, the oldest ends first.

    Args:
        database: the tenant's.
        now: the present.
        limit: most agenda cells that are looked at; call again when they are dealt with.

    Raises:
        Transient: the database cannot be reached.
    """
    at = microseconds(now)
    documents = await find(
        database, cells.COLLECTION, {"x": {"$lte": at}}, limit=limit, sort={"x": 1}, level=LOCAL
    )
    found = dict.fromkeys(
        entry.holder.removeprefix(APPOINTMENT)
        for document in documents
        for entry in cells.from_document(document).entries
        if entry.expires is not None and entry.expires <= at
    )
    return list(found)
