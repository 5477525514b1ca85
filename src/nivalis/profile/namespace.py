"""A view of the machine in which a store under another root stands where its paths say, and a farm is /usr.

Programs in a store know one another by paths below `/nix/store`; where the files really lie elsewhere they find nothing.  Programs of
Debian look for their parts in `/usr`, where the machine has others.  So a shell gets a mount namespace of its own, in which all of the
machine is seen as it is, but for `/nix`, in which there is this store and nothing else, and for `/usr` and what belongs to it, which are
the farm's.  An ordinary user gets it by a user namespace in which they stay who they are.

With a farm, /etc has what the farm has there, and all else of the machine's; what says who and where the machine is, is always the
machine's.  The machine's own /etc is seen at `/.etc`, and its descriptions of terminals at /etc/terminfo.  A locale that the farm has not
becomes C.UTF-8: as C, which it would be else, programs would take no character for what it is.

It is made by a process that then becomes the shell, by `exec`: the shell keeps the process's number, its terminal, its process group
and its parent, and Ctrl-C and exit status go where they would without all this.  That is why bubblewrap does not do it: it stays as
the shell's parent, and a Ctrl-C that was meant for a program in the shell ends it.

A user namespace can be entered by a process of one thread only.  So this process makes the view if it has no other, and else a fresh
Python that imports nothing of the user's.  Afterwards Python's own files may be out of sight, so nothing is imported then.

What launchers do in a profile is the same, in C, since they must not take longer than the program (`channel/pkgs/launcher/`).
"""

from __future__ import annotations

import ctypes
import importlib
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
    from collections.abc import Collection, Mapping, Sequence
    from typing import NoReturn

__all__ = ["View", "enter", "find_places", "main"]

_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from nivalis.profile.namespace import main; main(int(sys.argv[2]))"
# Where the machine's own root is while the new one is made.  Whatever is mounted there is gone with it.
_OLD = "/.nivalis-old-root"
# At the top, so that relative links in it lead where they should.
_ETC = "/.etc"
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Of /etc, what is the machine's also where the farm has it: who there is, how the network is reached, whom one trusts.
_MACHINES_OWN = {
    *("passwd", "group", "shadow", "gshadow", "subuid", "subgid", "machine-id", "hostname", "fstab", "mtab", "timezone"),
    *("hosts", "host.conf", "resolv.conf", "nsswitch.conf", "gai.conf", "networks", "krb5.conf", "localtime"),
}
# What is about the machine's own /usr.
_OF_USR = {"alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload"}
_LOCALES = "/usr/lib/locale"
_BUNDLE = "ssl/certs/ca-certificates.crt"
# Links that may lead to what is not seen any more.
_FOLLOWED = ("/etc/localtime", "/etc/resolv.conf")
# What a bare view shows of the machine.
_BARE = ("dev", "nix", "proc", "sys", "tmp")
# By `become`.
_NEEDED_LATER = ("errno", "signal")
# linux/mount.h
_MS_NOSUID, _MS_NODEV, _MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 2, 4, 1, 1 << 5, 1 << 12, 1 << 14, 1 << 19
_MNT_DETACH = 2
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1


class View:
    """What is to be seen: `places` (place there: place), the store first; `farm`, the store path of one, or nothing.

    A bare view shows of the machine only devices, processes, the store and /tmp, the folders in `shown`, and an empty `home`.
    """

    __slots__ = ("farm", "home", "is_bare", "places", "shown")

    def __init__(self, places: Mapping[str, str], farm: str = "") -> None:
        self.places = dict(places)
        self.farm = farm
        self.is_bare = False
        self.home = ""
        self.shown: list[str] = []

    @property
    def is_here(self) -> bool:
        """Whether this process sees all this already; a shell within a shell does."""
        if self.is_bare or any(not (os.path.exists(inside) and os.path.samefile(inside, place)) for inside, place in self.places.items()):
            return False
        return not self.farm or (os.path.exists(f"{self.farm}/usr") and os.path.exists("/usr") and os.path.samefile(f"{self.farm}/usr", "/usr"))

    @property
    def farm_place(self) -> str:
        """Where the farm really is."""
        for inside, place in self.places.items():
            return self.farm.replace(inside, place, 1)
        return self.farm


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


def enter(view: View, program: str, words: Sequence[str], variables: Mapping[str, str], *, scratch: str = "") -> NoReturn:
    """Become `program` in a view; `words` begin with the name that it is called by.  Raises NamespaceError, ShellError.

    What goes wrong once there is a view, or in a process of its own, is said on stderr, and ends the process with status 1; then the folder
    `scratch` is removed.
    """
    if len(os.listdir("/proc/self/task")) == 1:
        _enter(view, program, words, variables, scratch)
    import json

    fields = {name: getattr(view, name) for name in View.__slots__}
    order = json.dumps([fields, program, list(words), dict(variables), scratch]).encode()
    descriptor = os.memfd_create("nivalis-shell")
    os.set_inheritable(descriptor, True)
    os.write(descriptor, order)
    os.lseek(descriptor, 0, os.SEEK_SET)
    package = os.path.dirname(os.path.dirname(os.path.abspath(nivalis.__file__)))
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, package, str(descriptor)])


def main(descriptor: int) -> NoReturn:
    """The process of its own: reads its order from the file `descriptor`, makes the view, and becomes the command."""
    import json

    with open(descriptor, "rb") as file:
        fields, program, words, variables, scratch = json.load(file)
    view = View(fields["places"])
    for name, value in fields.items():
        setattr(view, name, value)
    try:
        _enter(view, program, words, variables, scratch)
    except NivalisError as error:
        if scratch:
            remove_folder(scratch)
        sys.exit(str(error))


def _enter(view: View, program: str, words: Sequence[str], variables: Mapping[str, str], scratch: str) -> NoReturn:
    for name in _NEEDED_LATER:
        importlib.import_module(name)
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        folder = "/"
    try:
        mounts.enter_namespace()
    except OSError as error:
        raise _not_allowed(view, error) from error
    try:
        try:
            _make_view(view)
        except OSError as error:
            raise _not_allowed(view, error) from error
        os.chdir(folder if os.path.isdir(folder) else "/")
        become(program, list(words), _with_known_locales(variables) if view.farm else variables)
    except NivalisError as error:
        # Whoever could report it may find nothing of what they need.
        os.write(2, f"{error}\n".encode("utf-8", "surrogateescape"))
        if scratch and os.path.isdir(scratch):
            remove_folder(scratch)
        os._exit(1)


def _not_allowed(view: View, error: OSError) -> NamespaceError:
    if view.places:
        store_dir = next(iter(view.places))
        what, hint = f"the store be seen at `{store_dir}`", f"or keep the store in `{store_dir}`"
    else:
        what, hint = "a shell have a /usr of its own", "or start it as root"
    return NamespaceError(
        f"this machine does not let {what}: {error.strerror}", where=error.filename, hint=f"allow user namespaces to ordinary users, {hint}"
    )


def _with_known_locales(variables: Mapping[str, str]) -> dict[str, str]:
    found = dict(variables)
    for name, text in variables.items():
        language, _, rest = text.partition(".")
        codeset, at, modifier = rest.partition("@")
        is_locale = name == "LANG" or name.startswith("LC_")
        if is_locale and codeset.lower().replace("-", "") == "utf8" and not os.path.isdir(f"{_LOCALES}/{language}.utf8{at}{modifier}"):
            found[name] = "C.UTF-8"
    return found


def _make_view(view: View) -> None:
    """Replace the root by one that has all of the machine, and what the view has instead."""
    # Where these links lead may be out of sight then.
    followed = {place: os.path.realpath(place) for place in _FOLLOWED}
    # What is mounted here must not show outside; what the machine unmounts must not be held here.
    mounts.mount(b"none", b"/", _MS_SLAVE | _MS_REC)
    # A new root rather than mounts on `/nix` and `/usr`: there may be none, and an ordinary user cannot make them.
    mounts.mount(b"nivalis", b"/tmp", _MS_NOSUID | _MS_NODEV, kind=b"tmpfs")
    os.mkdir(f"/tmp{_OLD}")
    _pivot_root("/tmp", f"/tmp{_OLD}")
    os.chdir("/")
    os.chmod("/", 0o755)
    # `/nix` holds a store and nothing else; of `/home/me/store` the same cannot be said, so there the folder has to exist.
    replaced = {inside.split("/")[1] for inside in view.places if inside.count("/") == 2}
    left_out = {*replaced, *(("usr", "etc", _ETC[1:], *_MERGED) if view.farm else ())}
    names = _BARE if view.is_bare else os.listdir(_OLD)
    for name in sorted(set(names) - left_out):
        _show(f"{_OLD}/{name}", f"/{name}")
    for inside, place in view.places.items():
        if inside.split("/")[1] in replaced:
            os.makedirs(inside, 0o755, exist_ok=True)
        _bind(_OLD + place, inside)
    if view.farm:
        _show_farm(view)
    if view.is_bare:
        _show_folders(view)
    for place, goal in followed.items():
        if view.farm and not os.path.exists(place) and os.path.isfile(_OLD + goal):
            if os.path.islink(place):
                os.unlink(place)
            _show(_OLD + goal, place)
    _unmount(_OLD)
    os.rmdir(_OLD)
    # Whoever writes there hears that it does not last.
    mounts.mount(b"none", b"/", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _show_folders(view: View) -> None:
    """An empty home, and the folders that are wanted, each above what is in it."""
    for place in sorted({view.home, *view.shown} - {"", "/"}, key=len):
        if place in view.shown and not os.path.isdir(_OLD + place):
            continue
        os.makedirs(place, 0o755, exist_ok=True)
        if place in view.shown:
            _bind(_OLD + place, place)
        else:
            mounts.mount(b"nivalis", os.fsencode(place), _MS_NOSUID | _MS_NODEV, kind=b"tmpfs")
            os.chmod(place, 0o700)


def _show_farm(view: View) -> None:
    place = _OLD + view.farm_place
    os.mkdir("/usr")
    _bind(f"{place}/usr", "/usr")
    _protect("/usr")
    for name in _MERGED:
        if os.path.islink(f"{place}/{name}"):
            os.symlink(os.readlink(f"{place}/{name}"), f"/{name}")
    # In a shell within a shell it is the machine's own, too.
    is_nested = os.path.isdir(_OLD + _ETC)
    os.mkdir(_ETC)
    _bind(_OLD + _ETC if is_nested else f"{_OLD}/etc", _ETC)
    # Whom one trusts: in a bare view the farm's word comes first, if it has one.
    trusted = {"ssl"} if view.is_bare and not os.path.exists(f"{place}/etc/{_BUNDLE}") else set()
    _merge("/etc", f"{view.farm}/etc", f"{place}/etc", _MACHINES_OWN | trusted, and_others=not view.is_bare)
    if not view.is_bare and os.path.isdir(f"{place}/etc/ssl") and os.path.exists(f"{_ETC}/{_BUNDLE}"):
        os.unlink("/etc/ssl")
        _merge("/etc/ssl", f"{view.farm}/etc/ssl", f"{place}/etc/ssl", {"certs"}, and_others=True)
    terminals = f"{_OLD}/etc/terminfo" if is_nested else f"{_OLD}/usr/share/terminfo"
    if os.path.isdir(terminals) and os.listdir(terminals):
        if os.path.lexists("/etc/terminfo"):
            os.unlink("/etc/terminfo")
        os.mkdir("/etc/terminfo")
        _bind(terminals, "/etc/terminfo")


def _merge(folder: str, farm: str, place: str, machines: Collection[str], *, and_others: bool) -> None:
    """Make a folder of links: to the machine's files of the names `machines`, then to the farm's, which are at `place`, then to others."""
    own = folder.replace("/etc", _ETC, 1)
    here = set(os.listdir(own))
    there = set(os.listdir(place)) if os.path.isdir(place) else set()
    os.mkdir(folder, 0o755)
    from_machine = here & set(machines)
    for name in from_machine | (here - there - _OF_USR if and_others else set()):
        os.symlink(f"{own}/{name}", f"{folder}/{name}")
    for name in there - from_machine:
        os.symlink(f"{farm}/{name}", f"{folder}/{name}")


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


def _protect(place: str) -> None:
    """Let nobody write there: root could, and would change the store."""
    flags = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY)
    if mounts.libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(place), _AT_RECURSIVE, flags, ctypes.sizeof(flags)) != 0:
        raise _os_error(place)


def _pivot_root(new: str, old: str) -> None:
    if mounts.libc.pivot_root(os.fsencode(new), os.fsencode(old)) != 0:
        raise _os_error(new)


def _unmount(place: str) -> None:
    if mounts.libc.umount2(os.fsencode(place), _MNT_DETACH) != 0:
        raise _os_error(place)


def _os_error(place: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), place)
