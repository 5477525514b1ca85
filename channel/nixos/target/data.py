"""`system.json`: all that activation and switching do, as data.

The format is written by `config.system.build.data` of the channel's modules and has a number; a file of another format is refused, since to
apply half of a system is worse than to apply none.  Names that this does not know are passed over: they may come without a new number.

Named tuples and no dataclasses: these programs start while a machine waits for them, and loading `dataclasses` takes longer than a plan.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = [
    *("FORMAT", "DataError", "DiskFullError", "System", "TargetError", "name_error"),
    *("Boot", "Capabilities", "File", "Group", "Kernel", "Mount", "Package", "Script", "Swap", "Unit", "User", "Wrapper"),
]

FORMAT = 1


class TargetError(Exception):
    """A machine cannot be changed; with a stable `code`, and a `hint` where one is known."""

    def __init__(self, message: str, *, code: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint

    def __str__(self) -> str:
        text = f"error[{self.code}]: {self.message}"
        return text if self.hint is None else f"{text}\n  hint: {self.hint}"


class DiskFullError(TargetError):
    """There is no room for what has to be written; `what` says more."""

    def __init__(self, what: str = "") -> None:
        hint = "`nix-collect-garbage -d` removes old generations and what only they needed; then switch again"
        super().__init__(f"the disk is full{what}", code="disk-full", hint=hint)


def name_error(error: OSError) -> TargetError:
    """An error of the operating system as one with a code."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError("" if error.filename is None else f": `{error.filename2 or error.filename}`")
    return TargetError(str(error), code="os-error")


class DataError(TargetError):
    """`system.json` is not what it has to be."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="system-data", hint="the system and nivalis are of different versions: build it again")


class Kernel(NamedTuple):
    """What is booted; `modules` are loaded at boot, `sysctl` are names and texts."""

    version: str
    params: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    blacklist: tuple[str, ...] = ()
    sysctl: Mapping[str, str] = {}


class Package(NamedTuple):
    version: str
    path: str


class File(NamedTuple):
    """A file below /etc: a link to `source`, or a copy of it with an octal `mode` and an owner."""

    source: str
    mode: str = "symlink"
    user: str = "root"
    group: str = "root"

    @property
    def is_copy(self) -> bool:
        return self.mode not in ("symlink", "direct-symlink")


class User(NamedTuple):
    uid: int | None
    group: str
    home: str = "/var/empty"
    shell: str = "/usr/sbin/nologin"
    description: str = ""
    is_system: bool = True
    create_home: bool = False
    home_mode: str = "0700"
    hashed_password: str | None = None
    hashed_password_file: str | None = None
    initial_hashed_password: str | None = None
    password: str | None = None
    initial_password: str | None = None


class Group(NamedTuple):
    gid: int | None
    members: tuple[str, ...] = ()


class Capabilities(NamedTuple):
    """Capabilities of a file by their numbers (linux/capability.h), and whether they are in effect from its start."""

    permitted: tuple[int, ...] = ()
    inheritable: tuple[int, ...] = ()
    is_effective: bool = False


class Wrapper(NamedTuple):
    """A program with a mode (setuid) or capabilities of its own, which no store path can have."""

    source: str
    owner: str = "root"
    group: str = "root"
    mode: str = "4755"
    capabilities: Capabilities | None = None


class Unit(NamedTuple):
    """A unit of systemd.

    `file` is None of one that is masked, and a drop-in's place where the unit itself comes from a package.  `enabled` says that something wants it;
    others are started by hand, by a socket, or by what needs them.  `identity` is another text when anything changes that a running unit would
    have to be restarted for; `reload_triggers` one for what reloading is enough for.  `on_change` is `restart`, `reload` or `ignore`.
    """

    file: str | None
    identity: str
    enabled: bool = True
    wanted_by: tuple[str, ...] = ()
    required_by: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    on_change: str = "restart"
    stop_if_changed: bool = True
    restart_if_changed: bool = True
    not_socket_activated: bool = False
    reload_triggers: str | None = None
    description: str = ""

    @property
    def is_masked(self) -> bool:
        return self.file is None


class Mount(NamedTuple):
    where: str
    what: str
    type: str
    options: tuple[str, ...] = ()
    needed_for_boot: bool = False


class Swap(NamedTuple):
    what: str
    options: tuple[str, ...] = ()


class Script(NamedTuple):
    """A user's own step of activation: an executable file."""

    name: str
    file: str


class Boot(NamedTuple):
    """The boot menu.  `default` is None for the current generation, else GRUB's own word for an entry."""

    kind: str
    device: str = "nodev"
    timeout: int | None = 5
    configuration_limit: int = 100
    default: str | None = None
    extra_entries: str = ""
    extra_config: str = ""
    serial: bool = False


class System(NamedTuple):
    """A whole system.  `paths` has `sw`, `etc` and, unless it is a container, `kernel`, `initrd` and `modules`."""

    system: str
    host_name: str
    label: str
    state_version: str
    paths: Mapping[str, str]
    kernel: Kernel | None
    packages: Mapping[str, Package]
    etc: Mapping[str, File]
    mutable_users: bool
    users: Mapping[str, User]
    groups: Mapping[str, Group]
    wrappers: Mapping[str, Wrapper]
    units: Mapping[str, Unit]
    tmpfiles: tuple[str, ...]
    mounts: tuple[Mount, ...]
    swaps: tuple[Swap, ...]
    scripts: tuple[Script, ...]
    boot: Boot | None
    containers: Mapping[str, str]

    @classmethod
    def parse(cls, text: str | bytes) -> System:
        """Read the file's text.  Raises DataError."""
        try:
            return cls.from_json(json.loads(text))
        except ValueError as error:
            raise DataError(f"no JSON: {error}") from None

    @classmethod
    def read(cls, toplevel: str) -> System:
        """Read the data of a toplevel's folder.  Raises DataError, OSError."""
        try:
            with open(f"{toplevel}/system.json", "rb") as file:
                return cls.parse(file.read())
        except DataError as error:
            error.message = f"{error.message}: `{toplevel}/system.json`"
            raise

    @classmethod
    def from_json(cls, value: object) -> System:
        """Read what JSON's parser gives.  Raises DataError."""
        top = _Reader(value, "")
        if (found := top.integer("format")) != FORMAT:
            raise DataError(f"the data of the system have format {found}, and this knows {FORMAT}")
        users = top.inside("users")
        return cls(
            system=top.text("system"),
            host_name=top.text("hostName", ""),
            label=top.text("label", ""),
            state_version=top.text("stateVersion", ""),
            paths=top.texts("paths"),
            kernel=_read_kernel(top.inside("kernel")) if top.has("kernel") else None,
            packages={name: Package(one.text("version", ""), one.text("path")) for name, one in top.each("packages")},
            etc={name: _read_file(one) for name, one in top.each("etc")},
            mutable_users=users.boolean("mutable", True),
            users={name: _read_user(one) for name, one in users.each("users")},
            groups={name: Group(one.optional_integer("gid"), one.words("members")) for name, one in users.each("groups")},
            wrappers={name: _read_wrapper(one) for name, one in top.each("wrappers")},
            units={name: _read_unit(one) for name, one in top.each("units")},
            tmpfiles=top.words("tmpfiles"),
            mounts=tuple(_read_mount(one) for one in top.items("mounts")),
            swaps=tuple(Swap(one.text("what"), one.words("options")) for one in top.items("swaps")),
            scripts=tuple(Script(one.text("name"), one.text("file")) for one in top.items("activationScripts")),
            boot=_read_boot(top.inside("boot")) if top.has("boot") else None,
            containers={name: one.text("system") for name, one in top.each("containers")},
        )


def _read_kernel(one: _Reader) -> Kernel:
    return Kernel(one.text("version", ""), one.words("params"), one.words("modules"), one.words("blacklist"), one.texts("sysctl"))


def _read_file(one: _Reader) -> File:
    return File(one.text("source"), one.text("mode", "symlink"), one.text("user", "root"), one.text("group", "root"))


def _read_user(one: _Reader) -> User:
    return User(
        uid=one.optional_integer("uid"),
        group=one.text("group"),
        home=one.text("home", "/var/empty"),
        shell=one.text("shell", "/usr/sbin/nologin"),
        description=one.text("description", ""),
        is_system=one.boolean("isSystem", True),
        create_home=one.boolean("createHome", False),
        home_mode=one.text("homeMode", "0700"),
        hashed_password=one.optional("hashedPassword"),
        hashed_password_file=one.optional("hashedPasswordFile"),
        initial_hashed_password=one.optional("initialHashedPassword"),
        password=one.optional("password"),
        initial_password=one.optional("initialPassword"),
    )


def _read_wrapper(one: _Reader) -> Wrapper:
    capabilities = _read_capabilities(one.inside("capabilities")) if one.has("capabilities") else None
    return Wrapper(one.text("source"), one.text("owner", "root"), one.text("group", "root"), one.text("mode", "4755"), capabilities)


def _read_capabilities(one: _Reader) -> Capabilities:
    return Capabilities(one.integers("permitted"), one.integers("inheritable"), one.boolean("effective", False))


def _read_unit(one: _Reader) -> Unit:
    return Unit(
        file=one.optional("file"),
        identity=one.text("identity", ""),
        enabled=one.boolean("enabled", True),
        wanted_by=one.words("wantedBy"),
        required_by=one.words("requiredBy"),
        aliases=one.words("aliases"),
        on_change=one.text("onChange", "restart"),
        stop_if_changed=one.boolean("stopIfChanged", True),
        restart_if_changed=one.boolean("restartIfChanged", True),
        not_socket_activated=one.boolean("notSocketActivated", False),
        reload_triggers=one.optional("reloadTriggers"),
        description=one.text("description", ""),
    )


def _read_mount(one: _Reader) -> Mount:
    return Mount(one.text("where"), one.text("what"), one.text("type", "auto"), one.words("options"), one.boolean("neededForBoot", False))


def _read_boot(one: _Reader) -> Boot | None:
    if not one.has("loader"):
        return None
    loader = one.inside("loader")
    return Boot(
        kind=loader.text("kind"),
        device=loader.text("device", "nodev"),
        timeout=loader.optional_integer("timeout"),
        configuration_limit=loader.integer("configurationLimit", 100),
        default=None if loader.optional("default") in (None, "", "0") else loader.text("default"),
        extra_entries=loader.text("extraEntries", ""),
        extra_config=loader.text("extraConfig", ""),
        serial=loader.boolean("serial", False),
    )


_MISSING: Any = object()


class _Reader:
    """Takes values of a type out of an object; `place` is the way to it, for errors.  What is null is as good as absent."""

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise DataError(f"`{place or 'the file'}` is no object")
        self._value: dict[str, Any] = value
        self._place = place

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def text(self, name: str, default: str = _MISSING) -> str:
        found = self._get(name, default)
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        return str(self._check(name, found, str))

    def integer(self, name: str, default: int = _MISSING) -> int:
        return int(self._check(name, self._get(name, default), int))

    def boolean(self, name: str, default: bool = _MISSING) -> bool:
        return bool(self._check(name, self._get(name, default), bool))

    def optional(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def optional_integer(self, name: str) -> int | None:
        return self.integer(name) if self.has(name) else None

    def words(self, name: str) -> tuple[str, ...]:
        found = self._check(name, self._get(name, []), list)
        return tuple(self._check(f"{name}[{index}]", one, str) for index, one in enumerate(found))

    def integers(self, name: str) -> tuple[int, ...]:
        found = self._check(name, self._get(name, []), list)
        return tuple(self._check(f"{name}[{index}]", one, int) for index, one in enumerate(found))

    def texts(self, name: str) -> dict[str, str]:
        inner = self.inside(name)
        # A path that there is not (of a container's kernel) is null.
        return {key: inner.text(key) for key in inner._value if inner.has(key)}

    def inside(self, name: str) -> _Reader:
        return _Reader(self._get(name, {}), f"{self._place}{name}.")

    def each(self, name: str) -> list[tuple[str, _Reader]]:
        inner = self.inside(name)
        return [(key, inner.inside(key)) for key in sorted(inner._value)]

    def items(self, name: str) -> list[_Reader]:
        found = self._check(name, self._get(name, []), list)
        return [_Reader(one, f"{self._place}{name}[{index}].") for index, one in enumerate(found)]

    def _get(self, name: str, default: Any) -> Any:
        found = self._value.get(name)
        if found is not None:
            return found
        if default is _MISSING:
            raise DataError(f"`{self._place}{name}` is missing")
        return default

    def _check(self, name: str, found: Any, kind: type[Any]) -> Any:
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise DataError(f"`{self._place}{name}` is no {kind.__name__}: {json.dumps(found)[:80]}")
        return found
