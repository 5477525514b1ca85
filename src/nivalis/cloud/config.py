"""The clients that a user has configured: the file `~/.brightbox/config`, as the field's `brightbox` command has it.

An INI file: `[core]` has `default_client`; each other section is a client with `client_id`, `secret`, `api_url`, `auth_url`, and as it
applies `alias`, `username`, `default_account`, `orbit_url` (ours: where the object storage is, if it is not Brightbox's).  Tokens are beside it in
`<section>.oauth_token` and `<section>.refresh_token`.  All of it is written whole or not at all, and nobody else can read it.

What the environment says (BRIGHTBOX_CLIENT ...) stands above the file; it is handed in.
"""

from __future__ import annotations

import configparser
import io
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from nivalis.cloud.api import API_URL, ORBIT_URL
from nivalis.cloud.auth import Credentials, Tokens
from nivalis.cloud.errors import CloudConfigError

__all__ = ["ClientConfig", "ConfigFile", "FileTokens", "select_client"]

_CORE = "core"


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """One client.  `alias` is the name of its section."""

    alias: str
    client_id: str
    secret: str = field(repr=False)
    api_url: str = API_URL
    auth_url: str = ""
    orbit_url: str = ORBIT_URL
    username: str = ""
    password: str = field(default="", repr=False)
    default_account: str = ""

    @property
    def token_url(self) -> str:
        return self.auth_url or self.api_url

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.client_id, self.secret, self.username, self.password)


class ConfigFile:
    """The file in `folder`, read once.  Raises CloudConfigError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "config"
        # A secret may have a percent sign.
        self._parser = configparser.ConfigParser(interpolation=None)
        try:
            with open(self.path, encoding="utf-8") as stream:
                self._parser.read_file(stream)
        except FileNotFoundError:
            pass
        except (configparser.Error, UnicodeError) as error:
            # The parser's own message would show the line, which may hold a secret.
            raise CloudConfigError("configuration cannot be read", where=f"{self.path}:{getattr(error, 'lineno', 1)}") from None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> ConfigFile:
        """That of the user.  Raises CloudConfigError."""
        return cls(Path(environment.get("HOME") or os.path.expanduser("~")) / ".brightbox")

    def clients(self) -> list[ClientConfig]:
        return [self._read(name) for name in self._parser.sections() if name != _CORE]

    @property
    def default(self) -> str:
        """The section of the client that is used when none is named; an empty string without one."""
        chosen = self._parser.get(_CORE, "default_client", fallback="")
        if chosen:
            return chosen
        names = [name for name in self._parser.sections() if name != _CORE]
        return names[0] if len(names) == 1 else ""

    def find(self, name: str) -> ClientConfig:
        """The client of that alias or id.  Raises CloudConfigError."""
        for client in self.clients():
            if name in (client.alias, client.client_id):
                return client
        known = ", ".join(f"`{client.alias}`" for client in self.clients()) or "none"
        raise CloudConfigError(
            f"no such client: `{name}` (there is {known})", where=str(self.path), hint="`nivalis cloud config client_add` adds one"
        )

    def put(self, client: ClientConfig) -> None:
        """Add or replace a client.  The first one becomes the default."""
        if client.alias == _CORE or "]" in client.alias or "/" in client.alias or not client.alias:
            raise CloudConfigError(f"no name for a client: `{client.alias}`")
        kept = dict(self._parser[client.alias]) if self._parser.has_section(client.alias) else {}
        # What another program keeps here stays.
        names = {one.name for one in fields(ClientConfig)}
        values = {key: value for key, value in kept.items() if key not in names}
        defaults = {"orbit_url": ORBIT_URL}
        for name in sorted(names - {"password"}):
            value = getattr(client, name)
            if value and defaults.get(name) != value:
                values[name] = value
        values["auth_url"] = client.token_url
        self._parser[client.alias] = values
        if not self._parser.get(_CORE, "default_client", fallback=""):
            self.set_default(client.alias)

    def remove(self, name: str) -> None:
        """Raises CloudConfigError."""
        alias = self.find(name).alias
        self._parser.remove_section(alias)
        if self._parser.get(_CORE, "default_client", fallback="") == alias:
            self._parser.remove_option(_CORE, "default_client")
        FileTokens(self.folder, alias).save(None)

    def set_default(self, name: str) -> None:
        """Raises CloudConfigError."""
        alias = self.find(name).alias
        if not self._parser.has_section(_CORE):
            self._parser.add_section(_CORE)
        self._parser.set(_CORE, "default_client", alias)

    def write(self) -> None:
        """Put what has changed on disk.  Raises OSError."""
        text = io.StringIO()
        self._parser.write(text)
        _write_private(self.path, text.getvalue())

    def _read(self, name: str) -> ClientConfig:
        section = self._parser[name]

        def value(key: str, default: str = "") -> str:
            return section.get(key, "").strip() or default

        if not value("client_id"):
            raise CloudConfigError(f"client has no `client_id`: `{name}`", where=str(self.path))
        return ClientConfig(
            alias=name,
            client_id=value("client_id"),
            secret=value("secret"),
            api_url=value("api_url", API_URL),
            auth_url=value("auth_url"),
            orbit_url=value("orbit_url", ORBIT_URL),
            username=value("username"),
            default_account=value("default_account"),
        )


class FileTokens:
    """Tokens of one client in files beside the configuration; a TokenStore."""

    def __init__(self, folder: Path, alias: str) -> None:
        self._access = folder / f"{alias}.oauth_token"
        self._refresh = folder / f"{alias}.refresh_token"

    def load(self) -> Tokens | None:
        access, refresh = self._read(self._access), self._read(self._refresh)
        return Tokens(access, refresh) if access or refresh else None

    def save(self, tokens: Tokens | None) -> None:
        for path, text in ((self._access, tokens.access if tokens else ""), (self._refresh, tokens.refresh if tokens else "")):
            if text:
                _write_private(path, text)
            else:
                path.unlink(missing_ok=True)

    @staticmethod
    def _read(path: Path) -> str:
        with suppress(FileNotFoundError):
            return path.read_text(encoding="ascii", errors="replace").strip()
        return ""


def select_client(environment: Mapping[str, str], file: ConfigFile, name: str = "") -> ClientConfig:
    """The client to use: `name`, else what the environment says, else the default of the file.  Raises CloudConfigError.

    BRIGHTBOX_CLIENT with BRIGHTBOX_CLIENT_SECRET is a client by itself; without the secret, and so CLIENT, it names one of the file.
    BRIGHTBOX_USER_NAME, BRIGHTBOX_PASSWORD, BRIGHTBOX_ACCOUNT, BRIGHTBOX_API_URL and BRIGHTBOX_ORBIT_URL go above what the client has.
    """
    given, secret = environment.get("BRIGHTBOX_CLIENT", ""), environment.get("BRIGHTBOX_CLIENT_SECRET", "")
    if not name and given and secret:
        client = ClientConfig(given, given, secret)
    else:
        name = name or given or environment.get("CLIENT", "") or file.default
        if not name:
            raise CloudConfigError(
                "no client is chosen" if file.clients() else "no client is configured",
                where=str(file.path),
                hint="`nivalis cloud config client_add ID SECRET` adds one; `nivalis cloud local start` makes a cloud on this machine",
            )
        client = file.find(name)
    changes = {
        key: environment[variable]
        for key, variable in {
            "username": "BRIGHTBOX_USER_NAME",
            "password": "BRIGHTBOX_PASSWORD",
            "api_url": "BRIGHTBOX_API_URL",
            "orbit_url": "BRIGHTBOX_ORBIT_URL",
        }.items()
        if environment.get(variable)
    }
    account = environment.get("BRIGHTBOX_ACCOUNT") or environment.get("ACCOUNT")
    if account:
        changes["default_account"] = account
    if "api_url" in changes:
        changes["auth_url"] = changes["api_url"]
    return replace(client, **changes)


def _write_private(path: Path, text: str) -> None:
    """Put a file in its place at once, for its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
