"""Search expressions compiled to closures (FHIRPath as R4's search parameters use it).

The types of every step are known from the StructureDefinitions, so a choice such as `value` is
resolved to its JSON names once, at start-up, and every selected value carries its FHIR type
(http://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpath.html). What cannot be compiled is
an error of the artefact, never a parameter that quietly finds nothing.

Understood: paths, `|`, `where()`, `exists()`, `empty()`, `not()`, `first()`, `as`, `is`,
`ofType()`, `extension()`, `hasExtension()`, `resolve() is Type`, `=`, `!=`, `and`, `or`,
parentheses, and literals.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fhir_server.definitions.elements import ElementDefinition, Structures
from fhir_server.definitions.references import referenced_type
from fhir_server.definitions.search_parameter import Element, Extract
from fhir_server.fhir.types import Json

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<string>'[^']*')"
    r"|(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<mark>!=|[|.,()=]))"
)
_PRECEDENCE = {"or": 1, "and": 2, "=": 3, "!=": 3, "|": 4, "is": 5, "as": 5}
_LITERALS = {"true": True, "false": False}

Select = Callable[[list[Json], Json], list[Json]]
"""From the values of the focus, and the whole resource, to the selected values."""


class ExpressionError(ValueError):
    """An expression that is malformed, names what R4 does not have, or is not understood."""


@dataclass(frozen=True, slots=True)
class _Branch:
    """One way through an expression, with the single FHIR type that it yields."""

    select: Select
    datatype: str
    codes: Mapping[str, str] | None = None
    resolved: bool = False


_Branches = list[_Branch]


class _Token(NamedTuple):
    kind: str
    text: str


def compile_expression(structures: Structures, expression: str, context: str) -> Extract:
    """The closure that selects an expression's elements.

    Args:
        structures: the shapes of R4's types.
        expression: FHIRPath; paths start at the context or name its type first.
        context: a resource type, or for a composite's component the type it is evaluated on.

    Raises:
        ExpressionError: it cannot be compiled.
    """
    return _extract(_Compiler(structures, _tokens(expression), context).compile())


def element_type(structures: Structures, expression: str, context: str) -> tuple[str, ...]:
    """The FHIR types that an expression may select.

    Raises:
        ExpressionError: it cannot be compiled.
    """
    branches = _Compiler(structures, _tokens(expression), context).compile()
    return tuple(dict.fromkeys(branch.datatype for branch in branches))


def selects_listed_codes(structures: Structures, expression: str, context: str) -> bool:
    """Whether an expression selects only codes of value sets that required bindings name.

    Raises:
        ExpressionError: it cannot be compiled.
    """
    branches = _Compiler(structures, _tokens(expression), context).compile()
    return all(branch.datatype == "code" and branch.codes for branch in branches)


def _extract(branches: _Branches) -> Extract:
    plan = tuple((branch.select, branch.datatype, branch.codes) for branch in branches)

    def extract(resource: Json) -> list[Element]:
        found = []
        focus = [resource]
        for select, datatype, codes in plan:
            for value in select(focus, resource):
                system = codes.get(value) if codes else None
                found.append(Element(datatype, value, system))
        return found

    return extract


def _tokens(expression: str) -> list[_Token]:
    tokens = []
    position, text = 0, expression.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"cannot read {text[position:]!r}")
        tokens.append(_Token(match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return tokens


class _Compiler:
    """A precedence climber that yields branches instead of a syntax tree."""

    def __init__(self, structures: Structures, tokens: list[_Token], context: str) -> None:
        self._structures = structures
        self._tokens = [*tokens, _Token("end", "")]
        self._position = 0
        self._context = context

    def compile(self) -> _Branches:
        branches = self._expression([_Branch(_focus, self._context)], 0)
        if self._tokens[self._position].kind != "end":
            raise ExpressionError(f"unexpected {self._tokens[self._position].text!r}")
        if any(branch.resolved for branch in branches):
            raise ExpressionError("resolve() may only be tested with `is`")
        if not branches:
            raise ExpressionError(f"selects nothing of {self._context}")
        return branches

    def _peek(self) -> str:
        return self._tokens[self._position].text

    def _next(self) -> _Token:
        token = self._tokens[self._position]
        self._position += 1
        return token

    def _expect(self, text: str) -> None:
        found = self._next()
        if found.text != text:
            raise ExpressionError(f"expected {text!r} before {found.text!r}")

    def _expression(self, focus: _Branches, lowest: int) -> _Branches:
        left = self._postfix(focus)
        while (rank := _PRECEDENCE.get(self._peek(), 0)) > lowest:
            operator = self._next().text
            if operator in ("as", "is"):
                left = self._typed(left, operator, self._type_name())
            elif operator == "|":
                left = left + self._expression(focus, rank)
            else:
                right = self._expression(focus, rank)
                left = [_operation(operator, left, right)] if left and right else []
        return left

    def _postfix(self, focus: _Branches) -> _Branches:
        branches = self._primary(focus)
        while self._peek() == ".":
            self._next()
            name = self._name()
            branches = (
                self._call(branches, name) if self._peek() == "(" else self._step(branches, name)
            )
        return branches

    def _primary(self, focus: _Branches) -> _Branches:
        token = self._next()
        if token.text == "(":
            inner = self._expression(focus, 0)
            self._expect(")")
            return inner
        if token.kind == "string":
            return [_constant(token.text[1:-1], "string")]
        if token.kind == "number":
            return [_constant(float(token.text), "decimal")]
        if token.text in _LITERALS:
            return [_constant(_LITERALS[token.text], "boolean")]
        if token.kind != "name":
            raise ExpressionError(f"unexpected {token.text!r}")
        if self._peek() == "(":
            return self._call(focus, token.text)
        if token.text in ("Resource", "DomainResource") or token.text == self._context:
            return focus
        if token.text in self._structures.resource_types:
            return []  # A path of another type, as in parameters that several types share.
        return self._step(focus, token.text)

    def _name(self) -> str:
        token = self._next()
        if token.kind != "name":
            raise ExpressionError(f"expected a name before {token.text!r}")
        return token.text

    def _type_name(self) -> str:
        name = self._name()
        if name == "FHIR" and self._peek() == ".":
            self._next()
            return self._name()
        return name

    def _step(self, branches: _Branches, name: str) -> _Branches:
        found = [after for branch in branches for after in self._children(branch, name)]
        if branches and not found:
            types = ", ".join(sorted({branch.datatype for branch in branches}))
            raise ExpressionError(f"{types} has no element {name}")
        return found

    def _children(self, branch: _Branch, name: str) -> _Branches:
        try:
            structure = self._structures[branch.datatype]
        except KeyError:
            return []
        return [
            _Branch(
                _compose(branch.select, _child(structure.elements[json_name])),
                structure.elements[json_name].datatype,
                structure.elements[json_name].codes,
            )
            for json_name in structure.groups.get(name, ())
        ]

    def _call(self, branches: _Branches, function: str) -> _Branches:
        self._expect("(")
        result = self._function(branches, function)
        self._expect(")")
        return result

    def _function(self, branches: _Branches, function: str) -> _Branches:
        if function in ("as", "ofType", "is"):
            return self._typed(branches, "is" if function == "is" else "as", self._type_name())
        if function in ("extension", "hasExtension"):
            extensions = self._extensions(branches)
            if function == "hasExtension" and extensions:
                return [_test(extensions, "exists")]
            return extensions
        if function == "where":
            return self._where(branches)
        if function in ("exists", "empty", "not"):
            if function == "exists" and self._peek() != ")":
                branches = self._where(branches)
            return [_test(branches, function)] if branches else []
        if function == "first":
            return [_replace(branch, _compose(branch.select, _first)) for branch in branches]
        if function == "resolve":
            return [_Branch(branch.select, branch.datatype, resolved=True) for branch in branches]
        raise ExpressionError(f"function {function}() is not supported")

    def _where(self, branches: _Branches) -> _Branches:
        start = self._position
        if not branches:
            self._skip_arguments()
        filtered = []
        for branch in branches:
            self._position = start
            criteria = self._expression([_Branch(_focus, branch.datatype)], 0)
            filtered.append(_replace(branch, _compose(branch.select, _filter(criteria))))
        return filtered

    def _skip_arguments(self) -> None:
        depth = 0
        while depth or self._peek() != ")":
            token = self._next()
            if token.kind == "end":
                raise ExpressionError("a bracket is not closed")
            depth += {"(": 1, ")": -1}.get(token.text, 0)

    def _extensions(self, branches: _Branches) -> _Branches:
        url = self._next()
        if url.kind != "string":
            raise ExpressionError("extension() needs a URL in quotes")
        return [
            _replace(branch, _compose(branch.select, _with_url(url.text[1:-1])))
            for branch in self._step(branches, "extension")
        ]

    def _typed(self, branches: _Branches, operator: str, wanted: str) -> _Branches:
        if any(branch.resolved for branch in branches):
            if operator != "is":
                raise ExpressionError("resolve() may only be tested with `is`")
            return [_Branch(_resolves_to(branches, wanted), "boolean")]
        kept = [branch for branch in branches if branch.datatype == wanted]
        if branches and operator == "is":
            return [_test(kept, "exists")]
        if branches and not kept:
            types = ", ".join(sorted({branch.datatype for branch in branches}))
            raise ExpressionError(f"{types} is never a {wanted}")
        return kept


def _focus(values: list[Json], _root: Json) -> list[Json]:
    return values


def _replace(branch: _Branch, select: Select) -> _Branch:
    return _Branch(select, branch.datatype, branch.codes)


def _compose(first: Select, second: Select) -> Select:
    if first is _focus:
        return second

    def select(values: list[Json], root: Json) -> list[Json]:
        found = first(values, root)
        return second(found, root) if found else found

    return select


def _child(element: ElementDefinition) -> Select:
    name = element.name
    if element.is_list:

        def select(values: list[Json], _root: Json) -> list[Json]:
            return [item for value in values for item in value.get(name, ()) if item is not None]

    else:

        def select(values: list[Json], _root: Json) -> list[Json]:
            return [value[name] for value in values if name in value]

    return select


def _first(values: list[Json], _root: Json) -> list[Json]:
    return values[:1]


def _filter(criteria: _Branches) -> Select:
    def select(values: list[Json], root: Json) -> list[Json]:
        return [value for value in values if _values(criteria, [value], root) == [True]]

    return select


def _with_url(url: str) -> Select:
    def select(values: list[Json], _root: Json) -> list[Json]:
        return [value for value in values if value.get("url") == url]

    return select


def _constant(value: Json, datatype: str) -> _Branch:
    def select(_values: list[Json], _root: Json) -> list[Json]:
        return [value]

    return _Branch(select, datatype)


def _values(branches: _Branches, focus: list[Json], root: Json) -> list[Json]:
    return [value for branch in branches for value in branch.select(focus, root)]


def _test(branches: _Branches, function: str) -> _Branch:
    def select(focus: list[Json], root: Json) -> list[Json]:
        found = _values(branches, focus, root)
        if function == "not":
            return [not found[0]] if found else []
        return [bool(found) == (function == "exists")]

    return _Branch(select, "boolean")


def _operation(operator: str, left: _Branches, right: _Branches) -> _Branch:
    def select(focus: list[Json], root: Json) -> list[Json]:
        first, second = _values(left, focus, root), _values(right, focus, root)
        if operator in ("=", "!="):
            if not first or not second:
                return []
            return [(first == second) == (operator == "=")]
        # Three-valued: the deciding value wins over an absent one.
        decisive = operator == "or"
        if [decisive] in (first, second):
            return [decisive]
        return [not decisive] if first and second else []

    return _Branch(select, "boolean")


def _resolves_to(branches: _Branches, wanted: str) -> Select:
    def select(focus: list[Json], root: Json) -> list[Json]:
        return [_target_type(value, root) == wanted for value in _values(branches, focus, root)]

    return select


def _target_type(value: Json, root: Json) -> str | None:
    """The type a Reference or canonical points to, as far as the resource itself tells."""
    text = value.get("reference") if isinstance(value, dict) else value
    if isinstance(text, str) and text.startswith("#"):
        for inner in root.get("contained", ()):
            if inner.get("id") == text[1:]:
                found: str | None = inner.get("resourceType")
                return found
    return referenced_type(value)
