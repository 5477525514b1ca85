"""Packages whose public names are imported when they are first used: a program that starts often takes no more than it needs."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def from_modules(package: str, modules: "Mapping[str, str]") -> "Callable[[str], object]":
    """A package's `__getattr__`: each name of `modules` is in the package's module that stands beside it."""

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        import sys
        from importlib import import_module

        found = getattr(import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, found)
        return found

    return load
