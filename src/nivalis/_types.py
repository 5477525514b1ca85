"""The words that the kernel's functions take, as types: shared by its stub and by the packages above it."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Literal, TypeAlias

__all__ = ["FileType", "Filter", "HashAlgo", "HashFormat", "Method", "StrPath"]

HashAlgo: TypeAlias = Literal["md5", "sha1", "sha256", "sha512"]
HashFormat: TypeAlias = Literal["base16", "nix32", "base32", "base64", "sri"]
# What of a store object its content address is over: a file's bytes, the NAR, or a text that may have references.
Method: TypeAlias = Literal["flat", "nar", "text"]
FileType: TypeAlias = Literal["regular", "directory", "symlink", "unknown"]
# Whether the file at a path, of a type, belongs into a NAR.
Filter: TypeAlias = Callable[[str, FileType], object]
StrPath: TypeAlias = str | PathLike[str]
