"""R4's primitive types: which JSON values are legal (https://hl7.org/fhir/R4/datatypes.html)."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from fhir_server.fhir.codec import ExactDecimal
from fhir_server.fhir.ids import ID
from fhir_server.fhir.types import Json

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_CODE = re.compile(r"\S+(?:\s\S+)*")
_URI = re.compile(r"\S+")
_OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME_OF_DAY = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_YEAR = r"(?!0000)([0-9]{4})"
_MONTH = r"(0[1-9]|1[0-2])"
_DAY = r"(0[1-9]|[12][0-9]|3[01])"
_DATE = re.compile(rf"{_YEAR}(?:-{_MONTH}(?:-{_DAY})?)?")
_DATE_TIME = re.compile(rf"{_YEAR}(?:-{_MONTH}(?:-{_DAY}(?:T{_TIME_OF_DAY}{_ZONE})?)?)?")
_INSTANT = re.compile(rf"{_YEAR}-{_MONTH}-{_DAY}T{_TIME_OF_DAY}{_ZONE}")
_TIME = re.compile(_TIME_OF_DAY)
_LARGEST_INTEGER = 2**31 - 1
_DAYS_OF_EVERY_MONTH = "28"
_NUMBERS = frozenset({int, float, Decimal, ExactDecimal})


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive type.

    Attributes:
        name: the FHIR type.
        is_legal: whether a JSON value is one.
        meaning: what a legal value looks like, to complete "must be …".
    """

    name: str
    is_legal: Callable[[Json], bool]
    meaning: str


def is_string(value: Json) -> bool:
    """Text that is not empty and has no control characters but tab, CR and LF."""
    if type(value) is not str or not value:
        return False
    return value.isprintable() or not _CONTROL.search(value)


def _is_boolean(value: Json) -> bool:
    return value is True or value is False


def _is_decimal(value: Json) -> bool:
    return type(value) in _NUMBERS


def _integer_from(lowest: int) -> Callable[[Json], bool]:
    def is_legal(value: Json) -> bool:
        return type(value) is int and lowest <= value <= _LARGEST_INTEGER

    return is_legal


def _text_like(pattern: re.Pattern[str]) -> Callable[[Json], bool]:
    fullmatch = pattern.fullmatch

    def is_legal(value: Json) -> bool:
        return (
            type(value) is str
            and fullmatch(value) is not None
            and (value.isprintable() or not _CONTROL.search(value))
        )

    return is_legal


def _date_like(pattern: re.Pattern[str]) -> Callable[[Json], bool]:
    fullmatch = pattern.fullmatch

    def is_legal(value: Json) -> bool:
        if type(value) is not str:
            return False
        match = fullmatch(value)
        if match is None:
            return False
        year, month, day = match.groups()
        if day is None or day <= _DAYS_OF_EVERY_MONTH:
            return True
        try:
            date(int(year), int(month), int(day))
        except ValueError:
            return False
        return True

    return is_legal


def _is_base64(value: Json) -> bool:
    if type(value) is not str or not value:
        return False
    try:
        base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


_ALL = (
    Primitive("boolean", _is_boolean, "true or false, without quotes"),
    Primitive("integer", _integer_from(-(2**31)), "a whole number of 32 bits, without quotes"),
    Primitive("unsignedInt", _integer_from(0), "a whole number from 0 to 2147483647"),
    Primitive("positiveInt", _integer_from(1), "a whole number from 1 to 2147483647"),
    Primitive("decimal", _is_decimal, "a number, without quotes"),
    Primitive("string", is_string, "text that is not empty, without control characters"),
    Primitive("markdown", is_string, "text that is not empty, without control characters"),
    Primitive("xhtml", is_string, "a <div> of XHTML as text"),
    Primitive("code", _text_like(_CODE), "a code: text without outer or double spaces"),
    Primitive("id", _text_like(ID), "an id: 1 to 64 letters, digits, hyphens and dots"),
    Primitive("uri", _text_like(_URI), "a URI: text without spaces"),
    Primitive("url", _text_like(_URI), "a URL: text without spaces"),
    Primitive("canonical", _text_like(_URI), "a canonical URL: text without spaces"),
    Primitive("oid", _text_like(_OID), "an OID such as urn:oid:1.2.3"),
    Primitive("uuid", _text_like(_UUID), "a UUID such as urn:uuid: and 36 lower-case characters"),
    Primitive("base64Binary", _is_base64, "base64 text"),
    Primitive("date", _date_like(_DATE), "a date: YYYY, YYYY-MM or YYYY-MM-DD"),
    Primitive(
        "dateTime",
        _date_like(_DATE_TIME),
        "a date, or a date and time with seconds and time zone: 2026-03-29T09:30:00+01:00",
    ),
    Primitive(
        "instant",
        _date_like(_INSTANT),
        "a date and time with seconds and time zone: 2026-03-29T09:30:00+01:00",
    ),
    Primitive("time", _text_like(_TIME), "a time of day: 09:30:00"),
)

PRIMITIVES: Mapping[str, Primitive] = {primitive.name: primitive for primitive in _ALL}
"""Every primitive type by name."""
