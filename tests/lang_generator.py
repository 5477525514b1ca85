"""Random expressions of the Nix language, mostly well typed.

`generate(random)` writes one closed expression.  Each is built top down from the type it should have, so that most evaluate
to a value; one in a few dozen nodes is of another type on purpose, so that errors are compared too.  Numbers stay small:
overflow is a case of the corpus.  Nothing here reads files, the environment or the clock, and recursion always ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

TYPES = ("int", "float", "string", "bool", "null", "list", "set", "function")
NAMES = ("a", "b", "c", "d", "x'", "y-z", "_q")
WORDS = ("", "a", "b", "ab", "abc", "hello world", "1.2.3", "x-1.0", "é", "A,b,,c", "\\n", '\\t\\"', "$", "\\${", "''")


@dataclass
class _Scope:
    """The variables in scope, each with the type of its value."""

    variables: dict[str, str] = field(default_factory=dict)

    def extended(self, names: dict[str, str]) -> _Scope:
        return _Scope({**self.variables, **names})


def generate(random: Random, depth: int = 5) -> str:
    """One closed expression."""
    return _Generator(random).of(random.choice(TYPES[:7]), depth, _Scope())


class _Generator:
    def __init__(self, random: Random) -> None:
        self.random = random

    def of(self, kind: str, depth: int, scope: _Scope) -> str:
        """An expression that can stand anywhere an operand can."""
        if self.random.random() < 0.005:
            kind = self.random.choice(TYPES)
        known = [name for name, other in scope.variables.items() if other == kind]
        if known and self.random.random() < 0.3:
            return self.random.choice(known)
        if depth <= 0:
            return self.leaf(kind)
        if self.random.random() < 0.3:
            return self.general(kind, depth, scope)
        makers: dict[str, Callable[[int, _Scope], str]] = {
            "int": self.int,
            "float": self.float,
            "string": self.string,
            "bool": self.bool,
            "list": self.list,
            "set": self.set,
            "function": self.function,
        }
        return makers[kind](depth - 1, scope) if kind in makers else self.leaf(kind)

    def leaf(self, kind: str) -> str:
        pick = self.random.choice
        return {
            "int": lambda: pick(["0", "1", "2", "3", "7", "10", "42", "(-1)", "(-5)"]),
            "float": lambda: pick(["0.5", "1.5", "2.0", "0.1", "(-1.25)", "1.0e3", "3.0e-2", ".25"]),
            "string": lambda: f'"{pick(WORDS)}"',
            "bool": lambda: pick(["true", "false"]),
            "null": lambda: "null",
            "list": lambda: pick(["[ ]", "[ 1 2 3 ]", '[ "a" "b" ]', "[ 3 1 2 ]", "[ [ ] 1 ]"]),
            "set": lambda: pick(["{ }", "{ a = 1; }", "{ a = 1; b = 2; c = 3; }", '{ b = "x"; d = [ ]; }', "rec { a = 1; b = a; }"]),
            "function": lambda: pick(["(x: x)", "(x: [ x ])", "(x: x == 1)", "builtins.typeOf", "(_: 1)", "builtins.toJSON"]),
        }[kind]()

    def any_kind(self) -> str:
        return self.random.choice(TYPES[:7])

    def general(self, kind: str, depth: int, scope: _Scope) -> str:
        """What can give a value of any type."""
        depth -= 1
        of, pick = self.of, self.random.choice
        shape = self.random.randrange(15)
        if shape == 0:
            return f"(if {of('bool', depth, scope)} then {of(kind, depth, scope)} else {of(kind, depth, scope)})"
        if shape == 1:
            name, other = pick(NAMES), self.any_kind()
            return f"(let {name} = {of(other, depth, scope)}; in {of(kind, depth, scope.extended({name: other}))})"
        if shape == 2:
            first, second = self.random.sample(NAMES, 2)
            k1, k2 = self.any_kind(), self.any_kind()
            inner = scope.extended({first: k1})
            body = of(kind, depth, inner.extended({second: k2}))
            return f"(let {second} = {of(k2, depth, inner)}; {first} = {of(k1, depth - 1, _without(scope, second))}; in {body})"
        if shape == 3:
            name, other = pick(NAMES), self.any_kind()
            return f"(({name}: {of(kind, depth, scope.extended({name: other}))}) {of(other, depth, scope)})"
        if shape == 4:
            first, second = self.random.sample(NAMES, 2)
            k1, k2 = self.any_kind(), self.any_kind()
            body = of(kind, depth, scope.extended({first: k1, second: k2}))
            given = pick(["", f"{second} = {of(k2, depth, scope)}; "])
            return f"(({{ {first}, {second} ? {of(k2, depth, scope)}, ... }}: {body}) {{ {first} = {of(k1, depth, scope)}; {given}}})"
        if shape == 5:
            name = pick(NAMES)
            return f"{{ {name} = {of(kind, depth, scope)}; }}.{name}"
        if shape == 6:
            first, second = self.random.sample(NAMES, 2)
            value = of(kind, depth, scope)
            return f"({of('set', depth, scope)}.{first}.{second} or {value})" if pick([0, 1]) else f"({{ }}.{first} or {value})"
        if shape == 7:
            name = pick([name for name in NAMES if name not in scope.variables] or ["fresh"])
            return f"(with {{ {name} = {of(kind, depth, scope)}; }}; {name})"
        if shape == 8:
            condition = pick([*["true"] * 5, of("bool", depth, scope)])
            return f"(assert {condition}; {of(kind, depth, scope)})"
        if shape == 9:
            return f"(builtins.seq {of(self.any_kind(), depth, scope)} {of(kind, depth, scope)})"
        if shape == 10:
            tried = pick([of(kind, depth, scope), f"(throw {of('string', depth, scope)})"])
            return f"(let t = builtins.tryEval {tried}; in if t.success then t.value else {of(kind, depth, scope)})"
        if shape == 11:
            return f"(builtins.head [ {of(kind, depth, scope)} {of(self.any_kind(), depth, scope)} ])"
        if shape == 12:
            name = pick(NAMES)
            return f"(rec {{ {name} = {of('int', depth, scope)}; v = {of(kind, depth, scope.extended({name: 'int'}))}; }}).v"
        if shape == 13:
            name = pick(NAMES)
            return f'(builtins.getAttr "{name}" ({of("set", depth, scope)} // {{ {name} = {of(kind, depth, scope)}; }}))'
        return f"(builtins.deepSeq {of('set', depth, scope)} {of(kind, depth, scope)})"

    def int(self, depth: int, scope: _Scope) -> str:
        of, pick = self.of, self.random.choice
        shape = self.random.randrange(10)
        if shape <= 2:
            return f"({of('int', depth, scope)} {pick('+-')} {of('int', depth, scope)})"
        if shape == 3:
            return f"({pick(['2', '3', '(-1)'])} * {of('int', depth, scope)})"
        if shape == 4:
            return f"({of('int', depth, scope)} / {pick(['1', '2', '(-3)', of('int', depth, scope)])})"
        if shape == 5:
            return f"(builtins.stringLength {of('string', depth, scope)})"
        if shape == 6:
            return f"(builtins.length {of('list', depth, scope)})"
        if shape == 7:
            return f"(builtins.{pick(['floor', 'ceil'])} {of('float', depth, scope)})"
        if shape == 8:
            operator = pick(["bitAnd", "bitOr", "bitXor", "add", "sub"])
            return f"(builtins.{operator} {of('int', depth, scope)} {of('int', depth, scope)})"
        return f"(builtins.compareVersions {of('string', depth, scope)} {of('string', depth, scope)})"

    def float(self, depth: int, scope: _Scope) -> str:
        of, pick = self.of, self.random.choice
        return f"({of(pick(['float', 'int']), depth, scope)} {pick('+-*')} {of('float', depth, scope)})"

    def string(self, depth: int, scope: _Scope) -> str:
        of, pick = self.of, self.random.choice
        text, shape = (lambda: of("string", depth, scope)), self.random.randrange(16)
        if shape <= 1:
            return f"({text()} + {text()})"
        if shape == 2:
            return f'"{pick(WORDS[:9])}${{{text()}}}{pick(WORDS[:9])}"'
        if shape == 3:
            indent = pick(["", "  ", "    "])
            return f"''\n{indent}  one ${{{text()}}}\n{indent}two '''\n\n{indent}   ''${{x}}{pick(['', chr(10) + indent])}''"
        if shape == 4:
            return f"(toString {of(pick(['int', 'float', 'string', 'bool', 'null']), depth, scope)})"
        if shape == 5:
            return f"(builtins.toJSON {of(pick(['int', 'string', 'bool', 'list', 'set']), depth, scope)})"
        if shape == 6:
            return f"(builtins.substring {pick([0, 1, 2, 5])} {pick([0, 1, 3, '(-1)', 100])} {text()})"
        if shape == 7:
            old, new = pick(['[ "a" ]', '[ "ab" ]', '[ "" ]', '[ " " ]']), text()
            return f"(builtins.replaceStrings {old} [ {new} ] {text()})"
        if shape == 8:
            return f"(builtins.concatStringsSep {text()} [ {text()} {text()} ])"
        if shape == 9:
            return f"(builtins.typeOf {of(pick(TYPES), depth, scope)})"
        if shape == 10:
            return f'(builtins.hashString "{pick(["md5", "sha1", "sha256", "sha512"])}" {text()})'
        if shape == 11:
            return f"({pick(['baseNameOf', 'dirOf'])} {text()})"
        if shape == 12:
            return f'(builtins.concatStringsSep "," (builtins.attrNames {of("set", depth, scope)}))'
        if shape == 13:
            return f"(builtins.parseDrvName {text()}).{pick(['name', 'version'])}"
        if shape == 14:
            return f"(builtins.toXML {of(pick(['int', 'string', 'bool', 'list', 'set']), depth, scope)})"
        return f'"${{{{ __toString = self: {text()}; }}}}"'

    def bool(self, depth: int, scope: _Scope) -> str:
        of, pick = self.of, self.random.choice
        shape = self.random.randrange(10)
        if shape == 0:
            return f"(!{of('bool', depth, scope)})"
        if shape <= 2:
            return f"({of('bool', depth, scope)} {pick(['&&', '||', '->', '==', '!='])} {of('bool', depth, scope)})"
        if shape <= 4:
            kind = pick(["int", "float", "string", "list"])
            operator = pick(["<", "<=", ">", ">="]) if kind != "list" else "=="
            return f"({of(kind, depth, scope)} {operator} {of(kind, depth, scope)})"
        if shape == 5:
            return f"({of(self.any_kind(), depth, scope)} {pick(['==', '!='])} {of(self.any_kind(), depth, scope)})"
        if shape == 6:
            return f"({of('set', depth, scope)} ? {pick(NAMES)}{pick(['', '.' + pick(NAMES)])})"
        if shape == 7:
            return f"(builtins.elem {of(self.any_kind(), depth, scope)} {of('list', depth, scope)})"
        if shape == 8:
            kind = pick(["Int", "Float", "String", "Bool", "List", "Attrs", "Function", "Null"])
            return f"(builtins.is{kind} {of(pick(TYPES), depth, scope)})"
        return f"(builtins.{pick(['any', 'all'])} (x: {pick(['x == 1', 'builtins.isInt x', 'true'])}) {of('list', depth, scope)})"

    def list(self, depth: int, scope: _Scope) -> str:
        of, pick = self.of, self.random.choice
        sub, shape = (lambda: of("list", depth, scope)), self.random.randrange(16)
        if shape <= 2:
            items = [of(self.any_kind(), depth, scope) for _ in range(self.random.randrange(4))]
            return f"[ {' '.join(items)} ]"
        if shape == 3:
            return f"({sub()} ++ {sub()})"
        if shape == 4:
            return f"(map {of('function', depth, scope)} {sub()})"
        if shape == 5:
            return f"(builtins.filter (x: {pick(['builtins.isInt x', 'x != null', 'x == 1', 'false'])}) {sub()})"
        if shape == 6:
            return f"(builtins.genList (i: {of(self.any_kind(), depth, scope.extended({'i': 'int'}))}) {pick([0, 1, 3])})"
        if shape == 7:
            order = pick(["builtins.lessThan", "(p: q: p > q)", "(p: q: false)"])
            return f"(builtins.sort {order} (builtins.filter builtins.isInt {sub()}))"
        if shape == 8:
            return f"(builtins.attrValues {of('set', depth, scope)})"
        if shape == 9:
            return f"(builtins.concatMap (x: [ x {of(self.any_kind(), depth, scope)} ]) {sub()})"
        if shape == 10:
            return f"(builtins.concatLists [ {sub()} {sub()} ])"
        if shape == 11:
            expression = pick(["a", "b*", "(a)|(b)", "[ ,]", "([a-z])([0-9])?", "l+"])
            return f'(builtins.split "{expression}" {of("string", depth, scope)})'
        if shape == 12:
            return f"(builtins.splitVersion {of('string', depth, scope)})"
        if shape == 13:
            return f"(builtins.foldl' (acc: x: [ x ] ++ acc) [ ] {sub()})"
        if shape == 14:
            return f'(builtins.catAttrs "{pick(NAMES)}" [ {of("set", depth, scope)} {of("set", depth, scope)} ])'
        return f"(builtins.fromJSON (builtins.toJSON {sub()}))"

    def set(self, depth: int, scope: _Scope) -> str:
        of, pick = self.of, self.random.choice
        sub, shape = (lambda: of("set", depth, scope)), self.random.randrange(16)
        names = self.random.sample(NAMES, self.random.randrange(4))
        if shape <= 3:
            body = " ".join(f"{name} = {of(self.any_kind(), depth, scope)};" for name in names)
            return f"{{ {body} }}"
        if shape == 4:
            kinds = {name: self.any_kind() for name in names}
            # Each attribute sees only those before it, so that no cycle can arise.
            body, inner = "", _Scope({k: v for k, v in scope.variables.items() if k not in names})
            for name, kind in kinds.items():
                body += f"{name} = {of(kind, depth, inner)}; "
                inner = inner.extended({name: kind})
            return f"(rec {{ {body}}})"
        if shape == 5:
            return f"({sub()} // {sub()})"
        if shape == 6:
            body = " ".join(f"{name}.{pick(NAMES)} = {of(self.any_kind(), depth, scope)};" for name in names)
            return f"{{ {body} }}"
        if shape == 7:
            known = self.random.sample(sorted(scope.variables), min(2, len(scope.variables)))
            return f"{{ inherit {' '.join(known)}; }}"
        if shape == 8:
            return f'(removeAttrs {sub()} [ "{pick(NAMES)}" "{pick(NAMES)}" ])'
        if shape == 9:
            return f"(builtins.mapAttrs (n: v: {pick(['n', 'v', '[ n v ]', 'builtins.typeOf v'])}) {sub()})"
        if shape == 10:
            return f"(builtins.intersectAttrs {sub()} {sub()})"
        if shape == 11:
            items = " ".join(f'{{ name = "{pick(NAMES)}"; value = {of(self.any_kind(), depth, scope)}; }}' for _ in range(2))
            return f"(builtins.listToAttrs [ {items} ])"
        if shape == 12:
            return f"(builtins.groupBy builtins.typeOf {of('list', depth, scope)})"
        if shape == 13:
            return f"(builtins.partition builtins.isInt {of('list', depth, scope)})"
        if shape == 14:
            return f"(builtins.zipAttrsWith (n: vs: vs) [ {sub()} {sub()} ])"
        return f"{{ ${{{of('string', depth, scope)}}} = {of(self.any_kind(), depth, scope)}; }}"

    def function(self, depth: int, scope: _Scope) -> str:
        of, pick = self.of, self.random.choice
        shape, name = self.random.randrange(4), pick(NAMES)
        if shape == 0:
            return f"({name}: {of(self.any_kind(), depth, scope)})"
        if shape == 1:
            return f"({name}: [ {name} {of(self.any_kind(), depth, scope)} ])"
        if shape == 2:
            return f"{{ __functor = self: {name}: {of(self.any_kind(), depth, scope)}; }}"
        return self.leaf("function")


def _without(scope: _Scope, name: str) -> _Scope:
    return _Scope({other: kind for other, kind in scope.variables.items() if other != name})
