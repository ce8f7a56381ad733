r"""Separators inside a value, and how to write them literally: `\,` `\$` `\|` `\\`.

https://hl7.org/fhir/R4/search.html#escaping
"""

from typing import Final

_ESCAPED: Final = frozenset(",$|\\")


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that are not escaped; escapes stay in the parts."""
    if "\\" not in text:
        return text.split(separator)
    parts, start, position = [], 0, 0
    while position < len(text):
        if text[position] == "\\":
            position += 2
            continue
        if text[position] == separator:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    parts.append(text[start:])
    return parts


def unescape(text: str) -> str:
    """The text that a part stands for; a backslash before anything else stays."""
    if "\\" not in text:
        return text
    characters, position = [], 0
    while position < len(text):
        if text[position] == "\\" and text[position + 1 : position + 2] in _ESCAPED:
            position += 1
        characters.append(text[position])
        position += 1
    return "".join(characters)
