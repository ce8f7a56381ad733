"""Formats: FHIR JSON in, FHIR JSON out, everything else refused clearly.

https://hl7.org/fhir/R4/http.html#mime-type, https://hl7.org/fhir/R4/http.html#parameters
"""

import json
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

import orjson

from fhir_server.fhir.errors import Invalid, NotAcceptable, UnsupportedMediaType, Value
from fhir_server.fhir.exchange import Pairs

FHIR_JSON = b"application/fhir+json; charset=utf-8"
JSON_TYPES = frozenset({"application/fhir+json", "application/json", "text/json"})
JSON_PATCH = "application/json-patch+json"
_WILDCARDS = frozenset({"*/*", "application/*", "text/*"})
_FORMATS = JSON_TYPES | {"json"}
_PLAIN_ACCEPT = frozenset(
    {
        None,
        b"*/*",
        b"application/fhir+json",
        b"application/json",
        b"application/fhir+json; charset=utf-8",
    }
)
_NEVER = re.compile(r"0(?:\.0*)?")
_OFFERED = "this server speaks FHIR R4 JSON: application/fhir+json"


class Wanted(NamedTuple):
    """How the client wants the answer, and the parameters left when that is taken out."""

    pretty: bool
    pairs: Pairs


def parse_pairs(text: str, limit: int) -> list[tuple[str, str]]:
    """The decoded parameters of a query or form, in order.

    Raises:
        Invalid: it is not UTF-8 in percent encoding, holds a NUL, or has more than `limit`
            parameters.
    """
    if not text:
        return []
    if "\0" in text or "%00" in text:
        raise Invalid("A parameter holds the character NUL")
    if text.count("&") >= limit:
        raise Invalid(f"There are more than {limit} parameters")
    if "%" not in text and "+" not in text:
        # Nothing to decode; parse_qsl would take several times as long for the same.
        parts = [part.partition("=") for part in text.split("&") if part]
        return [(name, value) for name, _, value in parts]
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise Invalid("The parameters are not UTF-8") from None


def negotiate(accept: bytes | None, pairs: Pairs) -> Wanted:
    """Take `_format` and `_pretty` out of the parameters; the former overrides Accept.

    Raises:
        NotAcceptable: the client accepts nothing this server can produce.
        Value: `_pretty` is no boolean, or either is repeated.
    """
    if not pairs:
        _check_accept(accept)
        return Wanted(pretty=False, pairs=pairs)
    formats = [value for name, value in pairs if name == "_format"]
    pretties = [value for name, value in pairs if name == "_pretty"]
    if len(formats) > 1 or len(pretties) > 1:
        raise Value("_format and _pretty may be given once")
    if formats:
        # A + that was not percent-encoded arrives as a space.
        wanted = _media_type(formats[0].replace("fhir json", "fhir+json"))
        if wanted not in _FORMATS:
            raise NotAcceptable(f"_format={formats[0][:60]} is not available; {_OFFERED}")
    else:
        _check_accept(accept)
    if pretties and pretties[0] not in ("true", "false"):
        raise Value("_pretty is true or false")
    rest = [pair for pair in pairs if pair[0] not in ("_format", "_pretty")]
    return Wanted(pretty=pretties == ["true"], pairs=rest)


def _check_accept(accept: bytes | None) -> None:
    if accept not in _PLAIN_ACCEPT and not _is_acceptable(accept or b""):
        shown = (accept or b"").decode("latin-1")[:120]
        raise NotAcceptable(f"Accept: {shown} cannot be met; {_OFFERED}")


@lru_cache(maxsize=512)
def _is_acceptable(accept: bytes) -> bool:
    ranges = [part for part in accept.decode("latin-1").split(",") if part.strip()]
    return not ranges or any(_range_accepts(one) for one in ranges)


def _range_accepts(media_range: str) -> bool:
    parameters = _parameters(media_range)
    if _NEVER.fullmatch(parameters.get("q", "1")) or not _is_r4(parameters):
        return False
    return _media_type(media_range) in JSON_TYPES | _WILDCARDS


def _media_type(text: str) -> str:
    return text.partition(";")[0].strip().lower()


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";")[1:])
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _is_r4(parameters: dict[str, str]) -> bool:
    return parameters.get("fhirversion", "4.0") in ("4.0", "4.0.1")


@lru_cache(maxsize=256)
def check_json_body(content_type: str | None) -> None:
    """Refuse a body that does not say it is FHIR R4 JSON in UTF-8.

    Raises:
        UnsupportedMediaType: it is something else, or does not say what it is.
    """
    if content_type is None:
        raise UnsupportedMediaType("The body has no Content-Type; send application/fhir+json")
    parameters = _parameters(content_type)
    if _media_type(content_type) not in JSON_TYPES:
        raise UnsupportedMediaType(f"Content-Type {content_type[:80]} is not read; {_OFFERED}")
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("FHIR JSON is always UTF-8")
    if not _is_r4(parameters):
        raise UnsupportedMediaType("Only FHIR R4 is read, fhirVersion=4.0")


def is_json_patch(content_type: str | None) -> bool:
    """Whether a body says that it is a JSON Patch (RFC 6902)."""
    return _media_type(content_type or "") == JSON_PATCH


def check_coding(content_encoding: bytes | None) -> None:
    """Refuse a body that is compressed.

    Raises:
        UnsupportedMediaType: it is.
    """
    if content_encoding is not None and content_encoding.lower() != b"identity":
        coding = content_encoding.decode("latin-1")[:80]
        raise UnsupportedMediaType(
            f"Content-Encoding {coding} is not undone; send the body as it is"
        )


def check_form_body(content_type: str | None) -> None:
    """Refuse a search body that is no form.

    Raises:
        UnsupportedMediaType: it is something else.
    """
    if _media_type(content_type or "") != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("The body of _search must be application/x-www-form-urlencoded")


def indent(body: bytes) -> bytes:
    """The same JSON for human eyes, numbers digit for digit."""
    tree = json.loads(body, parse_float=_verbatim, parse_int=_verbatim)
    return orjson.dumps(tree, option=orjson.OPT_INDENT_2)


def _verbatim(number: str) -> orjson.Fragment:
    return orjson.Fragment(number)
