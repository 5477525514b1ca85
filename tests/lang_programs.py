"""Random programs of the Nix language that lean on its environments and sets.

Where `lang_generator` walks over operators and builtins, the programs of `generate(random)` are about what an evaluator may get
wrong by being clever: functions that leave closures behind by every road (arguments, defaults, `@`-patterns, partial application,
functors, `with`, lists, sets, builtins that call back), recursion, thunks that fail and are asked again, `rec` sets and `let`s
whose members refer to each other, dynamic names, `__overrides`, formals whose defaults need one another, and `//` on sets so large
that an evaluator may put layers over them instead of copying.  The shapes are typed, so that most programs have a value; all
recursion is counted down.
"""

# ruff: noqa: E501 (a program is easier to read in one line)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

# int, string, bool, list of ints, set of ints, int → int, int → int → int, set → int, list of functions int → int
KINDS = ("int", "text", "bool", "list", "set", "f1", "f2", "fs", "fl")
ATTRIBUTES = ("a", "b", "c", "d", "n3", "n17", "n29", "z")
VARIABLES = ("a", "b", "c", "d", "p", "q", "r", "n3", "v'", "w-w")


@dataclass(frozen=True)
class _Scope:
    variables: dict[str, str] = field(default_factory=dict)

    def having(self, /, **names: str) -> _Scope:
        return _Scope({**self.variables, **names})

    def with_names(self, names: dict[str, str]) -> _Scope:
        return _Scope({**self.variables, **names})

    def of(self, kind: str) -> list[str]:
        return [name for name, other in self.variables.items() if other == kind]


def generate(random: Random, size: int = 6) -> str:
    """One closed expression."""
    maker = _Maker(random)
    helpers, scope = maker.helpers()
    kinds = random.choices(KINDS[:5], k=random.randrange(1, 4))
    parts = " ".join(maker.make(kind, size, scope) for kind in kinds)
    return f"let {helpers} in [ {parts} ]"


class _Maker:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.makers: dict[str, Callable[[int, _Scope], str]] = {kind: getattr(self, "make_" + kind) for kind in KINDS}

    def helpers(self) -> tuple[str, _Scope]:
        """Definitions at the top, which the program uses, and their scope."""
        scope = _Scope({"big": "set", "grow": "fs"})
        count = self.random.choice([20, 24, 30, 60])
        attributes = " ".join(f"n{i} = {i if i % 5 else f'big.n{i + 1} + 1'};" for i in range(count)) + f" n{count} = 7;"
        lines = [f"big = {{ {attributes} }};", "grow = s: builtins.length (builtins.attrNames s);"]
        for number in range(self.random.randrange(4)):
            name = f"h{number}"
            kind = self.random.choice(["f1", "f2", "fs", "int", "set"])
            lines.append(f"{name} = {self.make(kind, 3, scope)};")
            scope = scope.with_names({name: kind})
        steps = self.make("int", 3, scope.having(n="int", acc="int"))
        lines.append(f"loop = n: acc: if n <= 0 then acc else loop (n - 1) (acc + builtins.bitAnd 255 ({steps}));")
        lines.append(f"each = n: if n <= 0 then [ ] else [ {self.make('f1', 3, scope.having(n='int'))} ] ++ each (n - 1);")
        return " ".join(lines), scope

    def make(self, kind: str, size: int, scope: _Scope) -> str:
        pick = self.random.random()
        known = scope.of(kind)
        if known and (pick < 0.25 or (size <= 0 and pick < 0.9)):
            return self.random.choice(known)
        if size <= 0:
            return self.leaf(kind)
        if pick < 0.55:
            return self.common(kind, size - 1, scope)
        return self.makers[kind](size - 1, scope)

    def leaf(self, kind: str) -> str:
        return self.random.choice(
            {
                "int": ["0", "1", "2", "3", "5", "(-1)"],
                "text": ['"a"', '"b"', '"n3"', '""', '"n17"', '"é"'],
                "bool": ["true", "false"],
                "list": ["[ ]", "[ 1 ]", "[ 3 1 2 ]", "(builtins.genList (i: i) 4)"],
                "set": ["{ }", "{ a = 1; }", "{ a = 1; b = 2; n3 = 9; }", "rec { a = 1; c = a + 1; }", "big"],
                "f1": ["(x: x)", "(x: x + 1)", "(x: 0)", "(builtins.add 2)"],
                "f2": ["(x: y: x)", "(x: y: y)", "(x: y: x + y)", "builtins.sub", "builtins.add"],
                "fs": ["({ a ? 1, ... }: a)", "(s: s.a or 4)", "({ a ? 1, b ? a, ... }@s: b)"],
                "fl": ["[ ]", "[ (x: x + 2) ]", "(map (i: x: x + i) [ 1 2 ])", "(each 2)"],
            }[kind]
        )

    def variable(self) -> str:
        return self.random.choice(VARIABLES)

    def common(self, kind: str, size: int, scope: _Scope) -> str:
        """What may hold any kind of value."""
        make, pick = self.make, self.random.choice
        name, other = self.variable(), pick(KINDS)
        shape = self.random.randrange(22)
        if shape == 0:
            return f"(let {name} = {make(other, size, scope)}; in {make(kind, size, scope.with_names({name: other}))})"
        if shape == 1:  # two that refer to each other, without a circle
            second = pick([v for v in VARIABLES if v != name])
            inner = scope.with_names({name: other})
            body = make(kind, size, inner.with_names({second: kind}))
            return f"(let {second} = {make(kind, size, inner)}; {name} = {make(other, size - 1, _without(scope, name, second))}; in {body})"
        if shape == 2:
            return f"(({name}: {make(kind, size, scope.with_names({name: other}))}) {make(other, size, scope)})"
        if shape == 3:
            second, kind2 = pick([v for v in VARIABLES if v != name]), pick(KINDS)
            body = make(kind, size, scope.with_names({name: other, second: kind2}))
            return f"(({name}: {second}: {body}) {make(other, size, scope)} {make(kind2, size, scope)})"
        if shape == 4:  # formals whose defaults need one another, and the whole
            first, second, third = self.random.sample(VARIABLES, 3)
            known = scope.with_names({first: "int"})
            whole = known.with_names({second: "f1", "all'": "set"})
            d2 = make("f1", size, known)
            d3 = make(kind, size, whole)
            given = pick(["", f"{third} = {make(kind, size, scope)}; "])
            return (
                f"(({{ {first}, {second} ? {d2}, {third} ? {d3}, ... }}@all': {make(kind, size, whole.with_names({third: kind}))}) "
                f"{{ {first} = {make('int', size, scope)}; {given}extra = 1; }})"
            )
        if shape == 5:
            return f"(with {make('set', size, scope)}; {make(kind, size, scope)})"
        if shape == 6:
            fresh = "fresh"
            inner = scope.with_names({fresh: kind})
            return f"(with {{ {fresh} = {make(kind, size, scope)}; }}; {make(kind, size, inner)})"
        if shape == 7:
            return f"(if {make('bool', size, scope)} then {make(kind, size, scope)} else {make(kind, size, scope)})"
        if shape == 8:
            return f"{{ {name} = {make(kind, size, scope)}; }}.{name}"
        if shape == 9:
            return f"(rec {{ {name} = {make(other, size, _without(scope, name, 'res'))}; res = {make(kind, size, scope.with_names({name: other}))}; }}).res"
        if shape == 10:  # caught, and asked again
            failing = pick([make(kind, size, scope), 'throw "x"', "assert false; 1"])
            return (
                f"(let t = {failing}; u = builtins.tryEval t; w = builtins.tryEval (builtins.seq t t); "
                f"in if u.success && w.success then t else {make(kind, size, scope)})"
            )
        if shape == 11:
            return f"(builtins.elemAt [ {make(other, size, scope)} {make(kind, size, scope)} ] 1)"
        if shape == 12:
            return (
                f"(builtins.foldl' (acc: {name}: {make(kind, size, scope.with_names({'acc': kind, name: 'int'}))}) {make(kind, size, scope)} [ 1 2 ])"
            )
        if shape == 13:
            body = make(kind, size, scope.with_names({name: "int", "self": "set"}))
            return f"({{ __functor = self: {name}: {body}; a = {make('int', size, scope)}; }} {make('int', size, scope)})"
        if shape == 14:
            return f"(builtins.head (map ({name}: {make(kind, size, scope.with_names({name: 'int'}))}) [ {make('int', size, scope)} 2 ]))"
        if shape == 15:
            return f"(builtins.seq {make(other, size, scope)} {make(kind, size, scope)})"
        if shape == 16:  # a closure that is called after its maker returned
            body = make(kind, size, scope.with_names({name: other, "k": "int"}))
            return f"(let make = {name}: k: {body}; kept = make {make(other, size, scope)}; other = make {make(other, size - 1, scope)}; in (builtins.seq (kept 1) kept) (if true then 2 else other 3))"
        if shape == 17:
            return f'(rec {{ ${{"{name}" + ""}} = {make(other, size, scope)}; static = {make(kind, size, scope)}; }}).static'
        if shape == 18:
            return f"(let inherit ({{ {name} = {make(other, size, scope)}; }}) {name}; in {make(kind, size, scope.with_names({name: other}))})"
        if shape == 19:
            return f"(builtins.mapAttrs (n: {name}: {make(kind, size, scope.with_names({'n': 'text', name: 'int'}))}) {{ x = {make('int', size, scope)}; }}).x"
        if shape == 20:
            return f"(builtins.zipAttrsWith (n: {name}: {make(kind, size, scope.with_names({'n': 'text', name: 'list'}))}) [ {{ x = 1; }} {{ x = {make('int', size, scope)}; }} ]).x"
        return f"(assert {pick(['true', 'true', make('bool', size, scope)])}; {make(kind, size, scope)})"

    def make_int(self, size: int, scope: _Scope) -> str:
        make, pick = self.make, self.random.choice
        shape = self.random.randrange(16)
        if shape <= 1:
            return f"({make('int', size, scope)} {pick('+-')} {make('int', size, scope)})"
        if shape <= 3:
            return f"({make('f1', size, scope)} {make('int', size, scope)})"
        if shape <= 5:
            return f"({make('f2', size, scope)} {make('int', size, scope)} {make('int', size, scope)})"
        if shape <= 7:
            return f"({make('fs', size, scope)} {make('set', size, scope)})"
        if shape == 8:
            return f"({make('set', size, scope)}.{pick(ATTRIBUTES)} or {make('int', size, scope)})"
        if shape == 9:
            return f"({make('set', size, scope)}.${{{make('text', size, scope)}}} or {make('int', size, scope)})"
        if shape == 10:
            return f"(builtins.foldl' {make('f2', size, scope)} {make('int', size, scope)} {make('list', size, scope)})"
        if shape == 11:
            return f"(loop {pick(['0', '3', '20'])} {make('int', size, scope)})"
        if shape == 12:
            return f"(builtins.foldl' (acc: f: acc + f acc) {make('int', size, scope)} {make('fl', size, scope)})"
        if shape == 13:
            return f"(builtins.length {make('list', size, scope)})"
        if shape == 14:
            return f"(let fix = f: let x = f x; in x; in (fix (self: {{ a = {make('int', size, scope)}; b = self.a + 1; }})).b)"
        name = self.variable()
        return f"(let go = {name}: if {name} <= 0 then {make('int', size, scope)} else go ({name} - 1) + {name}; in go 3)"

    def make_text(self, size: int, scope: _Scope) -> str:
        make, pick = self.make, self.random.choice
        shape = self.random.randrange(8)
        if shape == 0:
            return f"({make('text', size, scope)} + {make('text', size, scope)})"
        if shape == 1:
            return f'"<${{{make("text", size, scope)}}}-${{toString {make("int", size, scope)}}}>"'
        if shape == 2:
            return f"(toString {make('list', size, scope)})"
        if shape == 3:
            return f'(builtins.concatStringsSep "," (builtins.attrNames {make("set", size, scope)}))'
        if shape == 4:
            return f"(builtins.toJSON {make(pick(['set', 'list', 'int', 'text', 'bool']), size, scope)})"
        if shape == 5:
            return f"(builtins.concatStringsSep {make('text', size, scope)} (map (i: {make('text', size, scope.having(i='int'))}) [ 1 2 3 ]))"
        if shape == 6:
            return f'"${{{{ __toString = self: {make("text", size, scope.having(self="set"))}; a = 1; }}}}"'
        return f"(builtins.toXML {make('set', size, scope)})"

    def make_bool(self, size: int, scope: _Scope) -> str:
        make, pick = self.make, self.random.choice
        shape = self.random.randrange(9)
        if shape == 0:
            return f"({make('int', size, scope)} {pick(['<', '<=', '>', '>=', '==', '!='])} {make('int', size, scope)})"
        if shape == 1:
            return f"({make('set', size, scope)} {pick(['==', '!='])} {make('set', size, scope)})"
        if shape == 2:
            return f"({make('set', size, scope)} ? {pick(ATTRIBUTES)})"
        if shape == 3:
            return f"({make('set', size, scope)} ? ${{{make('text', size, scope)}}})"
        if shape == 4:
            return f"({make('bool', size, scope)} {pick(['&&', '||', '->'])} {make('bool', size, scope)})"
        if shape == 5:
            return f"(builtins.{pick(['any', 'all'])} (x: {make('bool', size, scope.having(x='int'))}) {make('list', size, scope)})"
        if shape == 6:
            return f"({make('list', size, scope)} {pick(['==', '<', '>='])} {make('list', size, scope)})"
        if shape == 7:
            return f"(builtins.functionArgs {make('fs', size, scope)} == {{ }})"
        return f"(builtins.elem {make('int', size, scope)} {make('list', size, scope)})"

    def make_list(self, size: int, scope: _Scope) -> str:
        make, pick = self.make, self.random.choice
        shape = self.random.randrange(15)
        if shape == 0:
            return f"[ {' '.join(make('int', size, scope) for _ in range(self.random.randrange(4)))} ]"
        if shape == 1:
            return f"({make('list', size, scope)} ++ {make('list', size, scope)})"
        if shape <= 3:
            return f"(map {make('f1', size, scope)} {make('list', size, scope)})"
        if shape == 4:
            return f"(builtins.filter (x: {make('bool', size, scope.having(x='int'))}) {make('list', size, scope)})"
        if shape == 5:
            # An order that contradicts itself sorts differently in every version of CppNix.
            name = pick(["(x: x)", make("f1", size, scope)])
            return f"(let by = {name}; in builtins.sort (x: y: by x > by y) {make('list', size, scope)})"
        if shape == 6:
            return f"(let by = {make('f1', size, scope)}; in builtins.sort (x: y: by x < by y) {make('list', size, scope)})"
        if shape == 7:
            return f"(map (f: f {make('int', size, scope)}) {make('fl', size, scope)})"
        if shape == 8:
            return f"(builtins.genList {make('f1', size, scope)} {pick([0, 1, 3])})"
        if shape == 9:
            return f"(builtins.attrValues {make('set', size, scope)})"
        if shape == 10:
            return f"(builtins.concatMap (x: {make('list', size, scope.having(x='int'))}) {make('list', size - 1, scope)})"
        if shape == 11:
            next_ = make("int", size, scope.having(x="int"))
            return (
                "(map (e: e.key) (builtins.genericClosure { startSet = [ { key = 0; } ]; operator = e: let x = e.key; in "
                f"if x >= 5 || x < 0 then [ ] else [ {{ key = x + 1; }} {{ key = builtins.bitAnd 7 ({next_}); }} ]; }}))"
            )
        if shape == 12:
            return f'(builtins.{pick(["groupBy", "groupBy"])} (x: toString {make("int", size, scope.having(x="int"))}) {make("list", size, scope)})."1" or [ ]'.join(
                "()"
            )
        if shape == 13:
            return f"(builtins.partition (x: {make('bool', size, scope.having(x='int'))}) {make('list', size, scope)}).{pick(['right', 'wrong'])}"
        return f'(builtins.catAttrs "{pick(ATTRIBUTES)}" [ {make("set", size, scope)} {make("set", size, scope)} ])'

    def make_set(self, size: int, scope: _Scope) -> str:
        make, pick = self.make, self.random.choice
        shape = self.random.randrange(20)
        names = self.random.sample(ATTRIBUTES, self.random.randrange(1, 4))
        if shape <= 1:
            return "{ " + " ".join(f"{name} = {make('int', size, scope)};" for name in names) + " }"
        if shape <= 3:
            body, inner = "", _without(scope, *names)
            for name in names:
                body += f"{name} = {make('int', size, inner)}; "
                inner = inner.with_names({name: "int"})
            return f"(rec {{ {body}}})"
        if shape <= 7:
            return f"({make('set', size, scope)} // {make('set', size, scope)})"
        if shape == 8:
            return f"(big // {make('set', size, scope)})"
        if shape == 9:
            count = pick([3, 10, 30])
            return f'(builtins.foldl\' (s: i: s // {{ ${{"n" + toString i}} = {make("int", size, scope.having(i="int", s="set"))}; }}) big (builtins.genList (i: i * 3) {count}))'
        if shape == 10:
            return f'(removeAttrs {make("set", size, scope)} [ {make("text", size, scope)} "{pick(ATTRIBUTES)}" ])'
        if shape == 11:
            return f"(builtins.mapAttrs (n: x: {make('int', size, scope.having(n='text', x='int'))}) {make('set', size, scope)})"
        if shape == 12:
            return f"(builtins.intersectAttrs {make('set', size, scope)} {make('set', size, scope)})"
        if shape == 13:
            return f'(builtins.listToAttrs [ {{ name = {make("text", size, scope)}; value = {make("int", size, scope)}; }} {{ name = "a"; value = {make("int", size, scope)}; }} ])'
        if shape == 14:
            known = scope.of("int")
            return f"{{ inherit {' '.join(self.random.sample(known, min(2, len(known))))}; inherit ({make('set', size, scope)}) ; }}"
        if shape == 15:
            return f"{{ ${{{make('text', size, scope)}}} = {make('int', size, scope)}; ${{null}} = 1; zz = 1; }}"
        if shape == 16:
            name, other = self.random.sample(ATTRIBUTES, 2)
            replaced = make("int", size, _without(scope, name, other))
            return f'(removeAttrs (rec {{ {name} = 1; {other} = {name} + 1; __overrides = {{ {name} = {replaced}; }}; }}) [ "__overrides" ])'
        if shape == 17:
            return f"(builtins.zipAttrsWith (n: v: builtins.foldl' (x: y: {make('int', size, scope.having(x='int', y='int'))}) 0 v) [ {make('set', size, scope)} {make('set', size, scope)} ])"
        if shape == 18:
            return f"((s: s // {{ a = s.a or 0 + {make('int', size, scope.having(s='set'))}; }}) {make('set', size, scope)})"
        return f"(builtins.fromJSON (builtins.toJSON {make('set', size, scope)}))"

    def make_f1(self, size: int, scope: _Scope) -> str:
        make, pick = self.make, self.random.choice
        name = self.variable()
        shape = self.random.randrange(12)
        if shape <= 3:
            return f"({name}: {make('int', size, scope.with_names({name: 'int'}))})"
        if shape == 4:
            return f"({make('f2', size, scope)} {make('int', size, scope)})"
        if shape == 5:
            return f"(builtins.{pick(['add', 'sub', 'bitAnd'])} {make('int', size, scope)})"
        if shape == 6:
            return f"{{ __functor = self: {name}: {make('int', size, scope.with_names({name: 'int', 'self': 'set'}))}; a = {make('int', size, scope)}; }}"
        if shape == 7:
            return f"(let {name} = {make('int', size, scope)}; in {pick(['x', 'y'])}: {make('int', size, scope.with_names({name: 'int'}))})"
        if shape == 8:
            return f"(x: {make('fs', size, scope)} {{ a = x; inherit x; }})"
        if shape == 9:
            return f"(x: if x > {make('int', size, scope)} then {make('int', size, scope.having(x='int'))} else x)"
        if shape == 10:
            return f"(x: {make('set', size, scope.having(x='int'))}.a or x)"
        return f"(with {{ fresh = {make('int', size, scope)}; }}; {name}: fresh + {make('int', size, scope.with_names({name: 'int'}))})"

    def make_f2(self, size: int, scope: _Scope) -> str:
        make, pick = self.make, self.random.choice
        first, second = self.random.sample(VARIABLES, 2)
        shape = self.random.randrange(8)
        inner = scope.with_names({first: "int", second: "int"})
        if shape <= 3:
            return f"({first}: {second}: {make('int', size, inner)})"
        if shape == 4:
            return f"({first}: let kept = {make('int', size, scope.with_names({first: 'int'}))}; in {second}: kept + {make('int', size, inner)})"
        if shape == 5:
            return f"({first}: {make('f1', size, scope.with_names({first: 'int'}))})"
        if shape == 6:
            return f"({first}: {{ __functor = self: {second}: {make('int', size, inner)}; }})"
        return pick(["builtins.add", "builtins.sub", "builtins.bitXor"])

    def make_fs(self, size: int, scope: _Scope) -> str:
        make = self.make
        first, second = self.random.sample(ATTRIBUTES, 2)
        inner = scope.with_names({first: "int"})
        shape = self.random.randrange(7)
        if shape == 0:
            return f"({{ {first} ? {make('int', size, scope)}, ... }}: {make('int', size, inner)})"
        if shape == 1:  # each default may look at the other one
            d2 = make("int", size, inner)
            return f"({{ {second} ? {d2}, {first} ? {make('int', size, _without(scope, second))}, ... }}: {make('int', size, inner.with_names({second: 'int'}))})"
        if shape == 2:
            return f"({{ {first} ? {make('int', size, scope)}, ... }}@all': {make('int', size, inner.with_names({chr(97) + 'll' + chr(39): 'set'}))})"
        if shape == 3:
            return f"(all'@{{ {first} ? all'.{second} or 6, ... }}: {make('int', size, inner)})"
        if shape == 4:
            return f"(s: {make('int', size, scope.having(s='set'))})"
        if shape == 5:
            return f"({{ {first} ? {make('int', size, scope)}, ... }}@s: {make('f1', size, inner)} (s.{second} or {first}))"
        return f"(s: with s; {make('int', size, scope.having(s='set'))})"

    def make_fl(self, size: int, scope: _Scope) -> str:
        make, pick = self.make, self.random.choice
        shape = self.random.randrange(6)
        if shape <= 1:
            return f"[ {make('f1', size, scope)} {make('f1', size, scope)} ]"
        if shape == 2:
            return f"(map (i: {make('f1', size, scope.having(i='int'))}) {make('list', size, scope)})"
        if shape == 3:
            return f"(map {make('f2', size, scope)} {make('list', size, scope)})"
        if shape == 4:
            return f"(each {pick([1, 3])})"
        return f"(builtins.genList (i: {make('f1', size, scope.having(i='int'))}) 3)"


def _without(scope: _Scope, *names: str) -> _Scope:
    return _Scope({name: kind for name, kind in scope.variables.items() if name not in names})
