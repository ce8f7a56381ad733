"""`Location.near`: within a distance of a place (https://hl7.org/fhir/R4/location.html#search)."""

import math
from collections.abc import Sequence
from typing import Final

from fhir_server.definitions.search_parameter import Element, SearchParameter
from fhir_server.fhir.errors import Value
from fhir_server.fhir.types import Json
from fhir_server.search.condition import Condition, Near
from fhir_server.search.entry import Entry
from fhir_server.search.escapes import split, unescape
from fhir_server.search.query import Query

DEFAULT_KILOMETRES: Final = 25.0
"""What counts as near when the client does not say."""

METRES: Final = {
    "km": 1_000.0,
    "m": 1.0,
    "cm": 0.01,
    "[mi_us]": 1_609.347_218_694,
    "[mi_i]": 1_609.344,
    "[nmi_i]": 1_852.0,
    "[ft_i]": 0.304_8,
    "[ft_us]": 1_200 / 3_937,
    "[yd_i]": 0.914_4,
    "mi": 1_609.344,
}
"""Units of distance, UCUM's codes and the common `mi`, in metres."""


def index(code: str, elements: Sequence[Element], entry: Entry) -> None:
    """Note the position, when it is one on Earth."""
    del code
    for element in elements:
        position = _position(element.value)
        if position is not None:
            entry.single["g"] = position


def condition(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """`[latitude]|[longitude]|[distance]|[units]`; distance and units may be left out.

    Raises:
        Value: it is not of this form, or no place on Earth.
    """
    del parameter, query
    parts = [unescape(part) for part in split(text, "|")]
    if not 2 <= len(parts) <= 4:
        raise _malformed(text)
    latitude, longitude = _number(parts[0], text), _number(parts[1], text)
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise Value(
            f"'{text[:64]}' is no place: latitudes are -90 to 90, longitudes -180 to 180 degrees"
        )
    unit = parts[3] if len(parts) == 4 and parts[3] else "km"
    if unit not in METRES:
        raise Value(f"'{unit[:32]}' is no known unit of distance; supported: {', '.join(METRES)}")
    if len(parts) < 3 or not parts[2]:
        return Near(longitude, latitude, DEFAULT_KILOMETRES * METRES["km"])
    distance = _number(parts[2], text)
    if distance < 0:
        raise Value(f"'{text[:64]}' asks for a negative distance")
    return Near(longitude, latitude, distance * METRES[unit])


def _position(value: Json) -> list[float] | None:
    if not isinstance(value, dict):
        return None
    longitude, latitude = value.get("longitude"), value.get("latitude")
    if longitude is None or latitude is None:
        return None
    place = [float(longitude), float(latitude)]
    # MongoDB refuses to store a point off the globe, and nobody is near it.
    return place if abs(place[0]) <= 180 and abs(place[1]) <= 90 else None


def _number(part: str, text: str) -> float:
    try:
        number = float(part)
    except ValueError as error:
        raise _malformed(text) from error
    if not math.isfinite(number):
        raise _malformed(text)
    return number


def _malformed(text: str) -> Value:
    return Value(
        f"'{text[:64]}' is no place; expected latitude|longitude, latitude|longitude|distance "
        "or latitude|longitude|distance|units"
    )
