"""`nix-prefetch-url`: fetch a file or an archive into the store, and print its hash.

Flags, output and store paths are CppNix's, except that with `-A` the store path has the name that the expression gives, which is the one
that a build looks for; CppNix overlooks it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from nivalis import _native
from nivalis._types import HashAlgo
from nivalis.cli.arguments import Flags, UsageError, read_program
from nivalis.cli.common_options import open_store
from nivalis.cli.downloading import DownloadProgress
from nivalis.cli.evaluation import EvalOptions, make_arguments, open_evaluator, resolve_file
from nivalis.cli.failures import run
from nivalis.cli.talk import show_warning
from nivalis.errors import NivalisError
from nivalis.lang.auto_call import find_along_path
from nivalis.lang.evaluator import Evaluator
from nivalis.lang.value import AttrSet, show_kind
from nivalis.store.store import Store

__all__ = ["main", "nix_prefetch_url"]

_HELP = """\
Usage: nix-prefetch-url [FLAGS] ADDRESS [HASH]
       nix-prefetch-url [FLAGS] -A PATH [FILE]

Fetches a file into the store, and prints its hash; nothing is fetched if what has the given HASH is there.

  --type TYPE               md5, sha1, sha256 (without this flag), sha512
  --unpack                  unpack an archive; the hash is that of what is in it
  --executable              make the file executable; the hash is that of its archive
  --name NAME               the name of the store path, instead of the address's last part
  --print-path              print the store path too (also if PRINT_PATH is 1)
  -A, --attr PATH           fetch what the call of fetchurl there fetches, in FILE (or ./default.nix)
  --arg NAME EXPR, --argstr NAME STRING, -I [NAME=]PATH
                            as for nix-instantiate
  --store PLACE             fetch into the store there
  --option NAME VALUE       set one of Nix's settings
  --quiet                   do not say on stderr where it is (also if QUIET is 1)
  -h, --help, --version

An address is https:, http:, file:, or mirror:, which stands for a server of the list in <nixpkgs>.
"""
_MIRRORS = "import <nixpkgs/pkgs/build-support/fetchurl/mirrors.nix>"


class Options(EvalOptions):
    """The flags of this command."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self.words: list[str] = []
        self.algo: HashAlgo = "sha256"
        self.attribute: str | None = None
        self.name: str | None = None
        self.prints_path = environment.get("PRINT_PATH") == "1"
        self.is_quiet = environment.get("QUIET") == "1"
        self.unpacks = False
        self.executable = False

    def flags(self) -> Flags:
        def put(name: str, value: object) -> tuple[int, Callable[..., object]]:
            return 0, lambda: setattr(self, name, value)

        def keep(name: str) -> tuple[int, Callable[..., object]]:
            return 1, lambda value: setattr(self, name, value)

        own: dict[str, tuple[int, Callable[..., object]]] = {
            "--type": (1, self.set_algo),
            "--print-path": put("prints_path", True),
            "--unpack": put("unpacks", True),
            "--executable": put("executable", True),
            "--quiet": put("is_quiet", True),
            "--name": keep("name"),
            "-A": keep("attribute"),
            "--attr": keep("attribute"),
        }
        return {**super().flags(), **own}

    def set_algo(self, name: str) -> None:
        match name:
            case "md5" | "sha1" | "sha256" | "sha512":
                self.algo = name
            case _:
                raise UsageError(f"unknown hash algorithm '{name}'", hint="known are md5, sha1, sha256 and sha512")


def main() -> None:
    """The program."""
    raise SystemExit(run(lambda: nix_prefetch_url(sys.argv[1:])))


def nix_prefetch_url(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError."""
    from nivalis.fetch.network import Network
    from nivalis.fetch.prefetch import prefetch

    environment = dict(os.environ)
    options = Options(environment)
    if not read_program("nix-prefetch-url", _HELP, words, options.flags(), options.words.append):
        return 0
    hint = "`nix-prefetch-url --help` shows all flags"
    if not options.words and options.attribute is None:
        raise UsageError("no address is given", hint=hint)
    if len(options.words) > 2:
        raise UsageError(f"too many arguments: `{options.words[2]}`", hint=hint)
    expected = _native.Hash.parse(options.words[1], options.algo) if len(options.words) == 2 else None
    with open_store(options.layout(environment), options.config) as store:
        address = _find_address(options, store, environment)
        progress = DownloadProgress(address)
        try:
            got = prefetch(
                store,
                address,
                network=Network.make(environment, options.config),
                name=options.name,
                algo=options.algo if expected is None else expected.algo,
                expected=expected,
                unpacks=options.unpacks,
                executable=options.executable,
                on_progress=progress.advance,
                on_retry=progress.retry,
            )
        finally:
            progress.close()
    if not options.prints_path and not options.is_quiet:
        print(f"path is '{got.path}'", file=sys.stderr)
    print(got.hash.format("base16" if got.hash.algo == "md5" else "base32"))
    if options.prints_path:
        print(got.path)
    return 0


def _find_address(options: Options, store: Store, environment: Mapping[str, str]) -> str:
    """The address to fetch; what else an expression says about it becomes part of `options`."""
    if options.attribute is None and not options.words[0].startswith("mirror://"):
        return options.words[0]
    folder = os.getcwd()
    with open_evaluator(options, store, environment, options.settings(environment, folder, store.layout)) as evaluator:
        address = options.words[0] if options.attribute is None else _read_call(options, evaluator, folder)
        if not address.startswith("mirror://"):
            return address
        mirror, _, rest = address.removeprefix("mirror://").partition("/")
        mirrors = evaluator.eval(_MIRRORS)
        found = mirrors[mirror].to_python() if isinstance(mirrors, AttrSet) and mirror in mirrors else None
        if not isinstance(found, list) or not found:
            raise NivalisError(f"there is no mirror of that name in <nixpkgs>: `{mirror}`", code="unknown-mirror", where=address)
        return f"{str(found[0]).rstrip('/')}/{rest}"


def _read_call(options: Options, evaluator: Evaluator, folder: str) -> str:
    """What a call of fetchurl, or of what is like it, would fetch first."""
    assert options.attribute is not None
    root = evaluator.eval_file(resolve_file(evaluator, options.words[0] if options.words else ".", folder))
    call = find_along_path(root, options.attribute, make_arguments(evaluator, options, folder))
    if not isinstance(call, AttrSet):
        raise UsageError(f"what is there is {show_kind(call)}, and no call of fetchurl: `{options.attribute}`")
    addresses = call["urls"].to_python() if "urls" in call else []
    if not isinstance(addresses, list) or not addresses:
        raise UsageError(
            f"what is there has no addresses in `urls`: `{options.attribute}`", hint="`-A` leads to a call of fetchurl, such as `hello.src`"
        )
    if "outputHashMode" in call:
        options.unpacks = call["outputHashMode"].to_python() in ("recursive", "nar")
    else:
        show_warning("this does not look like a call of fetchurl")
    if options.name is None and "name" in call:
        options.name = str(call["name"].to_python())
    return str(addresses[0])
