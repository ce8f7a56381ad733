"""Strings: what starts with the text, whatever its case, accents and punctuation.

https://hl7.org/fhir/R4/search.html#string

Every word of a name or an address begins a match, so the parts of a double surname are found
independently. `phonetic` parameters compare the Metaphone key of each word, which is the same for
words that English speakers pronounce alike (Smith and Smyth); all words asked for must sound like
some word of the name.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import jellyfish

from fhir_server.definitions.search_parameter import Element, SearchParameter
from fhir_server.fhir.errors import Value
from fhir_server.fhir.types import Json
from fhir_server.search.condition import Condition, Every, TermPrefix, Terms
from fhir_server.search.entry import Entry
from fhir_server.search.escapes import unescape
from fhir_server.search.modified import AnyTerm, Containing, Original
from fhir_server.search.query import Query

LONGEST: Final = 500
"""Characters of a string that are indexed and compared."""

PHONETIC: Final = "phonetic"
"""The parameter that compares by sound."""

_WORD_BY_WORD: Final = frozenset({"family"})
_NAME_PARTS: Final = ("family", "given", "text", "prefix", "suffix")
_ADDRESS_PARTS: Final = (
    "text",
    "line",
    "city",
    "district",
    "state",
    "postalCode",
    "country",
)
# Letters that Unicode does not decompose into a base letter and an accent.
_LETTERS: Final = str.maketrans(
    {
        "ł": "l",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        "ħ": "h",
        "\u0131": "i",
    }
)
_SEPARATORS: Final = frozenset("/,;|\\")


def index(code: str, elements: Sequence[Element], entry: Entry) -> None:
    """Add the terms of the elements that a string parameter selects."""
    add = entry.terms.update
    for element in elements:
        parts = _PARTS.get(element.datatype)
        if parts is not None:
            texts, by_word = parts(element.value), True
        elif isinstance(element.value, str):
            texts, by_word = iter((element.value,)), code in _WORD_BY_WORD
        else:
            continue
        for text in texts:
            if code == PHONETIC:
                add(f"{code}={key}" for key in sounds(text))
            else:
                add(f"{code}={start}" for start in _starts(text, by_word=by_word))
                entry.originals.add(_original(code, text))


def condition(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """Everything that starts with the text or, of a `phonetic` parameter, sounds like it.

    Raises:
        Value: the text holds nothing but punctuation.
    """
    del query
    wanted = unescape(text)
    normalised = normalise(wanted)
    if not normalised:
        raise Value(f"'{text[:64]}' holds no letter or digit to search for")
    if parameter.code != PHONETIC:
        return TermPrefix(f"{parameter.code}={normalised}")
    keys = [Terms((f"{parameter.code}={key}",)) for key in dict.fromkeys(sounds(wanted))]
    return keys[0] if len(keys) == 1 else Every(tuple(keys))


def exact(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`:exact`: the whole string, with its case and accents."""
    del query
    wanted, code = unescape(text), parameter.code
    normalised = normalise(wanted)
    near = Terms((f"{code}={normalised}",)) if normalised else AnyTerm(code)
    return Every((near, Original(_original(code, wanted))))


def contains(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`:contains`: the text anywhere in the string, but not across its ends.

    Raises:
        Value: the text holds nothing but punctuation.
    """
    del query
    normalised = normalise(unescape(text))
    if not normalised:
        raise Value(f"'{text[:64]}' holds no letter or digit to search for")
    return Containing(parameter.code, normalised)


@lru_cache(maxsize=16_384)
def normalise(text: str) -> str:
    """The text as it is compared: without case, accents, punctuation and surplus spaces.

    Hyphens, slashes, commas and semicolons separate words; other punctuation is dropped.
    """
    plain = text[:LONGEST].casefold()
    if not plain.isascii():
        decomposed = unicodedata.normalize("NFKD", plain).casefold()
        plain = "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_LETTERS)
    if not plain.replace(" ", "").isalnum():
        plain = "".join(map(_kept, plain))
    return " ".join(plain.split())


@lru_cache(maxsize=16_384)
def sounds(text: str) -> tuple[str, ...]:
    """A phonetic key for each word; the word itself where the algorithm knows no sound."""
    return tuple(
        (jellyfish.metaphone(word).replace(" ", "") if word.isascii() else "") or word
        for word in normalise(text).split()
    )


def _original(code: str, text: str) -> str:
    # No normalised text holds a tab, which sorts before everything that one can hold.
    return f"{code}={normalise(text)}\t{text[:LONGEST]}"


def _kept(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Pd" or category[0] == "Z" or character in _SEPARATORS:
        return " "
    if category[0] == "P" or category in {"Cs", "Cf", "Mn", "Me"}:
        return ""
    return " " if category == "Cc" else character


@lru_cache(maxsize=16_384)
def _starts(text: str, *, by_word: bool) -> tuple[str, ...]:
    whole = normalise(text)
    if not whole:
        return ()
    if not by_word or " " not in whole:
        return (whole,)
    words = whole.split(" ")
    return tuple(" ".join(words[first:]) for first in range(len(words)))


def _of(value: Json, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        part = value.get(name)
        if isinstance(part, str):
            yield part
        elif part:
            yield from (one for one in part if one)


def _of_name(value: Json) -> Iterator[str]:
    return _of(value, _NAME_PARTS)


def _of_address(value: Json) -> Iterator[str]:
    return _of(value, _ADDRESS_PARTS)


def _of_coding(value: Json) -> Iterator[str]:
    return _of(value, ("display",))


def _of_concept(value: Json) -> Iterator[str]:
    yield from _of(value, ("text",))
    for coding in value.get("coding") or ():
        yield from _of_coding(coding or {})


_PARTS: Final[dict[str, Callable[[Json], Iterator[str]]]] = {
    "HumanName": _of_name,
    "Address": _of_address,
    "Coding": _of_coding,
    "CodeableConcept": _of_concept,
}
