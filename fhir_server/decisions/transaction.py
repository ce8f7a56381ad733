"""transaction: many decisions made as one (https://hl7.org/fhir/R4/http.html#trules)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fhir_server.decisions.criteria import Criteria
from fhir_server.decisions.outcome import Outcome
from fhir_server.decisions.overlay import Overlay
from fhir_server.definitions.elements import Structures
from fhir_server.definitions.links import Kind, replace_links
from fhir_server.fhir.bundle_entries import placed
from fhir_server.fhir.errors import BusinessRule, FhirError, Invalid
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Decide, Plan, View, Write

ORDER: Final = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2}
"""R4's order of processing, which makes the order of entries meaningless."""

_RESTFUL = re.compile(r"(.+)/[A-Z][A-Za-z]*/[A-Za-z0-9\-.]{1,64}")
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]*)\?(.+)", re.DOTALL)


class Unresolved(BusinessRule):
    """A conditional reference leads nowhere."""

    issue_type = "not-found"


@dataclass(frozen=True, slots=True)
class Part:
    """One writing entry, understood.

    Attributes:
        place: `Bundle.entry[n]`.
        method: its HTTP method.
        full_url: the name by which other entries refer to it; may be empty.
        decide: the decision of its interaction.
        target: type and id, where its address names them.
        criteria: those that its decision searches by.
        creates: the criteria under which it creates only when nothing matches.
    """

    place: str
    method: str
    full_url: str
    decide: Decide
    target: tuple[str, str] | None = None
    criteria: tuple[Criteria, ...] = ()
    creates: Criteria | None = None


def plan_transaction(
    structures: Structures, parts: Sequence[Part], references: Mapping[str, Criteria]
) -> Decide:
    """The decision to do everything that the entries ask for, or nothing.

    Args:
        structures: the shapes of R4's types.
        parts: the writing entries, in the order of the Bundle.
        references: the criteria of the conditional references, by their text.

    Returns:
        A decision whose plan's result holds the `Outcome` of each part, in order.
    """
    ordered = sorted(range(len(parts)), key=lambda number: ORDER[parts[number].method])
    targets = [one.target for one in parts if one.target is not None]
    criteria = [*(one for part in parts for one in part.criteria), *references.values()]

    def decide(view: View) -> Plan:
        view.prefetch(resources=targets, criteria=criteria)
        overlay = Overlay(view)
        plans: dict[int, Plan] = {}
        for number in ordered:
            plan = plans[number] = _decided(parts[number], overlay)
            if parts[number].method == "DELETE":
                overlay.note(plan.writes)
        _refuse_overlaps(parts, plans, view)
        for plan in plans.values():
            overlay.note(plan.writes)
        _refuse_twins(parts, plans, overlay)
        links = _Links(parts, plans, references, overlay)
        writes: list[Write] = []
        for number, part in enumerate(parts):
            writes += [_relinked(structures, links, part, write) for write in plans[number].writes]
        locks = tuple(dict.fromkeys(name for plan in plans.values() for name in plan.locks))
        result = tuple(plans[number].result for number in range(len(parts)))
        return Plan(writes=tuple(writes), locks=locks, result=result)

    return decide


def _decided(part: Part, view: View) -> Plan:
    try:
        return part.decide(view)
    except FhirError as error:
        raise placed(error, part.place) from None


def _refuse_overlaps(parts: Sequence[Part], plans: Mapping[int, Plan], view: View) -> None:
    owner: dict[tuple[str, str], str] = {}
    for number, part in enumerate(parts):
        meant = [*_identities(plans[number])]
        if part.method != "POST":
            # What another entry deletes is found no more, and is still what was meant.
            meant += [(one.type, one.id) for each in part.criteria for one in view.find(each)]
        for identity in meant:
            other = owner.setdefault(identity, part.place)
            if other != part.place:
                raise Invalid(
                    f"{'/'.join(identity)} is named by two entries; a transaction may change a "
                    "resource once",
                    expression=[other, part.place],
                )


def _identities(plan: Plan) -> Iterable[tuple[str, str]]:
    if plan.writes:
        return [(write.type, write.id) for write in plan.writes]
    outcome = plan.result
    # A deletion of nothing still names its resource; a conditional create that found one does not.
    if isinstance(outcome, Outcome) and outcome.found is None and outcome.id:
        return [(outcome.type, outcome.id)]
    return []


def _refuse_twins(parts: Sequence[Part], plans: Mapping[int, Plan], overlay: Overlay) -> None:
    """Refuse a creation under criteria that another entry's content meets: order would matter."""
    for number, part in enumerate(parts):
        if part.creates is None or not plans[number].locks:
            continue
        own = {(write.type, write.id) for write in plans[number].writes}
        for other in overlay.planned(part.creates):
            if (other.type, other.id) not in own:
                raise Invalid(
                    "Another entry writes a resource that meets the criteria of this one; "
                    "a transaction may create it once",
                    expression=[part.place],
                )


def _relinked(structures: Structures, links: "_Links", part: Part, write: Write) -> Write:
    if write.resource is None:
        return write
    try:
        resource = links.apply(structures, part, write.resource)
    except FhirError as error:
        raise placed(error, part.place) from None
    return write if resource is write.resource else replace(write, resource=resource)


class _Links:
    """From the names that entries have in the Bundle to the addresses they get."""

    def __init__(
        self,
        parts: Sequence[Part],
        plans: Mapping[int, Plan],
        references: Mapping[str, Criteria],
        overlay: Overlay,
    ) -> None:
        self._overlay = overlay
        self._references = references
        self._addresses: dict[str, str] = {}
        self._versions: dict[str, int] = {}
        for number, part in enumerate(parts):
            outcome = plans[number].result
            if part.full_url and isinstance(outcome, Outcome) and outcome.id:
                self._addresses[part.full_url] = f"{outcome.type}/{outcome.id}"
            for write in plans[number].writes:
                self._versions[f"{write.type}/{write.id}"] = write.expected_version + 1
            if isinstance(outcome, Outcome) and outcome.found is not None:
                self._versions[f"{outcome.type}/{outcome.id}"] = outcome.found.version

    def apply(self, structures: Structures, part: Part, resource: Resource) -> Resource:
        restful = _RESTFUL.fullmatch(part.full_url)
        base = restful[1] if restful else ""

        def link(text: str, kind: Kind) -> str | None:
            found = self._address(text, base)
            if found is not None:
                return f"{self._overlay.base_url}/{found}" if kind == "uri" else found
            if kind == "reference" and text in self._references:
                return self._resolved(text)
            return None

        return replace_links(structures, resource, link)

    def _address(self, text: str, base: str) -> str | None:
        stem, marker, _ = text.partition("/_history/")
        found = self._addresses.get(stem)
        if found is None and base:
            found = self._addresses.get(f"{base}/{stem}")
        if found is None or not marker:
            return found
        return f"{found}/_history/{self._versions.get(found, 1)}"

    def _resolved(self, text: str) -> str:
        criteria = self._references[text]
        found = self._overlay.find(criteria)
        if len(found) > 1:
            raise criteria.several()
        if not found:
            raise Unresolved(f"No {criteria.type} matches the conditional reference {text[:200]}")
        return f"{found[0].type}/{found[0].id}"


def conditional_references(structures: Structures, resource: Resource) -> dict[str, str]:
    """The conditional references in a resource: their text, and the type that they search."""
    found: dict[str, str] = {}

    def note(text: str, kind: Kind) -> None:
        match = _CONDITIONAL.fullmatch(text) if kind == "reference" else None
        if match is not None:
            found[text] = match[1]

    replace_links(structures, resource, note)
    return found


def with_placeholders(
    structures: Structures, resource: Resource, types: Mapping[str, str]
) -> Resource:
    """The resource as it will be, except for ids: what its shape can be judged by.

    Args:
        structures: the shapes of R4's types.
        resource: as sent.
        types: the resource type of each entry, by fullUrl.
    """

    def link(text: str, kind: Kind) -> str | None:
        if kind != "reference":
            return None
        match = _CONDITIONAL.fullmatch(text)
        if match is not None:
            return f"{match[1]}/x"
        known = types.get(text.partition("/_history/")[0])
        return None if known is None else f"{known}/x"

    return replace_links(structures, resource, link)
