"""Narratives may format, and nothing else."""

import pytest

from fhir_server.definitions.narrative import narrative_problem

OPEN = '<div xmlns="http://www.w3.org/1999/xhtml">'


def _div(inner: str) -> str:
    return f"{OPEN}{inner}</div>"


@pytest.mark.parametrize(
    "div",
    [
        _div("text"),
        _div("<p>a<b>b</b><br/></p><table><tr><td colspan='2'>x</td></tr></table>"),
        _div('<img src="data:image/png;base64,AA==" alt=""/>'),
        _div('<a href="https://x.example/">x</a><a name="y">y</a><a href="Patient/1">z</a>'),
        _div("a&nbsp;b &eacute; &lt; &#233;"),
        _div("&nbsp;"),
        _div('<span style="color: red" xml:lang="de" lang="de">rot</span>'),
        _div("<!-- a note -->x"),
        '<h:div xmlns:h="http://www.w3.org/1999/xhtml"><h:p>x</h:p></h:div>',
    ],
)
def test_formatting_is_taken(div: str) -> None:
    """Basic formatting, links, images and HTML's entities are legal."""
    assert narrative_problem(div) is None


@pytest.mark.parametrize(
    ("div", "words"),
    [
        ("<div>x</div>", "must be <div xmlns="),
        ('<p xmlns="http://www.w3.org/1999/xhtml">x</p>', "must be <div xmlns="),
        (_div("<script>x</script>"), "must not hold <script>"),
        (_div("<p><iframe/></p>"), "must not hold <iframe>"),
        (_div("<form>x</form>"), "must not hold <form>"),
        (_div('<svg xmlns="http://www.w3.org/2000/svg">x</svg>'), "must not hold <svg>"),
        (_div('<p onclick="x()">x</p>'), "attribute onclick"),
        (_div('<a href="javascript:x()">x</a>'), "href that runs something"),
        (_div('<a href=" JavaScript:x()">x</a>'), "href that runs something"),
        (_div('<img src="vbscript:x"/>'), "src that runs something"),
        (_div('<p style="width: expression(x)">x</p>'), "style that runs"),
        (_div('<a xmlns:l="http://www.w3.org/1999/xlink" l:href="x">x</a>'), "attribute href"),
        (_div("&nothing;"), "entity &nothing;"),
        ("<!DOCTYPE div>" + _div("x"), "document type"),
        ('<!DOCTYPE d [<!ENTITY a "b">]>' + _div("&a;"), "document type"),
        (_div(""), "must have some text"),
        (_div("<p> </p><!-- x -->"), "must have some text"),
    ],
)
def test_anything_active_is_refused(div: str, words: str) -> None:
    """Scripts, frames, events, foreign elements and document types break txt-1, no text txt-2."""
    problem = narrative_problem(div)
    assert problem is not None
    assert not problem.is_malformed
    assert words in problem.text


@pytest.mark.parametrize("div", ["x", "", OPEN, _div("<b>x"), _div("a & b"), _div("x") + "y"])
def test_malformed_xhtml_is_refused(div: str) -> None:
    """What no XML parser reads is told with its place."""
    problem = narrative_problem(div)
    assert problem is not None
    assert problem.is_malformed
    assert "at line 1, column" in problem.text
