"""The face of the Nix language: evaluate files and texts, and use what comes out as Python objects.

    with Evaluator(store, EvalSettings(system="x86_64-linux")) as evaluator:
        packages = evaluator.eval_file("/some/nixpkgs")
        packages["hello"]["drvPath"].to_python()

What it is: `Evaluator` over the kernel, lazy `Value`s that are a Mapping, a Sequence or callable as it should be, the `Host` that
does for an evaluation what the kernel must not do itself (the store, the clock, fetching), search paths, and what Nix's commands
do with a value: attribute paths, automatic calls, finding derivations.

What it may import: the standard library, `nivalis._native`, `nivalis.errors` and `nivalis.store`.

What it does not do: it builds nothing and fetches nothing (a builder and a fetcher are handed in), prints nothing, and reads
neither the environment nor the working directory.  Errors of the language are `nivalis.errors.EvalError`.

The names here are imported when they are first used, as those of `nivalis.store`: a program that starts often takes what it
needs from the modules.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from nivalis.lang.auto_call import AutoArguments, auto_call, find_along_path, parse_attribute_path
    from nivalis.lang.evaluator import EvalSettings, Evaluator
    from nivalis.lang.get_derivations import FoundDerivation, find_derivations
    from nivalis.lang.host import Builder, Fetcher, FetchError, Host, NotBuiltError
    from nivalis.lang.search_path import SearchEntry, parse_nix_path
    from nivalis.lang.value import AttrSet, Function, List, Path, Scalar, String, Value

__all__ = [
    "AttrSet",
    "AutoArguments",
    "Builder",
    "EvalSettings",
    "Evaluator",
    "FetchError",
    "Fetcher",
    "FoundDerivation",
    "Function",
    "Host",
    "List",
    "NotBuiltError",
    "Path",
    "Scalar",
    "SearchEntry",
    "String",
    "Value",
    "auto_call",
    "find_along_path",
    "find_derivations",
    "parse_attribute_path",
    "parse_nix_path",
]

__getattr__ = from_modules(
    __name__,
    {
        "AttrSet": "value",
        "AutoArguments": "auto_call",
        "Builder": "host",
        "EvalSettings": "evaluator",
        "Evaluator": "evaluator",
        "FetchError": "host",
        "Fetcher": "host",
        "FoundDerivation": "get_derivations",
        "Function": "value",
        "Host": "host",
        "List": "value",
        "NotBuiltError": "host",
        "Path": "value",
        "Scalar": "value",
        "SearchEntry": "search_path",
        "String": "value",
        "Value": "value",
        "auto_call": "auto_call",
        "find_along_path": "auto_call",
        "find_derivations": "get_derivations",
        "parse_attribute_path": "auto_call",
        "parse_nix_path": "search_path",
    },
)
