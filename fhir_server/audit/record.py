"""Compact audit records: who did what to which resource of which patient, when and from where.

They hold neither tokens nor bodies. AuditEvents can be told from them later
(https://profiles.ihe.net/ITI/BALP/).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fhir_server.context import RequestContext

Record = dict[str, Any]

_PATIENT = "Patient/"


def access_record(
    context: RequestContext,
    interaction: str,
    *,
    resource_type: str = "",
    logical_id: str = "",
    version: int | None = None,
    outcome: str = "success",
    query: str = "",
    compartments: Iterable[str] = (),
) -> Record:
    """The record of one interaction.

    Args:
        context: whose interaction it was; the tenant is part of the record so that it finds the
            right trail.
        interaction: FHIR's code, for example `search-type`, or `$book`.
        resource_type: the type it was about; empty for the whole system.
        logical_id: the resource it was about, if one.
        version: the version that was read or written.
        outcome: `success`, or the issue type of the refusal.
        query: the search parameters as sent.
        compartments: of the resources that were read or written; patients are kept.
    """
    principal = context.principal
    record: Record = {
        "tenant": context.tenant,
        "t": context.now,
        "req": context.request_id,
        "client": principal.client_id if principal else "",
        "token": principal.token_id if principal else "",
        "interaction": interaction,
        "type": resource_type,
        "id": logical_id,
        "outcome": outcome,
        "address": context.address,
    }
    if version is not None:
        record["v"] = version
    if query:
        record["query"] = query
    patients = sorted({name for name in compartments if name.startswith(_PATIENT)})
    if patients:
        record["patients"] = patients
    return record


def bucket(bucket_id: str, now: datetime, records: Iterable[Record]) -> Record:
    """The document that keeps records of one tenant which were made at the same time."""
    kept = [{key: value for key, value in one.items() if key != "tenant"} for one in records]
    return {"_id": bucket_id, "t": now, "records": kept}
