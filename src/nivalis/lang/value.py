"""Nix values in Python: lazy, and of the shape that their type has.

Looking into a set or a list evaluates what is taken out just as far as is needed to know its type, so that it comes as an
`AttrSet` (a Mapping), a `List` (a Sequence), a `Function` (callable), a `String`, a `Path` or a `Scalar`; what is inside of it
stays unevaluated.  Every use can therefore raise `nivalis.errors.EvalError`, and RuntimeError once the evaluator is closed.
Names, lengths and `in` evaluate no more than the set or list itself.

A value keeps its evaluator's memory alive.  Values compare and hash by identity, as deciding more would have to evaluate; compare
what `to_python()` gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from nivalis import _native
from nivalis.errors import Position
from nivalis.lang.encoding import decode

__all__ = ["AttrSet", "Function", "List", "Path", "Scalar", "String", "Value"]


class Value:
    """A Nix value that is evaluated to the type it has.

    `__nix_value__` is the kernel's own, by which values go back into an evaluation.
    """

    __slots__ = ("__nix_value__",)

    def __init__(self, native: _native.Value) -> None:
        self.__nix_value__ = native

    @property
    def kind(self) -> str:
        """`int`, `bool`, `string`, `path`, `null`, `set`, `list`, `lambda` or `float`, as `builtins.typeOf` has it."""
        return self.__nix_value__.kind

    @property
    def identity(self) -> int:
        """The same number for the same set, list or function of one evaluator: what may contain itself is recognised by it."""
        return self.__nix_value__.identity()

    def force(self, deep: bool = False) -> None:
        """Evaluate; `deep`: with all that is inside."""
        self.__nix_value__.force(deep)

    def to_python(self) -> Any:
        """All of it as None, bool, int, float, str, list and dict.

        Everything inside is evaluated.  A path becomes a `str`, a derivation its output path (as by `toJSON`), a function a
        `Function`.  Raises EvalError `stack-overflow` for what contains itself.
        """
        return self.__nix_value__.to_python(wrap)

    def to_text(self) -> str:
        """What `builtins.toString` gives."""
        return decode(self.__nix_value__.coerced())

    def interpolated(self) -> str:
        """What the value is as a part of a string, `"${v}"`: a path is copied to the store; numbers and lists are refused."""
        return decode(self.__nix_value__.coerced(interpolated=True))

    def to_json(self, *, strict: bool = True) -> str:
        """As `builtins.toJSON` has it: paths are copied to the store.  Without `strict`, what is not evaluated is an error."""
        return decode(self.__nix_value__.to_json(strict=strict))

    def to_xml(self, *, strict: bool = True, positions: bool = False) -> str:
        """As `builtins.toXML` has it; without `strict`, what is not evaluated stays `<unevaluated />`."""
        return decode(self.__nix_value__.to_xml(strict=strict, places=positions))

    def print(self, *, pretty: bool = False, lazy: bool = False) -> str:
        """The value as `nix-instantiate --eval` prints it, or indented for people; nothing more is evaluated.

        `lazy`: as it prints a value that was not evaluated throughout.
        """
        return decode(self.__nix_value__.print(pretty, lazy))

    def position(self) -> Position | None:
        """Where it stands in a source, if that is known (of functions; of attributes, `AttrSet.position_of`)."""
        return _position(self.__nix_value__.position())

    def __repr__(self) -> str:
        try:
            shown = self.print()
        except RuntimeError as error:
            shown = str(error)
        return f"<{type(self).__name__} {shown if len(shown) <= 200 else shown[:200] + '…'}>"


class Scalar(Value):
    """An integer, float, Boolean or null."""

    __slots__ = ()

    def to_python(self) -> int | float | bool | None:
        plain = self.__nix_value__.scalar()
        assert not isinstance(plain, str)
        return plain


class String(Value):
    """A string: text, and the store paths it depends on."""

    __slots__ = ()

    def to_python(self) -> str:
        return str(self.__nix_value__.scalar())

    def __str__(self) -> str:
        return self.to_python()

    def __bytes__(self) -> bytes:
        return self.__nix_value__.raw()

    @property
    def context(self) -> frozenset[str]:
        """What it depends on: `/nix/store/…` (a path), `!out!/nix/store/….drv` (an output), `=/nix/store/….drv` (all of a closure)."""
        return frozenset(self.__nix_value__.context())


class Path(Value):
    """A path of a file; it is not copied to the store by being looked at."""

    __slots__ = ()

    def to_python(self) -> str:
        return str(self.__nix_value__.scalar())

    def __fspath__(self) -> str:
        return self.to_python()


class AttrSet(Value, Mapping[str, Value]):
    """A set; names come in alphabetical order."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Value:
        return wrap(self.__nix_value__.attr(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.__nix_value__.names())

    def __len__(self) -> int:
        return self.__nix_value__.length()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.__nix_value__.has(name)

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def position_of(self, name: str) -> Position | None:
        """Where the attribute was defined."""
        return _position(self.__nix_value__.position(name))

    @property
    def is_derivation(self) -> bool:
        """Whether the set says that it is a derivation."""
        kind = self.get("type")
        return isinstance(kind, String) and kind.to_python() == "derivation"

    def __call__(self, *arguments: object, **named: object) -> Value:
        """Call a set that has a `__functor`."""
        return _call(self.__nix_value__, arguments, named)


class List(Value, Sequence[Value]):
    """A list."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: int) -> Value: ...
    @overload
    def __getitem__(self, index: slice) -> list[Value]: ...
    def __getitem__(self, index: int | slice) -> Value | list[Value]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if index < 0:
            raise IndexError("list index out of range")
        return wrap(self.__nix_value__.item(index))

    def __len__(self) -> int:
        return self.__nix_value__.length()


class Function(Value):
    """A function.  `f(1, 2)` applies it to one argument after the other, `f(a=1)` to a set; arguments are Python's or Nix's."""

    __slots__ = ()

    def __call__(self, *arguments: object, **named: object) -> Value:
        return _call(self.__nix_value__, arguments, named)

    @property
    def formals(self) -> Mapping[str, bool] | None:
        """The names of `{ a, b ? … }: …` and whether each has a default; None for a function of another form."""
        return self.__nix_value__.formals()

    @property
    def has_ellipsis(self) -> bool:
        """Whether it takes further names than `formals`."""
        return self.__nix_value__.has_ellipsis()


_KINDS: Mapping[str, type[Value]] = {
    "int": Scalar,
    "float": Scalar,
    "bool": Scalar,
    "null": Scalar,
    "string": String,
    "path": Path,
    "set": AttrSet,
    "list": List,
    "lambda": Function,
}


_NOUNS: Mapping[str, str] = {
    "int": "an integer",
    "float": "a float",
    "bool": "a Boolean",
    "null": "null",
    "string": "a string",
    "path": "a path",
    "set": "a set",
    "list": "a list",
    "lambda": "a function",
}


def show_kind(value: Value) -> str:
    """What a value is, as messages say it: `a set`."""
    return _NOUNS[value.kind]


def wrap(native: _native.Value) -> Value:
    """The wrapper of a kernel's value, which is evaluated as far as its type."""
    return _KINDS[native.kind](native)


def _call(native: _native.Value, arguments: Sequence[object], named: Mapping[str, object]) -> Value:
    values = [*arguments, *([named] if named or not arguments else [])]
    return wrap(native.call([native.evaluator.from_python(value) for value in values]))


def _position(found: tuple[str, int, int] | None) -> Position | None:
    return None if found is None else Position(*found)
