"""The program: install, upgrade, remove.  What the steps are, and in which order.

An installation is first planned and checked, then its manifest is written, then the new environment is made beside the one in use, and
only then does anything change that is in use: one link is replaced, and what is outside follows from the manifest.  So a failure leaves
what was there, a first installation that fails leaves nothing, and after a power cut the same command makes it whole.
"""

from __future__ import annotations

import argparse
import configparser
import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from nivalis.errors import NivalisError
from nivalis.install.environment import Source, is_whole, make_environment, name_environment
from nivalis.install.errors import InstallError
from nivalis.install.footprint import Addition, Footprint, missing_folders, remove_tree, replace_symlink
from nivalis.install.places import COMPLETIONS, Places
from nivalis.install.profile import profile_text
from nivalis.install.users import make_users, missing_users, remove_users
from nivalis.settings.settings import read_settings
from nivalis.store.layout import StoreLayout

__all__ = ["find_installation", "install", "main", "remove", "run_remove"]

_TRY_SANDBOX = "from nivalis.build.sandbox import check_available; check_available()"


def install(places: Places, wheel: Path, source: Source, *, store: str | None = None, build_users: int = 0) -> str:
    """Install or upgrade; in a word, what was done.  Raises NivalisError, OSError."""
    known = Footprint.read(places.manifest)
    wanted = _plan(places, wheel, known, store)
    wanted.users = missing_users(build_users)
    wanted.check_free(places.lib)
    wanted.look()
    layout = StoreLayout.parse(wanted.store)
    wanted.makes_store = not layout.real_store_dir.exists()
    wanted.folders += missing_folders([places.lib, places.cache, layout.real_store_dir, layout.state_dir, layout.log_dir])
    places.lib.mkdir(parents=True, exist_ok=True)
    with _locked(places.lib):
        whole = wanted.joined(known or Footprint())
        whole.write(places.manifest)
        version = places.versions / name_environment(wheel)
        before = places.find_current()
        is_new = not is_whole(version)
        try:
            if is_new:
                make_environment(version, wheel, source, profile_text(places))
            make_users(wanted.users)
            _run_new(version, ["bin/nix-store", "--store", whole.store, "--init"])
        except BaseException:
            if known is None:
                _remove_all(places, whole, deletes_store=whole.makes_store)
            elif is_new:
                remove_tree(version)
            raise
        replace_symlink(places.current, f"versions/{version.name}")
        whole.apply()
        whole.remove_all_but(wanted, places.lib)
        whole.write(places.manifest)
        for folder in places.versions.iterdir():
            # What runs now may still load parts of the version before.
            if folder not in (version, before):
                remove_tree(folder)
    return "installed" if known is None else "upgraded" if is_new else "up to date already"


def _plan(places: Places, wheel: Path, known: Footprint | None, asked: str | None) -> Footprint:
    """What is wanted outside, of which nothing has been looked at yet.  Raises InstallError, NivalisError."""
    plan = Footprint(is_system=places.is_system)
    for name in _commands(wheel):
        plan.links[str(places.bin / name)] = str(places.current / "bin" / name)
    for shell in COMPLETIONS:
        plan.links[str(places.completion(shell))] = str(places.current / "completions" / shell)
    profile = places.current / "profile.sh"
    if places.is_system:
        plan.links["/etc/profile.d/nivalis.sh"] = str(profile)
    for script in places.login_scripts:
        plan.additions[str(script)] = Addition(f'[ ! -r "{profile}" ] || . "{profile}"\n')
    if asked is not None and asked != "local":
        asked = os.path.abspath(asked)
    settings = read_settings(os.environ)
    if known is not None:
        plan.store = known.store
        # Perhaps in another file: XDG_CONFIG_HOME may have changed.
        is_ours = any(addition.text.startswith("store = ") for addition in known.additions.values())
    elif settings.is_set("store") and settings.text("store") != "auto":
        plan.store = settings.text("store")
        is_ours = False
    else:
        plan.store = asked or places.default_store
        is_ours = plan.store != "local"
    if asked is not None and StoreLayout.parse(asked) != StoreLayout.parse(plan.store):
        where = ", ".join(settings.places("store")) or None
        raise InstallError(f"another store is set already: `{plan.store}`", where=where, hint="remove that setting, or install without `--store`")
    if is_ours:
        plan.additions[str(places.configuration)] = Addition(f"store = {plan.store}\n")
    return plan


def _commands(wheel: Path) -> list[str]:
    """The programs that a wheel has.  Raises InstallError."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
            table = configparser.ConfigParser(delimiters="=")
            table.read_string(archive.read(name).decode())
    except (OSError, StopIteration, zipfile.BadZipFile) as error:
        raise InstallError(f"not a wheel of nivalis: `{wheel}`", hint="`./dev wheel` makes one in dist/") from error
    return list(table["console_scripts"])


def remove(places: Places, footprint: Footprint, *, deletes_store: bool) -> None:
    """Take away what was installed, with the store or without it.  Raises InstallError, NivalisError, OSError."""
    if not os.access(places.lib, os.W_OK):
        raise InstallError(f"no permission to remove `{places.lib}`", hint="run this as root")
    with _locked(places.lib):
        _remove_all(places, footprint, deletes_store=deletes_store)


def _remove_all(places: Places, footprint: Footprint, *, deletes_store: bool) -> None:
    footprint.remove_all_but(Footprint(), places.lib)
    if deletes_store:
        # One that an earlier removal has left is not known to have been made by us.
        footprint.folders += _delete_store(places, StoreLayout.parse(footprint.store))
    remove_users(footprint.users)
    remove_tree(places.cache)
    # The manifest goes last: as long as anything is there it is known what.
    for entry in (places.current, places.versions, places.manifest):
        remove_tree(entry)
    places.lib.rmdir()
    footprint.remove_folders()


def _delete_store(places: Places, layout: StoreLayout) -> list[str]:
    """Delete the store, and the links to it at home; the folders that have no use then."""
    state = str(layout.state_dir)
    for link in (".nix-profile", ".nix-defexpr/channels", ".nix-defexpr/channels_root"):
        place = places.home / link
        if place.is_symlink() and os.readlink(place).startswith(f"{state}/"):
            place.unlink()
    with suppress(OSError):
        (places.home / ".nix-defexpr").rmdir()
    for folder in (layout.real_store_dir, layout.log_dir, layout.state_dir):
        remove_tree(folder)
    return _folders_of_store(places, layout)


def _folders_of_store(places: Places, layout: StoreLayout) -> list[str]:
    """The folders above a store that are there for it; where it is a user's usual one, all below the home."""
    top = layout.real_store_dir.parent.parent
    if top == Path(places.default_store) and top.is_relative_to(places.home):
        top = places.home
    parents = {parent for folder in (layout.real_store_dir, layout.log_dir, layout.state_dir) for parent in folder.parents}
    return [str(parent) for parent in parents if parent != top and parent.is_relative_to(top)]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two installers at once would remove each other's work.  Raises InstallError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InstallError(f"another installer is at work in `{folder}`", hint="wait for it to end") from error
        yield
    finally:
        os.close(descriptor)


def _run_new(version: Path, words: list[str]) -> None:
    done = subprocess.run([version / words[0], *words[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"a step failed ({done.returncode}): {done.stderr.strip()}", where=" ".join([str(version / words[0]), *words[1:]]))


# ---- the command line ----


def find_installation(prefix: Path, environment: dict[str, str]) -> tuple[Places, Footprint]:
    """What is installed below a prefix.  Raises InstallError."""
    manifest = Places.find(str(prefix), environment, is_system=False).manifest
    footprint = Footprint.read(manifest)
    if footprint is None:
        raise InstallError(f"nivalis is not installed below `{prefix}`: there is no `{manifest}`", hint="`--prefix FOLDER` names another place")
    return Places.find(str(prefix), environment, is_system=footprint.is_system), footprint


def run_remove(prefix: Path, deletes_store: bool | None) -> None:
    """Remove what is installed below a prefix, and say so; `deletes_store` of None is asked about.  Raises InstallError, OSError."""
    places, footprint = find_installation(prefix, dict(os.environ))
    place = StoreLayout.parse(footprint.store).real_store_dir
    if deletes_store is None and place.exists() and sys.stdin.isatty():
        deletes_store = input(f"Delete the store `{place}` too, with all profiles in it? [y/N] ").strip().lower() in ("y", "yes")
    remove(places, footprint, deletes_store=bool(deletes_store))
    kept = f"; the store is still there: {place}" if place.exists() else ""
    print(f"nivalis is removed{kept}", file=sys.stderr)


def _run_install(options: argparse.Namespace) -> None:
    is_system = os.geteuid() == 0 if options.system is None else options.system
    if is_system:
        os.umask(0o022)
    places = Places.find(options.prefix, os.environ, is_system=is_system)
    source = Source(options.index_url, None if options.find_links is None else Path(options.find_links).absolute())
    print(f"nivalis: installing {Path(options.wheel).name} in {places.lib}", file=sys.stderr)
    done = install(places, Path(options.wheel).absolute(), source, store=options.store, build_users=options.build_users)
    print(f"nivalis: {done}; commands are in {places.bin}", file=sys.stderr)
    if shutil.which("nivalis") != str(places.bin / "nivalis"):
        print(f"  they are on the PATH from the next login on; in this shell: . {places.current}/profile.sh", file=sys.stderr)
    try:
        _run_new(places.current, ["bin/python", "-c", _TRY_SANDBOX])
    except InstallError as error:
        print(f"warning: builds will not work here yet: {error.message.splitlines()[-1]}", file=sys.stderr)


def main(words: list[str]) -> NoReturn:
    """`install …` or `remove …`, with the options that install.sh describes."""
    # install.sh has the help.
    parser = argparse.ArgumentParser("install.sh", add_help=False, allow_abbrev=False)
    parser.add_argument("action", choices=["install", "remove"])
    parser.add_argument("--wheel", required=True)
    parser.add_argument("--user", dest="system", action="store_false", default=None)
    parser.add_argument("--system", dest="system", action="store_true")
    parser.add_argument("--prefix")
    parser.add_argument("--store")
    parser.add_argument("--index-url")
    parser.add_argument("--find-links")
    parser.add_argument("--build-users", type=int, default=0)
    parser.add_argument("--delete-store", dest="deletes_store", action="store_true", default=None)
    parser.add_argument("--keep-store", dest="deletes_store", action="store_false")
    options = parser.parse_args(words)
    try:
        if options.action == "install":
            _run_install(options)
        else:
            is_system = os.geteuid() == 0 if options.system is None else options.system
            run_remove(Places.find(options.prefix, os.environ, is_system=is_system).prefix, options.deletes_store)
    except KeyboardInterrupt:
        sys.exit(130)
    except (NivalisError, OSError) as error:
        sys.exit(str(error) if isinstance(error, NivalisError) else f"error[os-error]: {error}")
    sys.exit(0)
