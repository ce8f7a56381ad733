"""Whether who writes a Subscription may be told what it asks for."""

from datetime import datetime

from fhir_server.auth import policy
from fhir_server.context import Principal
from fhir_server.fhir.errors import Forbidden
from fhir_server.fhir.types import Resource
from fhir_server.subscription_rules import is_record


def check_subscriber(principal: Principal | None, resource: Resource, now: datetime) -> None:
    """Refuse a Subscription whose writer may read nothing of what it asks for.

    It keeps its writer's rights, so it would become active and stay silent.

    Args:
        principal: who writes it.
        resource: the Subscription, legal in itself.
        now: the present; what is over by then asks for nothing.

    Raises:
        Forbidden: it names the scope that is needed.
        Login: nobody is logged in.
    """
    if is_record(resource, now):
        return
    name = str(resource.get("criteria", "")).partition("?")[0].removeprefix("/")
    try:
        policy.authorize(principal, name, "read")
    except Forbidden:
        raise Forbidden(
            "A Subscription tells only what who writes it may read; for these criteria the token "
            f"needs the scope system/{name}.r",
            expression=["Subscription.criteria"],
        ) from None
