"""The sandbox: what a builder sees of the machine, as an argument list for bubblewrap.

It sees its input closure at the logical store directory, read-only, beside the private folder in which its outputs appear; its build
folder; a /tmp, /dev and /proc of its own; and what `sandbox-paths` adds.  It is user 1000 of group 100 on a machine named
`localhost`, alone with its own processes, which all end with the first of them, and, unless its output is fixed by a hash, with no
network but the loopback.  A derivation may bring a tree as /usr (`usrFarm`), for tools that look there.  Where the store really lies
does not show: a store under another root is seen at the logical place.

Nothing here runs a build; `check_available` tries once whether the machine allows all this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nivalis.build.errors import SandboxError

__all__ = ["Sandbox", "check_available", "make_etc", "show_proc"]

UID, GID = 1000, 100
_PROGRAM = "bwrap"
# Each is three of the 9,000 arguments that bubblewrap takes.
_MOST_VARIABLES = 1000
# Of /proc, what root may write without a capability: the machine's settings.  Bubblewrap itself covers some of it, where it finds that it may.
_SETTINGS = ("/proc/sys", "/proc/sysrq-trigger")
_DEVICES = ("/proc/acpi", "/proc/asound", "/proc/bus", "/proc/driver", "/proc/dynamic_debug", "/proc/fs", "/proc/irq", "/proc/scsi")
_MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_HINT = (
    "`--option sandbox false` builds without, unless the store is under another root: then a builder sees the whole machine and the "
    "network, can read what the user can read, and what it makes may depend on all that"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """The view of one build.

    `inputs` are store paths and where they really are, but for those that are mounted later in `private_store`, which becomes the store
    directory; `etc` are the files in /etc, by their names; `tmp` is a folder for the place of that name; `extra` are (place
    there, place here); `support` are places of this machine that are seen as they are.  `farm` is the store path of a tree whose folder `usr`
    is seen as /usr, with the links beside it and what it has in /etc, and where it really is.

    The network is that in which bubblewrap is started.  /dev is for who starts it to make; `adds_devices` tells whether something is mounted there.
    """

    store_dir: str
    private_store: str
    inputs: Mapping[str, str]
    build_dir: str
    build_dir_inside: str
    etc: Mapping[str, bytes]
    tmp: str
    mark: str
    extra: Sequence[tuple[str, str]] = ()
    support: Sequence[str] = ()
    farm: tuple[str, str] | None = None
    kvm: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def arguments(self, etc: Mapping[str, int]) -> list[str]:
        """The arguments for bubblewrap, without the command to run; `etc` are descriptors of the files of that name."""
        # The builder is the first process of its namespace, as CppNix's is.
        words = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--as-pid-1", "--unshare-uts", "--unshare-cgroup-try"]
        words += ["--die-with-parent", "--new-session"]
        words += ["--uid", str(UID), "--gid", str(GID), "--hostname", "localhost"]
        words += show_proc()
        if self.kvm:
            words += ["--dev-bind-try", "/dev/kvm", "/dev/kvm"]
        words += ["--bind", self.tmp, "/tmp"]
        links = self._farm_links()
        for folder in ("/bin", "/etc", os.path.dirname(self.store_dir)):
            if folder not in self.support and folder not in links:
                words += ["--perms", "0755", "--dir", folder]
        for name, descriptor in etc.items():
            words += ["--perms", "0644", "--file", str(descriptor), f"/etc/{name}"]
        if self.farm is not None:
            words += ["--ro-bind", f"{self.farm[1]}/usr", "/usr"]
        for place, target in links.items():
            words += ["--symlink", target, place]
        for place in self.support:
            if not self._is_in_store(place):
                words += _show(place, place)
        for inside, outside in self.extra:
            if not self._is_in_store(inside) and not self._is_in_farm(inside, links):
                words += ["--ro-bind", outside, inside]
        words += ["--bind", self.build_dir, self.build_dir_inside, "--chdir", self.build_dir_inside]
        inherited = self.inherited()
        if not inherited:
            words.append("--clearenv")
        for name, text in self.environment.items():
            if name not in inherited:
                words += ["--setenv", name, text]
        # The store is last: bubblewrap reads the whole table of mounts for each that it makes.
        words += ["--perms", "0755", "--dir", self.store_dir, "--remount-ro", "/", "--bind", self.private_store, self.store_dir]
        # A link, since it is removed at once: a folder is opened again after it was made, by bubblewrap 0.12.
        words += ["--symlink", ".", f"{self.store_dir}/{self.mark}"]
        for path, place in sorted(self.inputs.items()):
            words += _show(place, path)
        for place in filter(self._is_in_store, self.support):
            words += _show(place, place)
        for inside, outside in self.extra:
            if self._is_in_store(inside):
                words += ["--ro-bind", outside, inside]
        return words

    def inherited(self) -> dict[str, str]:
        """The variables that bubblewrap is to be started with, which then are the builder's: most of them, if there are too many for arguments.

        Never one that bubblewrap or its libraries could obey, before the sandbox stands: those (LD_PRELOAD) are all in capitals.
        """
        if len(self.environment) <= _MOST_VARIABLES:
            return {}
        return {name: text for name, text in self.environment.items() if name != name.upper()}

    @property
    def adds_devices(self) -> bool:
        """Whether something is mounted below /dev."""
        places = [*self.support, *(inside for inside, _ in self.extra)]
        return self.kvm or any(f"{os.path.normpath(place).lstrip('/')}/".startswith("dev/") for place in places)

    def _farm_links(self) -> dict[str, str]:
        """The links beside /usr, and what the farm has in /etc and the sandbox has not itself."""
        if self.farm is None:
            return {}
        path, place = self.farm
        links = {f"/{name}": os.readlink(f"{place}/{name}") for name in _MERGED if os.path.islink(f"{place}/{name}")}
        if os.path.isdir(f"{place}/etc") and not os.path.islink(f"{place}/etc"):
            links |= {f"/etc/{name}": f"{path}/etc/{name}" for name in sorted(os.listdir(f"{place}/etc")) if name not in self.etc}
        return links

    def _is_in_farm(self, place: str, links: Mapping[str, str]) -> bool:
        parents = {"/".join(place.split("/")[: depth + 2]) for depth in range(place.count("/"))}
        return self.farm is not None and ("/usr" in parents or not parents.isdisjoint(links))

    def _is_in_store(self, place: str) -> bool:
        return place.startswith(f"{self.store_dir}/")


def show_proc() -> list[str]:
    """The arguments for a /proc of its own, by which not even a builder that is root outside changes the machine."""
    words = ["--proc", "/proc"]
    if os.geteuid() == 0:
        for place in filter(os.path.exists, _SETTINGS):
            words += ["--ro-bind", place, place]
        # Of which no build needs to know, and an empty file system is made faster than another's is seen.
        for place in filter(os.path.isdir, _DEVICES):
            words += ["--tmpfs", place]
    return words


def _show(place: str, inside: str) -> list[str]:
    # A bind mount would follow a symlink.
    return ["--symlink", os.readlink(place), inside] if os.path.islink(place) else ["--ro-bind", place, inside]


def make_etc(build_dir: str, *, network: bool) -> dict[str, bytes]:
    """The files that a builder finds in /etc.  With the network come those by which names are resolved and servers trusted."""
    user = f"nixbld:x:{UID}:{GID}:Nix build user:{build_dir}:/noshell\n"
    files = {
        "passwd": f"root:x:0:0:Nix build user:{build_dir}:/noshell\n{user}nobody:x:65534:65534:Nobody:/:/noshell\n".encode(),
        "group": f"root:x:0:\nnixbld:!:{GID}:\nnogroup:x:65534:\n".encode(),
        "hosts": b"127.0.0.1 localhost\n::1 localhost\n",
    }
    if network:
        files["nsswitch.conf"] = b"hosts: files dns\nservices: files\n"
        for place in ("/etc/hosts", "/etc/resolv.conf", "/etc/services"):
            if os.path.isfile(place):
                files[os.path.basename(place)] = Path(place).read_bytes()
    return files


def find_program() -> str:
    """Where bubblewrap is.  Raises SandboxError."""
    program = shutil.which(_PROGRAM, path=os.environ.get("PATH", os.defpath) + ":/usr/bin:/bin")
    if program is None:
        raise SandboxError("builds need the program `bwrap`, which is not installed", hint=f"install the package bubblewrap; {_HINT}")
    return program


def check_available() -> str:
    """Try the namespaces; where bubblewrap is.  Raises SandboxError."""
    program = find_program()
    argv = [program, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc"]
    done = subprocess.run([*argv, "--dev", "/dev", "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SandboxError(f"this machine allows no sandbox: {done.stderr.strip() or 'bwrap failed'}", where=" ".join([*argv, "true"]), hint=_HINT)
    return program


def existing(paths: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Check `sandbox-paths`.  Raises SandboxError for one that is not there."""
    for _, outside in paths:
        try:
            os.stat(outside)
        except OSError as error:
            raise SandboxError(f"a path of `sandbox-paths` cannot be read: `{outside}`", hint="change the setting `sandbox-paths`") from error
    return list(paths)
