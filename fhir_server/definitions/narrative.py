"""Narrative: XHTML that only shows something (https://hl7.org/fhir/R4/narrative.html#xhtml).

What a browser would run or fetch is refused: scripts, forms, frames, objects, event attributes
and style sheets. Entities are HTML's own; a document type is refused, so nothing can expand.
"""

from dataclasses import dataclass, field
from html.entities import name2codepoint
from xml.parsers import expat

_NAMESPACE = "http://www.w3.org/1999/xhtml"
_XML = "http://www.w3.org/XML/1998/namespace"
_SEPARATOR = " "
# HTML 4.0 chapters 7-11 (but 9.4) and 15, anchors and images.
_ELEMENTS = frozenset(
    """div span p br hr h1 h2 h3 h4 h5 h6 address bdo pre blockquote q
    em strong dfn code samp kbd var cite abbr acronym sub sup b i tt big small
    ul ol li dl dt dd table caption colgroup col thead tfoot tbody tr th td
    a img map area""".split()  # noqa: SIM905 - a table of words reads better
)
_ATTRIBUTES = frozenset(
    """abbr accesskey align alt axis border cellhalign cellpadding cellspacing cellvalign char
    charoff charset cite class colspan compact coords dir frame headers height href hreflang hspace
    id lang longdesc name nowrap rel rev rowspan rules scope shape span src start style summary
    tabindex title type valign value vspace width""".split()  # noqa: SIM905 - a table of words reads better
)
_LINKS = frozenset({"href", "src", "cite", "longdesc"})
_SAFE_LINKS = ("http:", "https:", "mailto:", "tel:", "data:image/", "#", "urn:")
_UNSAFE_STYLE = ("expression", "javascript:", "@import", "behavior")


@dataclass(frozen=True, slots=True)
class NarrativeProblem:
    """Why a div is refused.

    Attributes:
        text: completes a sentence that starts with the element's path.
        is_malformed: no XHTML at all; else it breaks txt-1 or txt-2.
    """

    text: str
    is_malformed: bool


class _Refused(Exception):
    pass


@dataclass(slots=True)
class _Content:
    depth: int = 0
    has_content: bool = False
    seen: set[str] = field(default_factory=set)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(_SEPARATOR)
        if self.depth == 0 and (namespace, local) != (_NAMESPACE, "div"):
            raise _Refused(f'must be <div xmlns="{_NAMESPACE}">')
        if namespace != _NAMESPACE or local not in _ELEMENTS:
            raise _Refused(f"must not hold <{local[:32]}>: only formatting is allowed (txt-1)")
        self.depth += 1
        self.has_content |= local == "img"
        for attribute, value in attributes.items():
            _check_attribute(attribute, value)

    def end(self, _name: str) -> None:
        self.depth -= 1

    def text(self, text: str) -> None:
        self.has_content |= not text.isspace()

    def entity(self, name: str, is_parameter: bool) -> None:
        if is_parameter or name not in name2codepoint:
            raise _Refused(f"names the entity &{name[:32]};, which HTML does not have")
        self.has_content = True

    def doctype(self, *_declared: object) -> None:
        raise _Refused("must not have a document type")


def narrative_problem(div: str) -> NarrativeProblem | None:
    """The first thing that is wrong with a narrative's div, or None."""
    content = _Content()
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    # Without this an entity of HTML, which no DTD declares here, would be an error.
    parser.UseForeignDTD(True)
    parser.StartElementHandler = content.start
    parser.EndElementHandler = content.end
    parser.CharacterDataHandler = content.text
    parser.SkippedEntityHandler = content.entity
    parser.EntityDeclHandler = content.doctype
    try:
        if "<!DOCTYPE" in div:
            content.doctype()
        parser.Parse(div, True)
    except expat.ExpatError as error:
        return NarrativeProblem(
            f"is not well-formed XHTML: {expat.ErrorString(error.code)} at line {error.lineno}, "
            f"column {error.offset + 1}",
            is_malformed=True,
        )
    except _Refused as refused:
        return NarrativeProblem(str(refused), is_malformed=False)
    if not content.has_content:
        return NarrativeProblem("must have some text or an image (txt-2)", is_malformed=False)
    return None


def _check_attribute(attribute: str, value: str) -> None:
    namespace, _, local = attribute.rpartition(_SEPARATOR)
    if namespace not in ("", _XML) or (not namespace and local not in _ATTRIBUTES):
        raise _Refused(f"must not have the attribute {local[:32]}, which may be active (txt-1)")
    text = value.strip().lower()
    if local in _LINKS and ":" in text.split("/")[0] and not text.startswith(_SAFE_LINKS):
        raise _Refused(f"must not have a {local} that runs something (txt-1)")
    if local == "style" and any(word in text for word in _UNSAFE_STYLE):
        raise _Refused("must not have a style that runs or loads something (txt-1)")
