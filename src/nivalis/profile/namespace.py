"""A view of the machine in which a store under another root stands where its paths say.

Programs in a store know one another by paths below `/nix/store`; where the files really lie elsewhere they find nothing.  So a shell
over such a store gets a mount namespace of its own, in which all of the machine is seen as it is, but for `/nix`, in which there is
this store and nothing else.  An ordinary user gets it by a user namespace in which they stay who they are.

It is made by a process that then becomes the shell, by `exec`: the shell keeps the process's number, its terminal, its process group
and its parent, and Ctrl-C and exit status go where they would without all this.  That is why bubblewrap does not do it: it stays as
the shell's parent, and a Ctrl-C that was meant for a program in the shell ends it.

The process is a fresh Python that imports nothing of the user's: a user namespace can be entered by a process of one thread only, and
the shell's variables must not be this process's.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

import nivalis
from nivalis.build import mounts
from nivalis.errors import NivalisError
from nivalis.profile.errors import NamespaceError
from nivalis.profile.shell import become, remove_folder
from nivalis.store.layout import DEFAULT_STORE_DIR, StoreLayout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

__all__ = ["enter", "find_places", "main"]

_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from nivalis.profile.namespace import main; main(int(sys.argv[2]))"
# Where the machine's own root is while the new one is made.  Whatever is mounted there is gone with it.
_OLD = "/.nivalis-old-root"
# linux/mount.h
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 1, 2, 4, 1 << 5, 1 << 12, 1 << 14, 1 << 19
_MNT_DETACH = 2


def find_places(layout: StoreLayout) -> dict[str, str]:
    """What has to be seen elsewhere than it lies (place there: place), the store first; nothing for a store that lies where its paths say."""
    if not layout.is_moved:
        return {}
    places: dict[str, str | os.PathLike[str]] = {layout.store_dir: layout.real_store_dir}
    if layout.store_dir == DEFAULT_STORE_DIR:
        # Commands in the shell that are not told of another store find this one, whole.
        system = StoreLayout.system()
        places |= {str(system.state_dir): layout.state_dir, str(system.log_dir): layout.log_dir}
    return {inside: os.path.realpath(place) for inside, place in places.items() if os.path.isdir(place)}


def enter(places: Mapping[str, str], program: str, words: Sequence[str], variables: Mapping[str, str], *, scratch: str) -> NoReturn:
    """Become `program` where `places` are seen; `words` begin with the name that it is called by.

    What goes wrong on the way is said on stderr, and ends the process with status 1; then the folder `scratch` is removed.
    """
    order = json.dumps([dict(places), program, list(words), dict(variables), scratch]).encode()
    descriptor = os.memfd_create("nivalis-shell")
    os.set_inheritable(descriptor, True)
    os.write(descriptor, order)
    os.lseek(descriptor, 0, os.SEEK_SET)
    package = os.path.dirname(os.path.dirname(os.path.abspath(nivalis.__file__)))
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, package, str(descriptor)])


def main(descriptor: int) -> NoReturn:
    """The process: reads its order from the file `descriptor`, makes the view, and becomes the command."""
    with open(descriptor, "rb") as file:
        places, program, words, variables, scratch = json.load(file)
    folder = os.getcwd()
    try:
        try:
            mounts.enter_namespace()
            _make_view(places)
        except OSError as error:
            store_dir = next(iter(places))
            raise NamespaceError(
                f"this machine does not let the store be seen at `{store_dir}`: {error.strerror}",
                where=error.filename,
                hint=f"allow user namespaces to ordinary users, or keep the store in `{store_dir}`",
            ) from error
        os.chdir(folder if os.path.isdir(folder) else "/")
        become(program, words, variables)
    except NivalisError as error:
        remove_folder(scratch)
        sys.exit(str(error))


def _make_view(places: Mapping[str, str]) -> None:
    """Replace the root by one that has all of the machine, and `places` where they are to be seen."""
    # What is mounted here must not show outside; what the machine unmounts must not be held here.
    mounts.mount(b"none", b"/", _MS_SLAVE | _MS_REC)
    # A new root rather than a mount on `/nix`: there may be none, and an ordinary user cannot make it.
    mounts.mount(b"nivalis", b"/tmp", _MS_NOSUID | _MS_NODEV, kind=b"tmpfs")
    os.mkdir(f"/tmp{_OLD}")
    _pivot_root("/tmp", f"/tmp{_OLD}")
    os.chdir("/")
    os.chmod("/", 0o755)
    # `/nix` holds a store and nothing else; of `/home/me/store` the same cannot be said, so there the folder has to exist.
    replaced = {inside.split("/")[1] for inside in places if inside.count("/") == 2}
    for name in sorted(os.listdir(_OLD)):
        if name not in replaced:
            _show(f"{_OLD}/{name}", f"/{name}")
    for inside, place in places.items():
        if inside.split("/")[1] in replaced:
            os.makedirs(inside, 0o755, exist_ok=True)
        _bind(_OLD + place, inside)
    _unmount(_OLD)
    os.rmdir(_OLD)
    # Whoever writes there hears that it does not last.
    mounts.mount(b"none", b"/", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _show(place: str, inside: str) -> None:
    if os.path.islink(place):
        # A bind mount would follow it.
        os.symlink(os.readlink(place), inside)
        return
    if os.path.isdir(place):
        os.mkdir(inside)
    else:
        os.close(os.open(inside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    _bind(place, inside)


def _bind(place: str, inside: str) -> None:
    mounts.mount(os.fsencode(place), os.fsencode(inside), _MS_BIND | _MS_REC)


def _pivot_root(new: str, old: str) -> None:
    if mounts.libc.pivot_root(os.fsencode(new), os.fsencode(old)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new)


def _unmount(place: str) -> None:
    if mounts.libc.umount2(os.fsencode(place), _MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), place)
