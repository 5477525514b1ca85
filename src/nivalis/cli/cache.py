"""`nivalis cache`: copy store paths into a binary cache, and make and use the keys that sign them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from nivalis.cli.failures import run

if TYPE_CHECKING:
    from nivalis.cache.keys import SecretKey
    from nivalis.store.store import Store

__all__ = ["command"]

_STORE = click.option("--store", "place", metavar="PLACE", help="Use the store there.")
_KEYS = click.option("-k", "--key-file", "key_files", multiple=True, metavar="FILE", help="Sign with the secret key in FILE.")


@click.group("cache", short_help="Copy store paths into a binary cache; keys and signatures.")
def command() -> None:
    """Copy store paths into a binary cache, and make and use the keys that sign them."""


@command.command("push")
@click.argument("destination")
@click.argument("paths", nargs=-1, required=True)
@_KEYS
@_STORE
@click.option("--json", "as_json", is_flag=True, help="Print what was written and what was there as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Do not name each path.")
def push_command(destination: str, paths: Sequence[str], key_files: Sequence[str], place: str | None, as_json: bool, quiet: bool) -> None:
    """Copy PATHS and all that they refer to into the cache DESTINATION, a folder or a file:// address; the paths that were written.

    What is there is skipped. Parameters follow a question mark: compression (xz, zstd, bzip2, gzip, none; xz unless said otherwise),
    compression-level, secret-key (a file). Narinfos are those that `nix copy --to` writes.
    """

    def work() -> int:
        from nivalis.cache.push import push

        with _open(place) as store:
            words = _paths(store, paths)
            address = destination if "://" in destination else os.path.abspath(destination)
            talk: Callable[[str], object] = (lambda path: None) if quiet else lambda path: _say(f"copying path '{path}' to '{destination}'...")
            pushed = push(store, words, address, keys=_read_keys(key_files), on_path=talk)
        if as_json:
            print(json.dumps({"written": pushed.written, "present": pushed.present, "size": pushed.size}, indent=2))
        else:
            for path in pushed.written:
                print(path)
        return 0

    raise SystemExit(run(work))


@command.command("sign")
@click.argument("paths", nargs=-1, required=True)
@_KEYS
@_STORE
@click.option("-r", "--recursive", is_flag=True, help="Sign all that PATHS refer to as well.")
def sign_command(paths: Sequence[str], key_files: Sequence[str], place: str | None, recursive: bool) -> None:
    """Sign PATHS in the store, so that whatever they are copied to has the signatures."""

    def work() -> int:
        from nivalis.cache.sign import sign_paths

        keys = _read_keys(key_files)
        if not keys:
            raise click.UsageError("name a key: --key-file FILE")
        with _open(place) as store:
            words = _paths(store, paths)
            count = sign_paths(store, store.database.closure(words) if recursive else words, keys)
        _say(f"added {count} signatures")
        return 0

    raise SystemExit(run(work))


@command.group("key")
def key_command() -> None:
    """Make a key, and show the public part of one."""


@key_command.command("generate")
@click.argument("name")
def generate_command(name: str) -> None:
    """Print a new secret key called NAME, for a file that nobody else may read.

    The name says whose it is and which: `cache.example.org-1`.
    """

    def work() -> int:
        from nivalis.cache.keys import SecretKey

        print(SecretKey.generate(name), end="")
        return 0

    raise SystemExit(run(work))


@key_command.command("public")
@click.argument("file", required=False)
def public_command(file: str | None) -> None:
    """Print the public key, for `trusted-public-keys`, of the secret key in FILE or on standard input."""

    def work() -> int:
        from nivalis.cache.keys import SecretKey

        key = SecretKey.parse(sys.stdin.read()) if file is None or file == "-" else SecretKey.read(file)
        print(key.public)
        return 0

    raise SystemExit(run(work))


def _open(place: str | None) -> Store:
    from nivalis.cli.store_options import StoreOptions

    options = StoreOptions()
    options.store = place
    return options.open(os.environ)


def _paths(store: Store, words: Sequence[str]) -> list[str]:
    from nivalis.cli.store_options import store_path_of

    folder = os.getcwd()
    return [store_path_of(store.layout, word, folder) for word in words]


def _read_keys(files: Sequence[str]) -> list[SecretKey]:
    from nivalis.cache.keys import SecretKey

    return [SecretKey.read(file) for file in files]


def _say(line: str) -> None:
    print(line, file=sys.stderr)
