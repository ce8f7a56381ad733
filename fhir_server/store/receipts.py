"""Receipts: what a write with an idempotency key has led to, so that a retry gets the same answer.

A receipt is inserted in the transaction of its write, under an id that only the same key of the
same client makes. Of two such writes at the same moment one is overtaken, decides again, and finds
the other's receipt. The receipt names the version that was written; its bytes are in the history.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from fhir_server.context import RequestContext
from fhir_server.decisions.outcome import Outcome
from fhir_server.fhir.types import Json
from fhir_server.scheduling import refusals
from fhir_server.scheduling.plan import Decide, Plan, View
from fhir_server.store.stored import StoredVersion

COLLECTION = "receipts"
DAY_SECONDS = 86_400
INDEX = {"name": "outdated", "key": {"t": 1}, "expireAfterSeconds": DAY_SECONDS}


class Receipt(NamedTuple):
    """A write that was done with an idempotency key.

    Attributes:
        id: of key and client.
        digest: of the request.
        type: the resource type of the first resource written.
        logical_id: its logical id.
        version: the version written.
        result: the plan's result: a reference, or id and status of an `Outcome`.
    """

    id: str
    digest: str
    type: str
    logical_id: str
    version: int
    result: Json


class Replay(NamedTuple):
    """The result of a decision that was made before."""

    receipt: Receipt


class _Receipts(Protocol):
    def receipt(self, receipt_id: str) -> Receipt | None: ...


def once(context: RequestContext, decide: Decide) -> Decide:
    """The decision, made once for the context's idempotency key; afterwards a `Replay`."""
    key = context.idempotency
    if key is None:
        return decide

    def decided(view: View) -> Plan:
        known = _receipt(view, key.id)
        if known is None:
            plan = decide(view)
            return replace(plan, receipt=(key.id, key.digest)) if plan.writes else plan
        if known.digest != key.digest:
            raise refusals.rule(
                refusals.IDEMPOTENCY_KEY_REUSED,
                "This Idempotency-Key came with another request before. Use a new key for each "
                "thing that is to happen, and the same one only to repeat the same request.",
                "Idempotency-Key",
            )
        return Plan(result=Replay(known))

    return decided


def _receipt(view: Any, receipt_id: str) -> Receipt | None:
    receipts: _Receipts = view
    return receipts.receipt(receipt_id)


def to_document(plan: Plan, written: StoredVersion, at: datetime) -> dict[str, Any]:
    """The document of the receipt that a plan asks for.

    Args:
        plan: with a receipt.
        written: the first resource that it writes.
        at: when.
    """
    result = plan.result
    receipt_id, digest = plan.receipt or ("", "")
    return {
        "_id": receipt_id,
        "h": digest,
        "type": written.type,
        "id": written.id,
        "v": written.version,
        "r": [result.id, result.status] if isinstance(result, Outcome) else result,
        "t": at,
    }


def from_document(document: Mapping[str, Any]) -> Receipt:
    """The receipt in a document."""
    return Receipt(
        document["_id"],
        document["h"],
        document["type"],
        document["id"],
        document["v"],
        document["r"],
    )


def result_of(receipt: Receipt) -> object:
    """The result of the plan that was written."""
    if isinstance(receipt.result, list):
        return Outcome(receipt.type, *receipt.result)
    return receipt.result
