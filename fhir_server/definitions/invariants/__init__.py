"""R4's invariants of the served types, and the server's own rules about single resources.

Written by hand, since interpreting FHIRPath on every write would cost more than the rest of it.
Keys are R4's, see for example https://hl7.org/fhir/R4/appointment.html#invs.
"""

from collections.abc import Mapping

from fhir_server.definitions.invariants import datatypes, questionnaires, resources
from fhir_server.definitions.invariants.contained import check_contained
from fhir_server.definitions.invariants.rule import Rule, has

RULES: Mapping[str, tuple[Rule, ...]] = {
    **datatypes.RULES,
    **questionnaires.RULES,
    **resources.RULES,
}
"""The rules of each structure, by its key."""

__all__ = ["RULES", "Rule", "check_contained", "has"]
