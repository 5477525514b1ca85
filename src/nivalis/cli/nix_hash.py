"""`nix-hash`: the hash of files and folders, and hashes from one form to another.

A folder is hashed as its NAR, and so is a file, unless `--flat` is given.  The default is MD5 in base 16, as it has always been.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Sequence

from nivalis import _native
from nivalis._types import HashAlgo, HashFormat
from nivalis.cli.arguments import UsageError, read_program
from nivalis.cli.failures import run

__all__ = ["main", "nix_hash"]

_HELP = """\
Usage: nix-hash [FLAGS] FILES...
       nix-hash --to-base16|--to-base32|--to-base64|--to-sri [--type TYPE] HASHES...

Prints the hash of each file or folder, or each hash in another form.

  --flat                    of a file's bytes, rather than of its archive
  --type TYPE               md5 (without this flag), sha1, sha256, sha512
  --truncate                folded to 160 bits
  --base16, --base32, --base64, --sri
                            in this form
  -h, --help, --version
"""


class Options:
    """The flags of this command."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.action = "hash"
        self.algo: HashAlgo | None = None
        self.format: HashFormat = "base16"
        self.is_flat = False
        self.truncates = False

    def set_algo(self, name: str) -> None:
        match name:
            case "md5" | "sha1" | "sha256" | "sha512":
                self.algo = name
            case _:
                raise UsageError(f"unknown hash algorithm '{name}'", hint="known are md5, sha1, sha256 and sha512")

    def set_format(self, form: HashFormat, *, converts: bool = False) -> None:
        self.format = form
        if converts:
            self.action = "convert"


def main() -> None:
    """The program."""
    raise SystemExit(run(lambda: nix_hash(sys.argv[1:])))


def nix_hash(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError, OSError."""
    options = Options()
    table: dict[str, tuple[int, Callable[..., object]]] = {
        "--flat": (0, lambda: setattr(options, "is_flat", True)),
        "--truncate": (0, lambda: setattr(options, "truncates", True)),
        "--type": (1, options.set_algo),
        "-v": (0, lambda: None),
        "--verbose": (0, lambda: None),
        "--quiet": (0, lambda: None),
        "--option": (2, lambda name, value: None),
    }
    forms: tuple[HashFormat, ...] = ("base16", "base32", "base64", "sri")
    for form in forms:
        table[f"--{form}"] = (0, lambda form=form: options.set_format(form))
        table[f"--to-{form}"] = (0, lambda form=form: options.set_format(form, converts=True))
    if not read_program("nix-hash", _HELP, words, table, options.words.append):
        return 0
    turn = _convert if options.action == "convert" else _hash
    for word in options.words:
        print(turn(word, options))
    return 0


def _convert(word: str, options: Options) -> str:
    # What names its own type needs no other; a bare one is an MD5 hash, as ever.
    names_type = ":" in word or "-" in word
    return _native.Hash.parse(word, options.algo or (None if names_type else "md5")).format(options.format)


def _hash(file: str, options: Options) -> str:
    algo = options.algo or "md5"
    found = _native.hash_file(algo, file)[0] if options.is_flat else _native.hash_nar(file, algo)[0]
    if not options.truncates or len(found.digest) <= 20:
        return found.format(options.format)
    digest = found.compressed()
    match options.format:
        case "base16":
            return digest.hex()
        case "base32":
            return _native.base32_encode(digest)
        case _:
            text = base64.b64encode(digest).decode()
            return f"{algo}-{text}" if options.format == "sri" else text
