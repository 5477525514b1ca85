"""`nix-store`: ask, add, move, collect and check the objects of a store.

Flags, output and exit status are CppNix's, byte by byte on stdout; errors on stderr are nivalis's own.  One operation per command
line; an operation is a function here that gets the open store, its flags and its words.

What builds is in `nivalis.cli.nix_store_realise`, which is imported where something is built.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nivalis import _native
from nivalis._types import HashAlgo
from nivalis.cli import nix_store_files
from nivalis.cli.arguments import Flags, UsageError, read_arguments
from nivalis.cli.failures import run
from nivalis.cli.nix_store_query import FLAGS as QUERY_FLAGS
from nivalis.cli.nix_store_query import run_query
from nivalis.cli.start import leave
from nivalis.cli.store_options import StoreOptions, parse_number, print_freed, store_path_of, write_lines
from nivalis.cli.talk import show_warning
from nivalis.errors import InvalidPathError
from nivalis.store.paths import check
from nivalis.store.store import Store

__all__ = ["main", "nix_store"]

_HELP = """\
Usage: nix-store OPERATION [FLAGS] [PATHS...]

Asks about store paths, and changes what is in the store.

Questions:
  -q, --query PATHS         --outputs (without another flag), --references, --referrers, --requisites (-R), --referrers-closure,
                            --deriver (-d), --valid-derivers, --binding NAME (-b), --hash, --size, --tree, --graph, --graphml,
                            --resolve, --roots;  -u uses the outputs of derivations, --include-outputs adds them to -R
  -l, --read-log PATHS      the log of the build of a path
  --print-env DRV           the environment of a derivation, for a shell
  --check-validity PATHS    fail if a path is not valid (--print-invalid prints it instead)

Adding:
  -r, --realise PATHS       build or fetch; print the paths (--add-root LINK keeps them)
  -A, --add FILES           copy files and folders to the store
  --add-fixed [--recursive] TYPE FILES
                            the same, addressed by their hash of that type
  --print-fixed-path [--recursive] TYPE HASH NAME

Moving:
  --dump FILE, --restore FILE
                            a file or folder as an archive, to stdout; from stdin
  --export PATHS, --import  store paths as one stream, to stdout; from stdin
  --dump-db [PATHS], --load-db, --register-validity [--hash-given] [--reregister]
                            the database as text, to stdout; from stdin

Keeping order:
  --gc                      remove what no root leads to (--max-freed BYTES; --print-roots, --print-live, --print-dead only look)
  --delete PATHS            remove these if nothing needs them (--ignore-liveness: although it is rooted)
  --verify                  check the database (--check-contents: and all content; --repair: and mend it)
  --verify-path PATHS       check the content of paths
  --optimise                replace equal files by hard links to one another
  --init                    make the database
  --repair-path PATHS       get the content of paths anew
  --generate-binary-cache-key NAME SECRET-FILE PUBLIC-FILE
                            make a key that signs what is in a binary cache

Other:
  --store PLACE             use the store there: a folder, or local?root=...
  --stdin                   read more words from stdin
  -h, --help, --version
"""

_OPERATIONS = {
    "-r": "realise",
    "--realise": "realise",
    "--realize": "realise",
    "-A": "add",
    "--add": "add",
    "--add-fixed": "add-fixed",
    "--print-fixed-path": "print-fixed-path",
    "--delete": "delete",
    "-q": "query",
    "--query": "query",
    "--print-env": "print-env",
    "-l": "read-log",
    "--read-log": "read-log",
    "--dump-db": "dump-db",
    "--load-db": "load-db",
    "--register-validity": "register-validity",
    "--check-validity": "check-validity",
    "--gc": "gc",
    "--dump": "dump",
    "--restore": "restore",
    "--export": "export",
    "--import": "import",
    "--init": "init",
    "--verify": "verify",
    "--verify-path": "verify-path",
    "--repair-path": "repair-path",
    "--generate-binary-cache-key": "generate-binary-cache-key",
    "--optimise": "optimise",
    "--optimize": "optimise",
}
# Flags that belong to single operations, which refuse those that are not theirs.
_FLAGS = (
    *("--dry-run", "--repair", "--check", "--ignore-unknown", "--recursive", "--ignore-liveness", "--reregister", "--hash-given"),
    *("--print-invalid", "--print-roots", "--print-live", "--print-dead", "--check-contents"),
    *QUERY_FLAGS,
)


class Request:
    """What one command line asks for, beside the operation."""

    def __init__(self) -> None:
        self.options = StoreOptions()
        self.flags: list[str] = []
        self.words: list[str] = []
        self.max_freed: int | None = None
        self.root: str | None = None
        self.prints_paths = True
        self.reads_stdin = False

    def allow(self, *flags: str) -> set[str]:
        """The flags of the operation.  Raises UsageError for one that it does not have."""
        for flag in self.flags:
            if flag not in flags:
                raise UsageError(f"unknown flag '{flag}'")
        return set(self.flags)

    def refuse_words(self) -> None:
        if self.words:
            raise UsageError("no arguments expected")

    def one_word(self) -> str:
        if len(self.words) != 1:
            raise UsageError("only one argument allowed")
        return self.words[0]

    def paths(self, store: Store) -> list[str]:
        """The store paths that the words name."""
        folder = os.getcwd()
        return [store_path_of(store.layout, word, folder) for word in self.words]


def main() -> None:
    """The program."""
    leave(run(lambda: nix_store(sys.argv[1:])))


def nix_store(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError, OSError."""
    request = Request()
    operations: list[str] = []
    try:
        read_arguments(words, _table(request, operations), request.words.append)
        if len(set(operations)) > 1:
            raise UsageError("only one operation may be specified")
        if not operations:
            raise UsageError("no operation specified")
        operation = operations[0]
        if operation == "help":
            print(_HELP, end="")
            return 0
        if operation == "version":
            return nix_store_files.show_version()
        if request.reads_stdin and operation not in ("import", "restore"):
            request.words += map(os.fsdecode, sys.stdin.buffer.read().split())
        return _run(operation, request)
    except UsageError as error:
        error.hint = error.hint or "`nix-store --help` shows all flags"
        raise


def _table(request: Request, operations: list[str]) -> Flags:
    def read_max_freed(text: str) -> None:
        request.max_freed = max(0, parse_number(text, "--max-freed"))

    table: dict[str, tuple[int, Callable[..., object]]] = {
        "-h": (0, lambda: operations.insert(0, "help")),
        "--help": (0, lambda: operations.insert(0, "help")),
        "--version": (0, lambda: operations.append("version")),
        "--max-freed": (1, read_max_freed),
        "--add-root": (1, lambda link: setattr(request, "root", os.path.abspath(link))),
        "--indirect": (0, lambda: None),
        "--no-output": (0, lambda: setattr(request, "prints_paths", False)),
        "--stdin": (0, lambda: setattr(request, "reads_stdin", True)),
    }
    for flag, operation in _OPERATIONS.items():
        table[flag] = (0, lambda operation=operation: operations.append(operation))
    for flag in _FLAGS:
        table[flag] = (0, lambda flag=flag: request.flags.append(flag))
    return request.options.flags(table)


def _run(operation: str, request: Request) -> int:
    if operation == "generate-binary-cache-key":
        return _generate_key(request)
    if operation == "dump":
        return _dump(request)
    if operation == "restore":
        return _restore(request)
    with request.options.open(os.environ) as store:
        return _WORK[operation](store, request)


# ---- questions ----


def _query(store: Store, request: Request) -> int:
    def realise(paths: Sequence[str]) -> int:
        from nivalis.cli.nix_store_realise import make_valid

        return make_valid(store, request.options, paths)

    return run_query(store, request.options, request.flags, request.words, realise)


def _print_env(store: Store, request: Request) -> int:
    request.allow()
    if len(request.words) != 1:
        raise UsageError("'--print-env' requires one derivation store path")
    derivation = store.read_derivation(check(request.words[0], store.store_dir))
    lines = [f"export {name}; {name}={_quote(value)}" for name, value in sorted(derivation.env.items())]
    write_lines([*lines, f"export _args; _args='{' '.join(map(_quote, derivation.args))}'"])
    return 0


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _read_log(store: Store, request: Request) -> int:
    from nivalis.store.logs import find_log_of, read_log

    request.allow()
    for path in request.paths(store):
        for piece in read_log(find_log_of(store, path)):
            sys.stdout.buffer.write(piece)
    return 0


def _check_validity(store: Store, request: Request) -> int:
    prints = bool(request.allow("--print-invalid"))
    for path in request.paths(store):
        if not store.is_valid(path):
            if not prints:
                raise InvalidPathError(f"path is not valid: `{path}`")
            print(path)
    return 0


# ---- additions ----


def _realise(store: Store, request: Request) -> int:
    from nivalis.cli.nix_store_realise import realise

    return realise(store, request)


def _add(store: Store, request: Request) -> int:
    request.allow()
    for word in request.words:
        print(store.add_path(word, os.path.basename(word.rstrip("/"))))
    return 0


def _add_fixed(store: Store, request: Request) -> int:
    is_recursive = bool(request.allow("--recursive"))
    if not request.words:
        raise UsageError("first argument must be hash algorithm")
    algo, *files = request.words
    for word in files:
        path = store.add_path(word, os.path.basename(word.rstrip("/")), method="nar" if is_recursive else "flat", algo=_algorithm(algo))
        print(path)
    return 0


def _print_fixed_path(store: Store, request: Request) -> int:
    is_recursive = bool(request.allow("--recursive"))
    if len(request.words) != 3:
        raise UsageError("'--print-fixed-path' requires three arguments")
    algo, digits, name = request.words
    parsed = _native.Hash.parse(digits, _algorithm(algo))
    print(_native.make_fixed_output_path(name, "nar" if is_recursive else "flat", parsed, [], store.store_dir))
    return 0


def _algorithm(name: str) -> HashAlgo:
    match name:
        case "md5" | "sha1" | "sha256" | "sha512":
            return name
    raise UsageError(f"unknown hash algorithm '{name}'", hint="known are md5, sha1, sha256 and sha512")


# ---- moving ----


def _dump(request: Request) -> int:
    request.allow()
    return nix_store_files.dump(request.one_word())


def _restore(request: Request) -> int:
    request.allow()
    return nix_store_files.restore(request.one_word())


def _export(store: Store, request: Request) -> int:
    from nivalis.store.exports import export_paths

    request.allow()
    export_paths(store, request.paths(store), sys.stdout.buffer)
    return 0


def _import(store: Store, request: Request) -> int:
    from nivalis.store.exports import import_paths

    request.allow()
    request.refuse_words()
    # Unbuffered: reading ends with the stream's own end, not where a pipe's does.
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stream:
        write_lines(list(import_paths(store, stream)))
    return 0


def _dump_db(store: Store, request: Request) -> int:
    from nivalis.store.database_dump import dump_database

    request.allow()
    for text in dump_database(store, request.paths(store) if request.words else None):
        sys.stdout.buffer.write(os.fsencode(text))
    return 0


def _load_db(store: Store, request: Request) -> int:
    request.allow()
    return _register(store, request, reregister=True, hash_given=True, canonicalise=False)


def _register_validity(store: Store, request: Request) -> int:
    flags = request.allow("--reregister", "--hash-given")
    return _register(store, request, reregister="--reregister" in flags, hash_given="--hash-given" in flags, canonicalise=True)


def _register(store: Store, request: Request, *, reregister: bool, hash_given: bool, canonicalise: bool) -> int:
    from nivalis.store.database_dump import read_registrations, register_text

    request.refuse_words()
    infos = read_registrations(sys.stdin.buffer, store.store_dir, hash_given=hash_given)
    register_text(store, infos, hash_given=hash_given, reregister=reregister, canonicalise=canonicalise)
    return 0


# ---- keeping order ----


def _gc(store: Store, request: Request) -> int:
    from nivalis.store import gc
    from nivalis.store.live_roots import find_roots

    flags = request.allow("--print-roots", "--print-live", "--print-dead")
    request.refuse_words()
    if flags and request.max_freed is not None:
        raise UsageError("option --max-freed cannot be combined with --print-live, --print-dead, or --print-roots")
    if "--print-roots" in flags:
        roots = find_roots(store.layout, read_only=store.read_only)
        valid = store.valid_among(roots)
        pairs = sorted((link, path) for path, links in roots.items() if path in valid or _is_temporary(links) for link in links)
        write_lines([f"{link} -> {path}" for link, path in pairs])
    elif flags:
        last = next(flag for flag in reversed(request.flags) if flag != "--print-roots")
        write_lines((gc.find_live if last == "--print-live" else gc.find_dead)(store, request.options.keep))
    else:
        print_freed(gc.collect(store, request.options.keep, max_freed=request.max_freed, on_delete=_say_deleting))
    return 0


def _is_temporary(links: set[str]) -> bool:
    return any(link.startswith("{temp:") for link in links)


def _say_deleting(path: str) -> None:
    sys.stderr.write(f"deleting '{path}'\n")


def _delete(store: Store, request: Request) -> int:
    from nivalis.store import gc

    ignores = bool(request.allow("--ignore-liveness"))
    collected = gc.Collected()
    try:
        gc.delete_paths(store, request.paths(store), request.options.keep, ignore_liveness=ignores, on_delete=_say_deleting, collected=collected)
    finally:
        print_freed(collected)
    return 0


def _verify(store: Store, request: Request) -> int:
    from nivalis.store.verify import verify_store

    flags = request.allow("--check-contents", "--repair")
    request.refuse_words()
    is_fine = True
    repairs = "--repair" in flags
    repairer = _find_repairer(store, request) if repairs else None
    for finding in verify_store(store, check_contents="--check-contents" in flags, repair=repairs, repairer=repairer):
        sys.stderr.write(f"{finding.message}\n")
        is_fine = is_fine and finding.is_mended
    if not is_fine:
        show_warning("not all store errors were fixed")
    return 0 if is_fine else 1


def _find_repairer(store: Store, request: Request) -> Callable[[str], object]:
    from nivalis.cli.nix_store_realise import make_repairer

    return make_repairer(store, request.options)


def _verify_path(store: Store, request: Request) -> int:
    from nivalis.store.verify import find_modified

    request.allow()
    paths = request.paths(store)
    store.check_valid(paths)
    findings = list(find_modified(store, paths))
    for finding in findings:
        sys.stderr.write(f"{finding.message}\n")
    return 0 if all(finding.is_mended for finding in findings) else 1


def _repair_path(store: Store, request: Request) -> int:
    request.allow()
    repairer = _find_repairer(store, request)
    for path in request.paths(store):
        store.path_info(path)
        repairer(path)
    return 0


def _optimise(store: Store, request: Request) -> int:
    from nivalis.store.optimise import optimise_store

    request.allow()
    request.refuse_words()
    savings = optimise_store(store, show_warning)
    sys.stderr.write(f"{savings.size / (1024 * 1024):.2f} MiB freed by hard-linking {savings.files} files\n")
    return 0


def _generate_key(request: Request) -> int:
    from nivalis.cache.keys import SecretKey

    request.allow()
    if len(request.words) != 3:
        raise UsageError("three arguments expected")
    name, secret_file, public_file = request.words
    key = SecretKey.generate(name)
    Path(public_file).write_text(str(key.public))
    descriptor = os.open(secret_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:
        file.write(str(key))
    return 0


def _init(store: Store, request: Request) -> int:
    request.allow()
    request.refuse_words()
    return 0


_WORK: Mapping[str, Callable[[Store, Request], int]] = {
    "realise": _realise,
    "add": _add,
    "add-fixed": _add_fixed,
    "print-fixed-path": _print_fixed_path,
    "delete": _delete,
    "query": _query,
    "print-env": _print_env,
    "read-log": _read_log,
    "dump-db": _dump_db,
    "load-db": _load_db,
    "register-validity": _register_validity,
    "check-validity": _check_validity,
    "gc": _gc,
    "export": _export,
    "import": _import,
    "init": _init,
    "verify": _verify,
    "verify-path": _verify_path,
    "repair-path": _repair_path,
    "optimise": _optimise,
}
