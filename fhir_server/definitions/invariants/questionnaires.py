"""Invariants of Questionnaire and QuestionnaireResponse."""

from collections.abc import Mapping

from fhir_server.definitions.invariants.rule import Holds, Rule, has, invariant, not_both
from fhir_server.fhir.types import Json

_WITH_OPTIONS = (
    "choice",
    "open-choice",
    "decimal",
    "integer",
    "date",
    "dateTime",
    "time",
    "string",
    "quantity",
)
_WITH_LENGTH = ("boolean", "decimal", "integer", "string", "text", "url", "open-choice")


def _only_of(types: tuple[str, ...], *names: str) -> Holds:
    return lambda item: item.get("type") in types or not has(item, *names)


def _not_of(types: tuple[str, ...], *names: str) -> Holds:
    return lambda item: item.get("type") not in types or not has(item, *names)


def _has_distinct_link_ids(questionnaire: Json) -> bool:
    ids: list[str] = []
    waiting = list(questionnaire.get("item", ()))
    while waiting:
        item = waiting.pop()
        if "linkId" in item:
            ids.append(item["linkId"])
        waiting.extend(item.get("item", ()))
    return len(ids) == len(set(ids))


def _nests_as_its_type_says(item: Json) -> bool:
    if item.get("type") == "group":
        return has(item, "item")
    return item.get("type") != "display" or not has(item, "item")


def _says_how_conditions_combine(item: Json) -> bool:
    return len(item.get("enableWhen", ())) <= 2 or has(item, "enableBehavior")


def _repeats_if_it_starts_with_several(item: Json) -> bool:
    return len(item.get("initial", ())) <= 1 or item.get("repeats") is True


RULES: Mapping[str, tuple[Rule, ...]] = {
    "Questionnaire": (
        invariant("que-2", "item", "every linkId may occur once", _has_distinct_link_ids),
    ),
    "Questionnaire.item": (
        invariant(
            "que-1",
            "item",
            "a group must have items, a display must not",
            _nests_as_its_type_says,
        ),
        invariant("que-3", "code", "a display has none", _not_of(("display",), "code")),
        invariant(
            "que-4",
            "answerOption",
            "excludes answerValueSet",
            not_both("answerOption", "answerValueSet"),
        ),
        invariant(
            "que-5",
            "type",
            "this type has no answer options",
            _only_of(_WITH_OPTIONS, "answerOption", "answerValueSet"),
        ),
        invariant(
            "que-6",
            "",
            "a display has neither required nor repeats",
            _not_of(("display",), "required", "repeats"),
        ),
        invariant(
            "que-8",
            "initial",
            "groups and displays have none",
            _not_of(("group", "display"), "initial"),
        ),
        invariant("que-9", "readOnly", "a display has none", _not_of(("display",), "readOnly")),
        invariant("que-10", "maxLength", "this type has none", _only_of(_WITH_LENGTH, "maxLength")),
        invariant(
            "que-11", "initial", "excludes answerOption", not_both("answerOption", "initial")
        ),
        invariant(
            "que-12",
            "enableBehavior",
            "is needed with several enableWhen",
            _says_how_conditions_combine,
        ),
        invariant(
            "que-13",
            "initial",
            "only an item that repeats has several",
            _repeats_if_it_starts_with_several,
        ),
    ),
    "Questionnaire.item.enableWhen": (
        invariant(
            "que-7",
            "answer",
            "must be a boolean with the operator exists",
            lambda it: it.get("operator") != "exists" or has(it, "answerBoolean"),
        ),
    ),
    "QuestionnaireResponse.item": (
        invariant(
            "qrs-1",
            "item",
            "items belong below the item or below its answers, not both",
            not_both("answer", "item"),
        ),
    ),
}
"""The rules of each structure, by its key."""
