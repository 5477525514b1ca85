"""The kernel's face to Python: formats (crates nix-formats, elf-edit, debian-index) and language (crate nix-lang).

Written by hand and checked against the built module.  Functions that work on files or on much data release the interpreter's
lock.  Store paths are absolute `str`; `store_dir` is the logical store directory without a slash at its end.  Where Nix has bytes
and Python `str`, bytes that are not UTF-8 are surrogates, as `os.fsdecode` makes them.

Errors: a class of `nivalis.errors.FormatError` for bad bytes, `OSError` for files, `ValueError` for a word that is none of those
named here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, final

from typing_extensions import Buffer

from nivalis._types import Filter, HashAlgo, HashFormat, Method, StrPath

__all__ = [
    "NIX_VERSION",
    "Evaluator",
    "Hash",
    "NarInfo",
    "Value",
    "XzDecompressor",
    "__version__",
    "base32_decode",
    "base32_encode",
    "builtin_docs",
    "check_store_path_name",
    "compare_debian_versions",
    "compress_xz",
    "copy_path",
    "derivation_outputs",
    "derivation_references",
    "dump_nar",
    "edit_elf",
    "encode_debian_records",
    "error_codes",
    "find_circles",
    "hash_bytes",
    "hash_file",
    "hash_nar",
    "hash_nar_of_bytes",
    "hash_placeholder",
    "keep_heap_small",
    "make_content_address",
    "make_fixed_output_path",
    "make_output_path",
    "make_source_path",
    "make_text_path",
    "output_path_name",
    "parse_content_address",
    "parse_derivation",
    "parse_store_path",
    "read_debian_index",
    "read_elf",
    "remove_tree",
    "restore_nar",
    "restore_nar_prefix",
    "scan_bytes",
    "scan_path",
    "split_store_path",
    "unpack_nar",
    "unparse_derivation",
    "write_nar",
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

def restore_nar(file: int | bytes | _Readable, target: StrPath, *, canonical: bool = False) -> tuple[Hash, int]:
    """Make the files of the one NAR that `file` holds at `target`, which must not exist; the NAR's SHA-256 and size.

    With `canonical`, directories are read-only and times are one second after the epoch.  What was made before an error is
    left.  Raises NarError.
    """

def restore_nar_prefix(file: int | _Readable, target: StrPath) -> tuple[Hash, int, bytes]:
    """As `restore_nar(canonical=True)`, from a stream in which more may follow: what of that was read already is given too."""

def unpack_nar(file: int | _Readable, target: StrPath) -> int:
    """Make a user's own files, as writable as the umask lets them be, of the one NAR in `file`; its size.  Nothing is hashed."""

def write_nar(path: StrPath, file: int | _Writable) -> None:
    """Write the NAR of `path` to a descriptor or an object with `write`.  Nothing is hashed."""

def copy_path(path: StrPath, target: StrPath, *, filter: Filter | None = None) -> tuple[Hash, int]:
    """Copy by way of a NAR, with a store's modes and times; the SHA-256 and size of what arrived, as a NAR."""

def remove_tree(path: StrPath) -> int:
    """Remove whatever is at `path`, read-only folders too; nothing is fine.  The bytes of the files that had at most one other link."""

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

# ---- programs and libraries: crate elf-edit ----

def read_elf(path: StrPath) -> tuple[int, str | None, str | None, list[str], str | None] | None:
    """Machine (62 is x86-64), interpreter, soname, needed, and RUNPATH or else RPATH of a dynamically linked file; None for any other.

    Raises ElfError for one that is damaged, of 32 bits or big-endian.
    """

def edit_elf(path: StrPath, *, interpreter: str | None = None, runpath: str | None = None) -> bool:
    """Give a dynamically linked file another interpreter, if it has any, and a RUNPATH in place of its RPATH and RUNPATH; whether it changed.

    An empty `runpath` is none.  Raises ElfError as `read_elf` does, and for files that are laid out too strangely; these stay as they were.
    """

# ---- Debian's archives: crate debian-index ----

def read_debian_index(text: bytes) -> tuple[list[dict[str, str]], dict[str, str] | None]:
    """The packages in paragraphs of an index, up to the first that has a field missing, or one that cannot be; and that one.

    A package is the fields that `nivalis.debian.index.Stanza` tells of, as they stand there.
    """

def compare_debian_versions(one: str, other: str) -> int:
    """Which version dpkg takes for the later: -1, 0 or 1.  Raises ValueError for an epoch that is no number."""

def encode_debian_records(
    names: Sequence[str],
    packages: Mapping[str, Mapping[str, str]],
    depends: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str]],
    broken: Mapping[str, str],
) -> bytes:
    """The records of the packages `names` in a snapshot, as one object in JSON: see `nivalis.debian.snapshot`."""

def find_circles(needs: dict[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """The sets of more than one name, sorted, each of whom needs all others of its set, itself or through others."""

def compress_xz(data: bytes) -> bytes:
    """What `xz -6` makes of `data`, which is what CppNix makes of a NAR; for a few kilobytes in a quarter of `lzma`'s time."""

@final
class XzDecompressor:
    """One stream of xz, decompressed in pieces; `lzma.LZMADecompressor` with less in it.

    `memory_limit` is in bytes.
    """

    def __new__(cls, memory_limit: int) -> XzDecompressor: ...
    @property
    def eof(self) -> bool:
        """Whether the stream has ended; what comes behind it is not looked at."""
    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without more data."""
    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most so many bytes; what is left of `data` is kept.  Raises ValueError for what is damaged, or needs more memory."""

# ---- the language ----

# Name, names of the arguments, documentation.
_BuiltinDoc: TypeAlias = tuple[str, list[str], str]

NIX_VERSION: str
"""What `builtins.nixVersion` says."""

class _Host(Protocol):
    """The world of an evaluator.  It is called from a thread of the kernel's, never by two at once, and must not use the evaluator.

    An exception becomes an error of the language with the exception's `code`, `message` and `hint`, where it has them, and is the
    cause of the EvalError.
    """

    def current_time(self) -> int:
        """Seconds since the epoch."""
    def search_entry(self, entry: str, /) -> str | None:
        """The file or folder that an address in a search path stands for; None if there is none."""
    def write(
        self, texts: list[tuple[str, bytes, list[str]]], sources: list[tuple[str, str, str, Literal["nar", "flat"], list[str] | None]], /
    ) -> object:
        """Put into the store: texts (store path, bytes, references), sources (store path, file, name, method, what is kept of it)."""
    def is_valid(self, path: str, /) -> bool: ...
    def references(self, path: str, /) -> Sequence[str]: ...
    def closure(self, path: str, /) -> Sequence[str]: ...
    def ensure_path(self, path: str, /) -> object:
        """Make a store path valid, by whatever means, or raise."""
    def realise(self, wanted: list[tuple[str, str]], /) -> Sequence[str]:
        """Build outputs (derivation, output name) that are not valid; the paths of all."""
    def fetch(self, kind: str, arguments: dict[str, str], /) -> tuple[str, dict[str, str | int | bool]]:
        """Fetch what a builtin (`fetchurl`, `fetchTarball`, `fetchGit`, `fetchTree`) asks for: its store path and attributes."""
    def trace(self, message: bytes, /) -> object: ...
    def warn(self, message: bytes, /) -> object: ...
    def breakpoint(self) -> object: ...

@final
class Evaluator:
    """One evaluator: a heap, the files it has read, and a host.

    Evaluation runs on a thread of its own without the interpreter's lock; signals are handled meanwhile.  One evaluation at a
    time: RuntimeError for a second, and after `close`.  Errors of the language are `nivalis.errors.EvalError`.
    """

    def __new__(
        cls,
        host: _Host,
        *,
        store_dir: str,
        real_store_dir: StrPath,
        system: str,
        search_path: Sequence[tuple[str | bytes, str | bytes]],
        environment: Mapping[str, str],
        home: str | bytes | None,
        pure: bool,
        pipe_operators: bool,
        trace_verbose: bool,
        abort_on_warn: bool,
        max_call_depth: int,
        record: bool,
        max_memory: int | None = None,
        allowed_uris: Sequence[str] | None = None,
    ) -> Evaluator: ...
    def eval_file(self, path: str | bytes) -> Value:
        """The value of a file, or of a folder's `default.nix`; the path is absolute."""
    def eval_text(
        self,
        text: str | bytes,
        *,
        base_dir: str | bytes,
        origin: Literal["string", "stdin"] = "string",
        scope: Value | None = None,
        lazy: bool = False,
    ) -> Value:
        """The value of a text.  Relative paths in it are relative to `base_dir`; the attributes of `scope` are in scope.

        A `lazy` one (without a scope) is parsed now and evaluated when it is asked for.
        """
    def show_parsed(
        self, text: str | bytes, *, base_dir: str | bytes, origin: Literal["string", "stdin"] = "string", file: str | bytes | None = None
    ) -> bytes:
        """The parsed text as `nix-instantiate --parse` prints it."""
    def show_parsed_each(self, sources: Iterable[tuple[str | bytes, str | bytes, str | bytes]], write: Callable[[bytes], object]) -> None:
        """Hand to `write` what `show_parsed` gives for each of `sources` (text, folder for relative paths, file).

        Some are read ahead.  Neither may use the evaluator.
        """
    def builtins(self) -> Value: ...
    def find_file(self, name: str | bytes) -> str:
        """The file that `<name>` finds."""
    def from_python(self, object: object) -> Value:
        """The value of a Python object.

        None, bool, int, float, str and bytes; a path becomes a Nix path, a mapping a set, an iterable a list.  A `Value` of this
        evaluator, or an object that has one as `__nix_value__`, stays what it is.
        """
    def flush(self) -> None:
        """Hand all that evaluation wrote so far to the host."""
    def recording(self) -> dict[str, Any]:
        """What evaluation looked at: `seen`, `variables`, `store_paths`, `written`, `messages`, `impure` (see recording.rs)."""
    def forget_files(self) -> None:
        """Read files again that are evaluated from now on."""
    def allocated(self) -> int:
        """How many bytes the heap has."""
    def interrupt(self) -> None:
        """End a running evaluation from another thread."""
    def close(self) -> None:
        """Give the memory back."""

@final
class Value:
    """A value, perhaps not evaluated yet.  It keeps its evaluator alive.  TypeError where it has another kind than is asked for."""

    @property
    def evaluator(self) -> Evaluator: ...
    @property
    def kind(self) -> str:
        """As `builtins.typeOf` has it."""
    @property
    def is_forced(self) -> bool: ...
    def force(self, deep: bool = False) -> None: ...
    def scalar(self) -> str | int | float | bool | None: ...
    def raw(self) -> bytes:
        """The bytes of a string or path."""
    def context(self) -> list[str]:
        """A string's context: `path`, `!output!drv` or `=drv` each."""
    def coerced(self, *, interpolated: bool = False) -> bytes:
        """As `builtins.toString` has it, or as in `"${v}"`: there paths are copied to the store, and numbers are refused."""
    def names(self) -> list[str]:
        """The names of a set's attributes, in alphabetical order."""
    def attr(self, name: str | bytes) -> Value:
        """An attribute, not evaluated.  Raises KeyError."""
    def has(self, name: str | bytes) -> bool: ...
    def length(self) -> int: ...
    def item(self, index: int) -> Value:
        """An element of a list, not evaluated.  Raises IndexError."""
    def call(self, args: Sequence[Value]) -> Value:
        """Apply to one argument after the other."""
    def formals(self) -> dict[str, bool] | None:
        """The named arguments of a function, and whether each has a default; None for any other value."""
    def has_ellipsis(self) -> bool: ...
    def builtin_doc(self) -> _BuiltinDoc | None: ...
    def position(self, name: str | bytes | None = None) -> tuple[str, int, int] | None:
        """Where a function, or a set's attribute `name`, stands: file, line, column."""
    def print(self, pretty: bool = False, lazy: bool = False) -> bytes:
        """As `nix-instantiate --eval` prints it (`lazy`: without `--strict`); nothing more is evaluated."""
    def to_json(self, *, strict: bool = True) -> bytes: ...
    def to_xml(self, *, strict: bool, places: bool) -> bytes: ...
    def to_python(self, wrap: Callable[[Value], object] | None = None) -> Any:
        """Evaluated throughout, as Python's own objects.

        A derivation becomes its output path, a function a `Value` or what `wrap` makes of that.
        """
    def identity(self) -> int:
        """The same number for the same set, list or function of one evaluator."""

def builtin_docs() -> list[_BuiltinDoc]: ...
def keep_heap_small() -> None:
    """Has every large buffer given back to the system as soon as it is freed (mallopt; a setting of the whole process, for commands)."""

def error_codes() -> list[str]:
    """Every code that an error of the language can have."""
