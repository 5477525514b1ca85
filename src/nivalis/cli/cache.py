"""`nivalis cache`: copy store paths into a binary cache, serve one, and make and use the keys that sign them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from nivalis.cli.failures import run

if TYPE_CHECKING:
    from nivalis.cache.keys import SecretKey
    from nivalis.store.store import Store

__all__ = ["command"]

_STORE = click.option("--store", "place", metavar="PLACE", help="Use the store there.")
_KEYS = click.option("-k", "--key-file", "--key", "key_files", multiple=True, metavar="FILE", help="Sign with the secret key in FILE.")


@click.group("cache", short_help="Copy store paths into a binary cache, serve one; keys and signatures.")
def command() -> None:
    """Copy store paths into a binary cache, serve one, and make and use the keys that sign them."""


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
        elif pushed.written:
            print("\n".join(pushed.written))
        return 0

    raise SystemExit(run(work))


@command.command("serve")
@click.argument("folder", required=False)
@click.option("--listen", "address", default="127.0.0.1:5000", show_default=True, metavar="ADDRESS:PORT", help="Where; port 0 is any free one.")
@_KEYS
@_STORE
@click.option("--priority", type=click.IntRange(0, 999_999_999), metavar="N", help="Of several caches, the lowest is asked first; 30 if not said.")
@click.option("--compression", type=click.Choice(["none", "zstd", "xz"]), help="How NARs are sent; none if not said.")
@click.option("--want-mass-query", is_flag=True, help="Invite questions about many paths at once.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as one line of JSON, on standard output.")
def serve_command(
    folder: str | None,
    address: str,
    key_files: Sequence[str],
    place: str | None,
    priority: int | None,
    compression: str | None,
    want_mass_query: bool,
    as_json: bool,
) -> None:
    """Serve the store as a binary cache over HTTP, or the cache in FOLDER, until SIGTERM or Ctrl-C.

    Of the store every valid path is served, signed by --key-file and with the signatures that it has. Uncompressed NARs can be resumed.
    """

    def work() -> int:
        from nivalis.cache import server
        from nivalis.cli.failures import report

        keys = _read_keys(key_files)
        with ExitStack() as opened:
            listener = opened.enter_context(server.listen(address))
            if folder is None:
                store = opened.enter_context(_open(place))
                app = server.make_store_app(
                    store,
                    report,
                    keys=keys,
                    compression=compression or "none",
                    priority=server.PRIORITY if priority is None else priority,
                    wants_mass_query=want_mass_query,
                )
                what = f"the store {store.layout.real_store_dir}"
            else:
                if place is not None or keys or priority is not None or compression is not None or want_mass_query:
                    raise click.UsageError("a folder is served as it is: it takes no options of a store")
                app = server.make_folder_app(os.path.abspath(folder), report)
                what = f"the cache {os.path.abspath(folder)}"
            _announce(server.address_of(listener), what, [str(key.public) for key in keys], as_json=as_json)
            server.serve(app, listener)
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


def _announce(address: tuple[str, int], what: str, keys: Sequence[str], *, as_json: bool) -> None:
    """Say what is served, and how it is used."""
    host, port = address
    if host in ("0.0.0.0", "::"):
        import socket

        host = socket.gethostname()
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if as_json:
        print(json.dumps({"url": url, "address": address[0], "port": port, "publicKeys": keys}), flush=True)
        return
    _say(f"serving {what} at {url}; in nix.conf, or as flags, of who is to use it:")
    _say(f"  extra-substituters = {url}")
    if keys:
        _say(f"  extra-trusted-public-keys = {' '.join(keys)}")


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
