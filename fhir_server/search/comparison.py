"""Prefixes of ordered values: what they ask of a range (https://hl7.org/fhir/R4/search.html#prefix).

Both sides are ranges. A search value's range follows from its precision; a stored one from its
precision or its explicit ends.
"""

from typing import Final

from fhir_server.fhir.dates import EARLIEST, LATEST
from fhir_server.fhir.errors import NotSupported
from fhir_server.search.condition import Box

PREFIXES: Final = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def split_prefix(text: str) -> tuple[str, str]:
    """A value's prefix, `eq` when there is none, and the rest.

    Raises:
        NotSupported: it starts with letters that are no prefix.
    """
    start = text[:2]
    if start in PREFIXES:
        return start, text[2:]
    if len(start) == 2 and start.isalpha():
        raise NotSupported(
            f"the prefix '{start}' is not known; supported prefixes: {', '.join(PREFIXES)}"
        )
    return "eq", text


def boxes(prefix: str, low: float, high: float, *, half_open: bool = False) -> tuple[Box, ...]:
    """What a prefix asks of a stored range; any of the boxes will do.

    Args:
        prefix: one of `PREFIXES`; `ap` expects a range that is already widened.
        low: where the search value's range starts, inclusive.
        high: where it ends.
        half_open: whether the end itself is outside the range.
    """
    inside: Box = (("l", "$gte", low), ("h", "$lt" if half_open else "$lte", high))
    above: Box = (("h", "$gt", high),)
    below: Box = (("l", "$lt", low),)
    beyond: Box = (("h", "$gte" if half_open else "$gt", high),)
    table: dict[str, tuple[Box, ...]] = {
        "eq": (inside,),
        "ne": (below, beyond),
        "gt": (above,),
        "lt": (below,),
        "ge": (above, inside),
        "le": (below, inside),
        "sa": ((("l", "$gt", high),),),
        "eb": ((("h", "$lt", low),),),
        "ap": ((("l", "$lte", high), ("h", "$gte", low)),),
    }
    return table[prefix]


def spans(prefix: str, low: int, high: int) -> tuple[tuple[int, int], ...]:
    """What a prefix asks of a stored point: the inclusive ranges that it may lie in."""
    # The very last number stands for "no date", which no prefix matches.
    last = LATEST - 1
    after, before = (high + 1, last), (EARLIEST, low - 1)
    table: dict[str, tuple[tuple[int, int], ...]] = {
        "eq": ((low, high),),
        "ap": ((low, high),),
        "ne": (before, after),
        "gt": (after,),
        "sa": (after,),
        "lt": (before,),
        "eb": (before,),
        "ge": ((low, last),),
        "le": ((EARLIEST, high),),
    }
    return table[prefix]
