"""One file per operation, and the table that binds OperationDefinitions to them."""

from collections.abc import Awaitable, Callable, Mapping

from fhir_server.context import RequestContext
from fhir_server.definitions.parameters import Invocation
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.canonicals import canonical
from fhir_server.fhir.exchange import Answer
from fhir_server.fhir.ids import IdSource
from fhir_server.operations.book import book
from fhir_server.operations.cancel import cancel
from fhir_server.operations.confirm import confirm
from fhir_server.operations.everything import everything
from fhir_server.operations.find import find
from fhir_server.operations.hold import hold
from fhir_server.operations.meta import meta, meta_add, meta_delete
from fhir_server.operations.reschedule import reschedule
from fhir_server.operations.validate import validate
from fhir_server.operations.validate_booking import validate_booking
from fhir_server.settings import Settings
from fhir_server.store.store import Store

OperationHandler = Callable[
    [Store, Settings, IdSource, RequestContext, Invocation], Awaitable[Answer]
]
_R4 = "http://hl7.org/fhir/OperationDefinition/"


HANDLERS: Mapping[str, OperationHandler] = {
    canonical("OperationDefinition", "appointment-book"): book,
    canonical("OperationDefinition", "appointment-find"): find,
    canonical("OperationDefinition", "appointment-hold"): hold,
    canonical("OperationDefinition", "appointment-confirm"): confirm,
    canonical("OperationDefinition", "appointment-cancel"): cancel,
    canonical("OperationDefinition", "appointment-reschedule"): reschedule,
    canonical("OperationDefinition", "appointment-validate-booking"): validate_booking,
    f"{_R4}Patient-everything": everything,
    f"{_R4}Resource-meta": meta,
    f"{_R4}Resource-meta-add": meta_add,
    f"{_R4}Resource-meta-delete": meta_delete,
    f"{_R4}Resource-validate": validate,
}


class HandlersDifferError(RuntimeError):
    """An OperationDefinition has no handler, or a handler no OperationDefinition."""


def check_handlers(registry: Registry) -> None:
    """Make sure that what is declared works and what works is declared.

    Raises:
        HandlersDifferError: the two differ; all differences are told.
    """
    declared, handled = set(registry.operations), set(HANDLERS)
    lines = [f"no handler for {one}" for one in sorted(declared - handled)]
    lines += [f"no OperationDefinition {one}" for one in sorted(handled - declared)]
    if lines:
        raise HandlersDifferError("; ".join(lines))
