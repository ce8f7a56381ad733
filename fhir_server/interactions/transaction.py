"""transaction: every entry or none (https://hl7.org/fhir/R4/http.html#transaction)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fhir_server.context import RequestContext
from fhir_server.decisions.content import ContentRules
from fhir_server.decisions.create import plan_create
from fhir_server.decisions.criteria import Criteria, criteria_of_header
from fhir_server.decisions.delete import plan_conditional_delete, plan_delete
from fhir_server.decisions.outcome import Outcome, answer_of
from fhir_server.decisions.patch import Change, parse_patch, plan_conditional_patch, plan_patch
from fhir_server.decisions.transaction import (
    Part,
    conditional_references,
    plan_transaction,
    with_placeholders,
)
from fhir_server.decisions.update import (
    Replacement,
    check_body_id,
    plan_conditional_update,
    plan_update,
)
from fhir_server.fhir.bundle_entries import Entry, placed
from fhir_server.fhir.errors import FhirError, Issues, NotFound, NotSupported
from fhir_server.fhir.exchange import Answer, Pairs, Request
from fhir_server.fhir.ids import IdSource, is_id
from fhir_server.fhir.preconditions import write_condition
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Decide
from fhir_server.store.store import Store


class Asked(NamedTuple):
    """A writing entry and the interaction that it asks for."""

    entry: Entry
    request: Request


async def transaction(
    store: Store,
    rules: ContentRules,
    new_id: IdSource,
    ctx: RequestContext,
    asked: Sequence[Asked],
) -> list[Answer]:
    """The answers to the writing entries, in their order, before any preference is applied.

    Raises:
        FhirError: one of them is refused, so nothing was written; every expression begins with
            the entry.
    """
    preparation = _Preparation(store, rules, new_id, ctx, asked)
    parts = await preparation.parts()
    structures = rules.registry.structures
    decide = plan_transaction(structures, parts, preparation.references)
    aims = tuple(one.target for one in parts if one.target is not None)
    try:
        committed = await store.run(ctx, decide, interaction="transaction", aims=aims)
    except FhirError as error:
        raise _attributed(error, asked) from None
    outcomes = committed.result
    assert isinstance(outcomes, tuple)  # noqa: S101 - one for each part
    answers = []
    for one, outcome in zip(asked, outcomes, strict=True):
        answer = answer_of(ctx.base_url, outcome, committed.versions)
        if one.request.interaction == "patch" and isinstance(outcome, Outcome):
            written = [v for v in committed.versions if (v.type, v.id) == outcome[:2]]
            if not all(store.may_read(ctx, version) for version in written):
                answer.body = b""
        answers.append(answer)
    return answers


class _Preparation:
    """Understands the entries and judges what can be judged without the database."""

    def __init__(
        self,
        store: Store,
        rules: ContentRules,
        new_id: IdSource,
        ctx: RequestContext,
        asked: Sequence[Asked],
    ) -> None:
        self._store = store
        self._rules = rules
        self._new_id = new_id
        self._ctx = ctx
        self._asked = asked
        self._types = {one.entry.full_url: one.request.type for one in asked if one.entry.full_url}
        self.references: dict[str, Criteria] = {}

    async def parts(self) -> list[Part]:
        """The parts of the decision.

        Raises:
            FhirError: what is wrong with the entries, all of it at once.
        """
        problems: list[FhirError] = []
        parts = []
        for one in self._asked:
            try:
                parts.append(await self._part(one))
            except FhirError as error:
                problems.append(placed(error, one.entry.place))
        if problems:
            raise problems[0] if len(problems) == 1 else Issues(_flat(problems))
        return parts

    async def _part(self, one: Asked) -> Part:
        request = one.request
        match request.interaction:
            case "create":
                return await self._create(one)
            case "update":
                return await self._update(one)
            case "patch":
                return await self._patch(one)
            case "delete":
                return self._delete(one)
            case other:
                raise NotSupported(f"{other} cannot be part of a transaction; send it in a batch")

    async def _create(self, one: Asked) -> Part:
        request = one.request
        pairs = criteria_of_header(request.header(b"if-none-exist"))
        if pairs is not None and not self._rules.registry.types[request.type].conditional_create:
            raise NotSupported(f"Conditional create of {request.type} is not offered")
        resource = await request.body.resource()
        resource.pop("id", None)
        self._check(request, resource)
        criteria = None
        if pairs is not None:
            criteria = self._criteria(request.type, pairs).for_creating(resource)
        decide = plan_create(self._rules, request.type, self._new_id(), resource, criteria)
        return _part(one, decide, criteria=criteria, creates=criteria)

    async def _update(self, one: Asked) -> Part:
        request = one.request
        resource = await request.body.resource()
        condition = write_condition(request)
        if request.id:
            check_body_id(request.type, request.id, resource)
        self._check(request, resource)
        principal = self._ctx.principal
        replacement = Replacement(self._rules, principal, request.type, resource, condition)
        if request.id:
            return _part(one, plan_update(replacement, request.id))
        criteria = self._criteria(request.type, request.pairs).for_creating(resource)
        decide = plan_conditional_update(replacement, criteria, self._new_id())
        return _part(one, decide, criteria=criteria, creates=criteria)

    async def _patch(self, one: Asked) -> Part:
        request = one.request
        if request.id and not is_id(request.id):
            raise NotFound(f"There is no {request.type} with this id")
        patch = parse_patch(self._rules, await request.body.patch())
        admits = self._store.reach(self._ctx, request.type, "patch")
        change = Change(self._rules, request.type, patch, write_condition(request), admits)
        if request.id:
            return _part(one, plan_patch(change, request.id))
        criteria = self._criteria(request.type, request.pairs)
        return _part(one, plan_conditional_patch(change, criteria), criteria=criteria)

    def _delete(self, one: Asked) -> Part:
        request = one.request
        condition = write_condition(request)
        if request.id:
            return _part(one, plan_delete(request.type, request.id, condition))
        multiple = self._rules.registry.types[request.type].conditional_delete == "multiple"
        most = self._rules.settings.max_conditional_deletes + 1 if multiple else 2
        criteria = self._criteria(request.type, request.pairs, most=most)
        decide = plan_conditional_delete(criteria, condition, multiple=multiple)
        return _part(one, decide, criteria=criteria)

    def _criteria(self, resource_type: str, pairs: Pairs, *, most: int = 2) -> Criteria:
        return self._store.criteria(self._ctx, resource_type, pairs, most=most)

    def _check(self, request: Request, resource: Resource) -> None:
        """Judge the shape, and understand the conditional references."""
        structures = self._rules.registry.structures
        likely = with_placeholders(structures, resource, self._types)
        self._rules.check_shape(request.type, likely)
        for text, resource_type in conditional_references(structures, resource).items():
            if resource_type not in self._rules.registry.types:
                raise NotSupported(f"Conditional references to {resource_type} are not offered")
            pairs = criteria_of_header(text.partition("?")[2])
            self.references[text] = self._criteria(resource_type, pairs or ())


def _part(
    one: Asked, decide: Decide, *, criteria: Criteria | None = None, creates: Criteria | None = None
) -> Part:
    request, entry = one.request, one.entry
    return Part(
        entry.place,
        entry.method,
        entry.full_url,
        decide,
        (request.type, request.id) if request.id else None,
        () if criteria is None else (criteria,),
        creates,
    )


def _flat(problems: Sequence[FhirError]) -> list[FhirError]:
    return [
        issue
        for problem in problems
        for issue in (problem.issues if isinstance(problem, Issues) else (problem,))
    ]


def _attributed(error: FhirError, asked: Sequence[Asked]) -> FhirError:
    """A refusal of the whole plan, told about the entries that it is likely to be about.

    The scheduling guard judges all entries together; its expressions name the type.
    """
    issues = error.issues if isinstance(error, Issues) else (error,)
    if any(place.startswith("Bundle.") for one in issues for place in one.expression):
        return error
    by_type: dict[str, list[Entry]] = {}
    for one in asked:
        by_type.setdefault(one.request.type, []).append(one.entry)
    told = [_told(issue, by_type) for issue in issues]
    return told[0] if len(told) == 1 else Issues(told)


def _told(issue: FhirError, by_type: Mapping[str, list[Entry]]) -> FhirError:
    head = issue.expression[0].partition(".")[0] if issue.expression else ""
    entries = by_type.get(head, []) if head else [one for all_ in by_type.values() for one in all_]
    named = [one for one in entries if _is_named(one, issue.diagnostics)]
    chosen = named or (entries if head else [])
    return placed(issue, chosen[0].place) if chosen else issue


def _is_named(entry: Entry, diagnostics: str) -> bool:
    slots = (entry.resource or {}).get("slot", ())
    texts = [one.get("reference", "") for one in slots if isinstance(one, dict)]
    if "/" in entry.url:
        texts.append(entry.url)
    return any(text and text in diagnostics for text in texts)
