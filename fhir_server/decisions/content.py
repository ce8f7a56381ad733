"""The rules that a resource must keep before it is stored."""

from dataclasses import dataclass
from datetime import datetime

from fhir_server.definitions.registry import Registry
from fhir_server.definitions.submission import check_submission
from fhir_server.fhir.types import Resource
from fhir_server.settings import Settings
from fhir_server.subscription_rules import SUBSCRIPTION, check_subscription


@dataclass(frozen=True, slots=True)
class ContentRules:
    """Judges what clients want stored."""

    registry: Registry
    settings: Settings

    def check_shape(self, resource_type: str, resource: Resource) -> None:
        """Refuse what is no valid resource of the type, whatever is stored.

        Raises:
            FhirError: all problems at once.
        """
        check_submission(self.registry, resource_type, resource)

    def check_change(
        self, resource_type: str, resource: Resource, now: datetime, previous: Resource | None
    ) -> None:
        """Refuse content that may not follow the live one.

        Raises:
            FhirError: all problems at once.
        """
        if resource_type == SUBSCRIPTION:
            check_subscription(self.registry, self.settings, resource, now, previous=previous)
