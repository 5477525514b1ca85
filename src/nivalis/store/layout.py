"""Where a store is: the logical store directory, and the real folders behind it.

A store path's text always begins with the *logical* store directory (`/nix/store`), since that text is hashed into paths and is
what builds see.  The files may really lie below another root: a store *under* `/some/root` has its files in
`/some/root/nix/store` and its state in `/some/root/nix/var/nix`, as CppNix's `local?root=/some/root` does.

`make_folders` creates what is missing, with the names and modes that CppNix gives.  The database is made by
`nivalis.store.database`.  Environment variables are read only from a mapping that the caller hands in.
"""

from __future__ import annotations

import errno
import grp
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from nivalis.errors import StorePlaceError

DEFAULT_STORE_DIR = "/nix/store"
SCHEMA_VERSION = 10


class StoreLayout(NamedTuple):
    """The folders of one store.  `store_dir` is logical, the others are real."""

    store_dir: str
    real_store_dir: Path
    state_dir: Path
    log_dir: Path

    @classmethod
    def system(cls) -> StoreLayout:
        """The store of the machine, in /nix."""
        return cls(DEFAULT_STORE_DIR, Path(DEFAULT_STORE_DIR), Path("/nix/var/nix"), Path("/nix/var/log/nix"))

    @classmethod
    def under(cls, root: str | os.PathLike[str], store_dir: str = DEFAULT_STORE_DIR) -> StoreLayout:
        """A store whose files lie below `root`."""
        place = Path(os.path.abspath(root))
        return cls(store_dir, place / store_dir.lstrip("/"), place / "nix/var/nix", place / "nix/var/log/nix")

    @classmethod
    def parse(cls, address: str, environment: Mapping[str, str] | None = None) -> StoreLayout:
        """Read the value of `--store` or of NIX_REMOTE.

        It is empty, `auto` or `local` for the machine's own store, an absolute path for a store under that root, or
        `local?root=…&store=…&real=…&state=…&log=…`.  `environment` gives the defaults NIX_STORE_DIR, NIX_STATE_DIR, NIX_LOG_DIR.
        On a machine without a store, an ordinary user who names none has one at home, under ~/.local/share/nix/root, as with CppNix.
        Raises StorePlaceError for any other kind of store.
        """
        env = environment or {}
        kind, _, query = address.partition("?")
        parameters: dict[str, str] = {}
        if query:
            from urllib.parse import parse_qsl  # takes a while to load, and is seldom needed

            parameters.update(parse_qsl(query, keep_blank_values=True))
        if kind.startswith("local://"):
            kind = kind.removeprefix("local://") or "local"
        if kind.startswith("/"):
            parameters.setdefault("root", kind)
        elif kind not in ("", "auto", "local"):
            raise StorePlaceError(
                f"not a local store: `{address}`", hint="a store is `local`, a folder such as `/some/root`, or `local?root=/some/root`"
            )
        store_dir = _normal(parameters.get("store") or env.get("NIX_STORE_DIR") or env.get("NIX_STORE") or DEFAULT_STORE_DIR)
        root = parameters.get("root") or (None if parameters or kind == "local" else _root_at_home(env))
        if root:
            base = cls.under(root, store_dir)
        else:
            state = Path(env.get("NIX_STATE_DIR") or "/nix/var/nix")
            log = Path(env.get("NIX_LOG_DIR") or "/nix/var/log/nix")
            base = cls(store_dir, Path(store_dir), state, log)
        return cls(
            store_dir,
            Path(parameters.get("real") or base.real_store_dir),
            Path(parameters.get("state") or base.state_dir),
            Path(parameters.get("log") or base.log_dir),
        )

    @property
    def address(self) -> str:
        """What `parse` makes this layout of, in any environment."""
        from urllib.parse import urlencode

        places = {"store": self.store_dir, "real": self.real_store_dir, "state": self.state_dir, "log": self.log_dir}
        return f"local?{urlencode(places, safe='/')}"

    @property
    def database_dir(self) -> Path:
        return self.state_dir / "db"

    @property
    def roots_dir(self) -> Path:
        return self.state_dir / "gcroots"

    @property
    def temp_roots_dir(self) -> Path:
        return self.state_dir / "temproots"

    @property
    def profiles_dir(self) -> Path:
        return self.state_dir / "profiles"

    @property
    def links_dir(self) -> Path:
        """Where equal files are hard-linked to one another."""
        return self.real_store_dir / ".links"

    @property
    def is_moved(self) -> bool:
        """Whether the files lie elsewhere than their store paths say."""
        return str(self.real_store_dir) != self.store_dir

    def real_path(self, path: str) -> str:
        """The real place of a store path, or of a path below one."""
        if not path.startswith(self.store_dir + "/"):
            raise StorePlaceError(f"path is not in the store `{self.store_dir}`: `{path}`")
        return f"{self.real_store_dir}{path[len(self.store_dir) :]}"

    def is_in_store(self, path: str) -> bool:
        """Whether a logical path is below the store directory."""
        return path.startswith(self.store_dir + "/") and len(path) > len(self.store_dir) + 1

    def make_folders(self, build_users_group: str = "") -> None:
        """Create what is missing.  As root, a group that exists is given the right to write to the store.  Raises StorePlaceError."""
        try:
            self._make_folders()
            if build_users_group and os.geteuid() == 0:
                self._share_with(build_users_group)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            raise StorePlaceError(
                f"no permission to write the store: `{error.filename}`",
                where=str(self.real_store_dir),
                hint="use a store of your own with `--store <folder>`, or run as the store's owner",
            ) from error

    def _make_folders(self) -> None:
        _make(self.real_store_dir)
        _check_no_symlinks(self.real_store_dir)
        _make(self.links_dir)
        _make(self.profiles_dir)
        _make(self.temp_roots_dir)
        _make(self.database_dir)
        if not self.roots_dir.is_dir():
            _make(self.roots_dir)
            # Profiles are roots by this one link.
            _make_symlink(self.profiles_dir, self.roots_dir / "profiles")
        for folder in (self.profiles_dir / "per-user", self.roots_dir / "per-user"):
            _make(folder)

    def _share_with(self, build_users_group: str) -> None:
        # Build users make their own entries, and the sticky bit keeps them from one another's.
        try:
            group = grp.getgrnam(build_users_group).gr_gid
        except KeyError:
            return
        status = self.real_store_dir.stat()
        if (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) != (0, group, 0o1775):
            try:
                os.chown(self.real_store_dir, 0, group)
            except OSError as error:
                # Root of a user namespace in which there is no such group: it has no build users either.
                if error.errno != errno.EINVAL:
                    raise
                return
            self.real_store_dir.chmod(0o1775)


def _root_at_home(environment: Mapping[str, str]) -> str | None:
    """The root of the store of an ordinary user on a machine without a store; None for anyone else, and where something is named."""
    named = any(environment.get(name) for name in ("NIX_STORE_DIR", "NIX_STORE", "NIX_STATE_DIR"))
    if named or os.geteuid() == 0 or os.path.exists(StoreLayout.system().state_dir):
        return None
    home = environment.get("HOME", "")
    data = environment.get("XDG_DATA_HOME") or (f"{home}/.local/share" if home else "")
    return f"{data}/nix/root" if data.startswith("/") else None


def _normal(store_dir: str) -> str:
    if not store_dir.startswith("/"):
        raise StorePlaceError(f"store directory is not an absolute path: `{store_dir}`")
    return os.path.normpath(store_dir)


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)


def _make_symlink(target: Path, link: Path) -> None:
    try:
        link.symlink_to(target)
    except FileExistsError:
        return


def _check_no_symlinks(folder: Path) -> None:
    # A store behind a symlink breaks builds that resolve their own paths, so it is refused as CppNix refuses it.
    for place in (folder, *folder.parents):
        if place.is_symlink():
            raise StorePlaceError(f"the store or a folder above it is a symlink: `{place}`", hint=f"name the real folder, `{folder.resolve()}`")
