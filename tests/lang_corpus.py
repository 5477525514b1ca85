"""The corpus of expression pairs below tests/lang, as data.

A case is `tests/lang/<topic>/<name>.nix`.  Beside it lies what it must evaluate to:

    <name>.exp      the exact stdout of `nix-instantiate --eval --strict`
    <name>.err      for a case that must fail: on the first line the stable code of the error, on the second a part of the
                    message as CppNix words it (or nothing, where only the class counts)
    <name>.flags    more arguments, as a shell would split them; `!strict` leaves out `--strict`
    <name>.stderr   lines that stderr must contain (traces, warnings)
    <name>.source   where the expectation comes from, for what neither CppNix 2.8 nor 2.26 can tell

Every case runs in tests/lang with the same few environment variables, and prints nothing that depends on where the checkout
lies.  The files in `fixtures` are what cases import and read; they are no cases.

This module finds and describes cases, and names the class of an error that CppNix reports.  It runs nothing.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "lang"

# This project's own program: the one named in the environment, else that of the checkout's virtual environment.
COMMAND = Path(os.environ.get("NIVALIS_NIX_INSTANTIATE") or FOLDER.parent.parent / ".venv/bin/nix-instantiate")

# Set for every case, so that `getEnv` has something to read.
ENVIRONMENT = {"NIVALIS_LANG_TEST": "a value", "NIVALIS_LANG_EMPTY": "", "NIX_PATH": "fixtures=fixtures:shadow=fixtures/shadow"}


@dataclass(frozen=True)
class Failure:
    """How a case must fail: the stable code, and a part of the message."""

    code: str
    text: str


@dataclass(frozen=True)
class Case:
    """One case; `name` is `<topic>/<name>`."""

    name: str

    def path(self, suffix: str) -> Path:
        return FOLDER / (self.name + suffix)

    def _read(self, suffix: str) -> str | None:
        path = self.path(suffix)
        return path.read_text() if path.exists() else None

    @property
    def flags(self) -> list[str]:
        return shlex.split(self._read(".flags") or "")

    @property
    def arguments(self) -> list[str]:
        """Arguments of `nix-instantiate`, to be run in `FOLDER`."""
        strict = [] if "!strict" in self.flags else ["--strict"]
        return ["--eval", *strict, *(flag for flag in self.flags if flag != "!strict"), self.name + ".nix"]

    @property
    def expected(self) -> str | None:
        return self._read(".exp")

    @property
    def failure(self) -> Failure | None:
        text = self._read(".err")
        if text is None:
            return None
        code, _, message = text.rstrip("\n").partition("\n")
        return Failure(code, message)

    @property
    def stderr(self) -> list[str]:
        return (self._read(".stderr") or "").splitlines()

    @property
    def source(self) -> str | None:
        """Where the expectation comes from, if not from CppNix."""
        return self._read(".source")


def find_cases() -> list[Case]:
    """All cases, in the order of their names."""
    names = (path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.nix"))
    return [Case(name) for name in sorted(names) if not name.startswith("fixtures/")]


def read_differences() -> dict[str, str]:
    """The cases that CppNix 2.8 answers in another way, and why: the table of DIFFERENCES.md."""
    text = (FOLDER / "DIFFERENCES.md").read_text()
    return dict(re.findall(r"^\| `([^`]+)` \| (.*?) \|$", text, re.MULTILINE))


# The class of an error, by CppNix's wording.  The part that matches is what a case's .err keeps: what follows it (a value
# that is printed, an alternative spelling) differs between versions and may well be better here.
_CLASSES: tuple[tuple[str, str], ...] = (
    ("aborted", r"evaluation aborted with the following error message: .*"),
    ("assertion-failed", r"assertion '.*' failed"),
    ("assertion-failed", r"is not equal to"),
    ("aborted", r"aborting to reveal stack trace of warning"),
    ("missing-argument", r"cannot evaluate a function that has an argument without a value \('[^']*'\)"),
    ("missing-attribute", r"attribute '.*' in selection path '.*' not found"),
    ("out-of-bounds", r"list index \d+ in selection path '.*' is out of range"),
    ("undefined-variable", r"undefined variable '[^']*'*"),
    ("duplicate-attribute", r"attribute '[^ ]*' already defined"),
    ("duplicate-attribute", r"dynamic attribute '[^ ]*' already defined"),
    ("duplicate-attribute", r"duplicate formal function argument '[^ ]*'"),
    ("missing-argument", r"called without required argument '[^ ]*'"),
    ("unexpected-argument", r"called with unexpected argument '[^ ]*'"),
    ("invalid-derivation", r"required attribute '[^']*' missing"),
    ("missing-attribute", r"attribute '.*' missing"),
    ("not-a-function", r"attempt to call something which is not a function but (an? )?[a-zA-Z -]*[a-zA-Z]"),
    ("infinite-recursion", r"infinite recursion encountered"),
    ("stack-overflow", r"stack overflow; max-call-depth exceeded"),
    ("division-by-zero", r"division by zero"),
    ("integer-overflow", r"integer overflow in [a-z]+ -?\d+ . -?\d+"),
    ("out-of-bounds", r"'builtins.elemAt' called with index -?\d+ on a list of size \d+"),
    ("out-of-bounds", r"'builtins.(head|tail)' called on an empty list"),
    ("search-path", r"file '[^']*' was not found in the Nix search path"),
    ("invalid-regex", r"invalid regular expression '.*'"),
    ("invalid-toml", r"while parsing TOML"),
    # The wording is that of CppNix's JSON library: only the class is kept.
    ("invalid-json", r"(?=.*\[json\.exception)"),
    ("forbidden", r"experimental Nix feature '[^']*' is disabled"),
    ("string-context", r"not allowed to refer to a store path"),
    ("string-context", r"a string that refers to a store path cannot be appended to a path"),
    ("string-context", r"context of string '.*' must have exactly one element, but has \d+"),
    ("string-context", r"is not a derivation"),
    ("string-context", r"`addDrvOutputDependencies` can only act on derivations"),
    ("string-context", r"is not a store path"),
    ("string-context", r"[Tt]ried to add (all-outputs|derivation output) context of .*, which is not a derivation"),
    ("file-not-found", r"does not exist"),
    # The words of the operating system: only the class is kept.
    ("file-not-found", r"(?=.*No such file or directory)"),
    ("invalid-derivation", r"required attribute '[a-z]+' missing"),
    ("invalid-derivation", r"multiple outputs are not supported in fixed-output derivations"),
    ("invalid-derivation", r"duplicate derivation output '.*'"),
    ("invalid-derivation", r"invalid derivation output name '.*'"),
    ("invalid-derivation", r"derivation cannot have an empty set of outputs"),
    ("invalid-derivation", r"invalid value '.*' for 'outputHashMode' attribute"),
    ("invalid-derivation", r"derivation names are not allowed to end in '.drv'"),
    ("invalid-derivation", r"derivation names are allowed to end in '.drv' only if they produce a single derivation file"),
    ("invalid-store-path", r"store path '.*' (contains illegal character|has an invalid name|is not allowed)"),
    ("invalid-store-path", r"name '.*' (contains illegal character|is not valid|must not)"),
    ("invalid-store-path", r"path '[^']*' is not in the Nix store"),
    ("invalid-store-path", r"path '[^']*' is not valid"),
    ("type-error", r"expected a[n]? [a-zA-Z -]+ but found (an? )?[a-z -]+[a-z]"),
    ("type-error", r"cannot (add|compare|coerce|convert|decode) .*?(?=:|$)"),
    ("type-error", r"'functionArgs' requires a function"),
    ("type-error", r"attempt to .* is not allowed"),
    ("invalid-argument", r"hash '.*' has wrong length"),
    ("string-context", r"files created by builtins.toFile may not reference derivations"),
    ("invalid-json", r"unsigned json number \d+ outside of Nix integer range"),
    ("invalid-derivation", r"invalid derivation name"),
    ("invalid-argument", r"missing required 'path' attribute in the first argument to 'builtins.path'"),
    ("invalid-argument", r"unsupported argument '.*' to 'builtins.path'"),
    ("invalid-argument", r"unknown hash format '[^']*'"),
    ("invalid-argument", r"hash '.*' should have type '[^']*'"),
    ("invalid-argument", r"unknown hash algorithm '.*?'"),
    ("invalid-argument", r"hash '.*' does not include a type.*"),
    ("invalid-argument", r"cannot create list of size -?\d+"),
    ("invalid-argument", r"negative start position in 'substring'"),
    ("invalid-argument", r"arguments passed to builtins.replaceStrings have different lengths"),
    ("invalid-argument", r"NixFloat argument .* is not in the range of NixInt"),
    ("invalid-argument", r"string '.*' doesn't represent an absolute path"),
    ("invalid-argument", r"cannot be represented as a Nix string"),
    ("syntax-error", r"syntax error"),
    ("syntax-error", r"path has a trailing slash|path '.*' has a trailing slash"),
    ("syntax-error", r"invalid (integer|float) '[^']*'"),
    ("syntax-error", r"dynamic attributes not allowed in (let|inherit)"),
    ("syntax-error", r"(cannot|can't) .* dynamic"),
)


def classify(stderr: str) -> Failure | None:
    """What CppNix 2.26 reports on `stderr`, as the code and the part of its message that a case keeps; None if unknown."""
    before, found, message = stderr.rpartition("error: ")
    if not found:
        return None
    message = message.splitlines()[0] if message else ""
    for code, pattern in _CLASSES:
        match = re.search(pattern, message)
        if match:
            return Failure(code, match[0])
    traces = re.findall(r"… (.*)", before)
    if traces and "'throw' builtin" in traces[-1]:
        return Failure("thrown", message)
    return None
