"""The kernel's face to Python: formats (crate nix-formats) and language (crate nix-lang).

Written by hand and checked against the built module.  Functions that work on files or on much data release the interpreter's
lock.  Store paths are absolute `str`; `store_dir` is the logical store directory without a slash at its end.  Where Nix has bytes
and Python `str`, bytes that are not UTF-8 are surrogates, as `os.fsdecode` makes them.

Errors: a class of `nivalis.errors.FormatError` for bad bytes, `OSError` for files, `ValueError` for a word that is none of those
named here.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias, final

from typing_extensions import Buffer

from nivalis._types import Filter, HashAlgo, HashFormat, Method, StrPath

__all__ = [
    "Hash",
    "NarInfo",
    "__version__",
    "base32_decode",
    "base32_encode",
    "check_store_path_name",
    "copy_path",
    "derivation_outputs",
    "derivation_references",
    "dump_nar",
    "hash_bytes",
    "hash_file",
    "hash_nar",
    "hash_nar_of_bytes",
    "hash_placeholder",
    "make_content_address",
    "make_fixed_output_path",
    "make_output_path",
    "make_source_path",
    "make_text_path",
    "output_path_name",
    "parse_content_address",
    "parse_derivation",
    "parse_store_path",
    "restore_nar",
    "scan_bytes",
    "scan_path",
    "split_store_path",
    "unparse_derivation",
]

__version__: str

# ---- formats ----

# Outputs (name: path or None, method and hash type, base-16 hash), input derivations (path: output names), input sources,
# platform, builder, arguments, environment.
_DerivationParts: TypeAlias = tuple[dict[str, tuple[str | None, str, str]], dict[str, list[str]], list[str], str, str, list[str], dict[str, str]]

class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

class _Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...

@final
class Hash:
    """A digest and the name of the function that made it.  `str()` is `sha256:` and base 16."""

    def __new__(cls, algo: str, digest: bytes) -> Hash: ...
    @staticmethod
    def parse(text: str, algo: str | None = None) -> Hash:
        """Read any form; the algorithm comes from the text or from `algo`.  Raises HashError."""
    @property
    def algo(self) -> HashAlgo: ...
    @property
    def digest(self) -> bytes: ...
    def format(self, format: HashFormat) -> str:
        """The digits, without the algorithm (but for `sri`)."""
    def format_prefixed(self, format: HashFormat) -> str:
        """The algorithm, a colon and the digits; SRI as it is."""
    def compressed(self) -> bytes:
        """The digest folded to 20 bytes, as in store paths."""
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: Hash, /) -> bool: ...
    def __le__(self, other: Hash, /) -> bool: ...
    def __gt__(self, other: Hash, /) -> bool: ...
    def __ge__(self, other: Hash, /) -> bool: ...
    def __getnewargs__(self) -> tuple[str, bytes]: ...

@final
class NarInfo:
    """What a binary cache says of one store path."""

    def __new__(
        cls,
        *,
        store_path: str,
        url: str,
        compression: str,
        nar_hash: Hash,
        nar_size: int,
        references: Sequence[str],
        store_dir: str,
        file_hash: Hash | None = None,
        file_size: int | None = None,
        deriver: str | None = None,
        signatures: Sequence[str] = ...,
        ca: str | None = None,
    ) -> NarInfo: ...
    @staticmethod
    def parse(data: bytes, store_dir: str) -> NarInfo:
        """Read a .narinfo file.  Raises NarInfoError."""
    def print(self) -> str:
        """The text of the file."""
    @property
    def fingerprint(self) -> str:
        """The text that a signature is over."""
    @property
    def store_path(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def compression(self) -> str: ...
    @property
    def file_hash(self) -> Hash | None: ...
    @property
    def file_size(self) -> int | None: ...
    @property
    def nar_hash(self) -> Hash: ...
    @property
    def nar_size(self) -> int: ...
    @property
    def references(self) -> list[str]: ...
    @property
    def deriver(self) -> str | None: ...
    @property
    def signatures(self) -> list[str]: ...
    @property
    def ca(self) -> str | None: ...
    @property
    def store_dir(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

def hash_bytes(algo: str, data: Buffer) -> Hash: ...
def hash_file(algo: str, path: StrPath) -> tuple[Hash, int]:
    """The hash of a file's bytes, and how many they are."""

def base32_encode(data: bytes) -> str: ...
def base32_decode(text: str) -> bytes: ...
def check_store_path_name(name: str) -> None:
    """Raises StorePathError."""

def parse_store_path(path: str, store_dir: str) -> tuple[str, str]:
    """The hash part and the name of an absolute store path."""

def split_store_path(path: str, store_dir: str) -> tuple[str, str]:
    """The store path that `path` is or is below of, and the rest: empty or beginning with a slash."""

def make_text_path(name: str, hash: Hash, references: Sequence[str], store_dir: str) -> str: ...
def make_fixed_output_path(
    name: str, method: Method, hash: Hash, references: Sequence[str], store_dir: str, *, self_reference: bool = False
) -> str: ...
def make_source_path(name: str, nar_hash: Hash, store_dir: str) -> str: ...
def make_output_path(output: str, hash: Hash, drv_name: str, store_dir: str) -> str:
    """The path of an input-addressed output; `hash` is the derivation's hash modulo."""

def output_path_name(drv_name: str, output: str) -> str: ...
def hash_placeholder(output: str) -> str: ...
def make_content_address(method: Method, hash: Hash) -> str:
    """As in the database: `text:sha256:…`, `fixed:sha256:…`, `fixed:r:sha256:…`."""

def parse_content_address(text: str) -> tuple[Method, Hash]: ...
def hash_nar(path: StrPath, algo: str = "sha256", *, filter: Filter | None = None) -> tuple[Hash, int]:
    """The hash and the size of the NAR of `path`.

    `filter(path, type)` is asked for all that is below `path`, in the archive's order.  Raises StoreContentError for a file
    type that a NAR cannot hold or a file that changed while it was read.
    """

def hash_nar_of_bytes(data: Buffer, algo: str = "sha256", *, executable: bool = False) -> tuple[Hash, int]:
    """The hash and the size of the NAR of a regular file with these bytes."""

def dump_nar(path: StrPath, file: int | _Writable, *, filter: Filter | None = None) -> tuple[Hash, int]:
    """Write the NAR of `path` to a descriptor or an object with `write`; its SHA-256 and size."""

def restore_nar(file: int | _Readable, target: StrPath, *, canonical: bool = False) -> tuple[Hash, int]:
    """Make the files of the one NAR that `file` holds at `target`, which must not exist; the NAR's SHA-256 and size.

    With `canonical`, directories are read-only and times are one second after the epoch (not those of symlinks).  What was made
    before an error is left.  Raises NarError.
    """

def copy_path(path: StrPath, target: StrPath, *, filter: Filter | None = None) -> tuple[Hash, int]:
    """Copy by way of a NAR, with a store's modes and times (not those of symlinks); the NAR's SHA-256 and size."""

def scan_path(path: StrPath, candidates: Sequence[str], store_dir: str) -> tuple[list[str], Hash, int]:
    """Which of `candidates` occur in the NAR of `path`; the NAR's SHA-256 and size."""

def scan_bytes(data: Buffer, candidates: Sequence[str], store_dir: str) -> list[str]: ...
def parse_derivation(data: bytes, store_dir: str) -> _DerivationParts:
    """Read the bytes of a .drv file.  Raises DerivationError."""

def unparse_derivation(
    outputs: dict[str, tuple[str | None, str, str]],
    input_drvs: dict[str, list[str]],
    input_srcs: Sequence[str],
    platform: str,
    builder: str,
    args: Sequence[str],
    env: dict[str, str],
    store_dir: str,
) -> bytes:
    """The bytes of a .drv file."""

def derivation_outputs(data: bytes, store_dir: str) -> list[tuple[str, str]]:
    """Names and paths of the outputs; those without a path are left out."""

def derivation_references(data: bytes, store_dir: str) -> list[str]:
    """The input derivations and sources, sorted."""
