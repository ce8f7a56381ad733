"""Conditions that only modifiers ask for (https://hl7.org/fhir/R4/search.html#modifiers)."""

import re
from dataclasses import dataclass

from fhir_server.search.condition import PREFIX, Condition, Filter, Index


@dataclass(frozen=True, slots=True)
class Not:
    """Does not fulfil a condition; so does a resource that lacks the element altogether."""

    condition: Condition

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """No index bounds it: it is judged on what other conditions, or the order, have found."""
        return {"$nor": [self.condition.mongo(prefix)]}

    def matches(self, ix: Index) -> bool:
        """Whether the condition does not hold."""
        return not self.condition.matches(ix)


@dataclass(frozen=True, slots=True)
class AnyTerm:
    """Has any index term of a search parameter, whatever its form.

    Attributes:
        code: the search parameter.
    """

    code: str

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """One range: the terms begin with `code:` or `code=`, and only `;` and `<` lie between."""
        low, high = self._ends
        return {f"{prefix}t": {"$elemMatch": {"$gte": low, "$lt": high}}}

    def matches(self, ix: Index) -> bool:
        """Whether there is one."""
        low, high = self._ends
        return any(low <= term < high for term in ix.get("t", ()))

    @property
    def _ends(self) -> tuple[str, str]:
        return f"{self.code}:", f"{self.code}>"


@dataclass(frozen=True, slots=True)
class Containing:
    """Has an index term of a string parameter that holds a text anywhere.

    Attributes:
        code: the search parameter.
        text: normalised.
    """

    code: str
    text: str

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """The anchored start bounds the index to the terms of the parameter."""
        return {f"{prefix}t": {"$regex": f"^{re.escape(self.code)}=.*{re.escape(self.text)}"}}

    def matches(self, ix: Index) -> bool:
        """Whether any term of the parameter holds the text."""
        start = f"{self.code}="
        return any(
            term.startswith(start) and self.text in term[len(start) :] for term in ix.get("t", ())
        )


@dataclass(frozen=True, slots=True)
class Original:
    """Has a string exactly as it is written.

    Attributes:
        entry: as it stands in `ix.x`.
    """

    entry: str

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """In no index; the term of the normalised string stands beside it."""
        return {f"{prefix}x": self.entry}

    def matches(self, ix: Index) -> bool:
        """Whether it is there."""
        return self.entry in ix.get("x", ())
