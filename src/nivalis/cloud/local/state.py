"""What there is in the cloud of this machine: documents in an SQLite database.

A document is a JSON object with an `id`; other resources are in it by their identifiers only, and `answers` nests them.  Deleted resources stay,
with their status, as in the real cloud.  A change is on disk when the function that makes it returns.

Documents are handed out as copies: who changes one puts it back.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["ACCOUNT", "CLIENT", "REGION", "USER", "Document", "State", "now"]

Document = dict[str, Any]

ACCOUNT, CLIENT, USER = "acc-local", "cli-local", "usr-local"
REGION = "gb1.brightbox.com"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_SCHEMA = """
create table if not exists documents (number integer primary key, id text unique not null, kind text not null, document text not null);
create index if not exists documents_of_kind on documents (kind, number);
create table if not exists tokens (token text primary key, client text not null, is_refresh integer not null, expires real not null);
create table if not exists facts (name text primary key, value text not null);
"""
# RAM in MB, disk in MB, none for network storage; sizes as the real cloud's smaller types have them, and one that is enough for a test.
_TYPES: tuple[tuple[str, str, int, int, int], ...] = (
    ("typ-nano0", "nano", 256, 1, 4096),
    ("typ-half0", "512mb.ssd", 512, 1, 20480),
    ("typ-w0hf9", "1gb.ssd", 1024, 1, 30720),
)
_TYPES += (("typ-two00", "2gb.ssd", 2048, 2, 61440), ("typ-four0", "4gb.ssd", 4096, 2, 122880), ("typ-nbs00", "2gb.nbs", 2048, 2, 0))
_RULES: tuple[Document, ...] = (
    {"destination": "any"},
    {"source": "any", "protocol": "icmp", "icmp_type_name": "echo-request"},
    {"source": "any", "protocol": "tcp", "destination_port": "22,80,443"},
)


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class State:
    """The database in `path`.  One process holds it; its threads take turns."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("pragma journal_mode = wal")
        self._database.executescript(_SCHEMA)
        path.chmod(0o600)
        if self.find(ACCOUNT) is None:
            self._seed()

    def close(self) -> None:
        self._database.close()

    # ---- documents ----

    def get(self, identifier: str) -> Document:
        """One that is known to be there."""
        found = self.find(identifier)
        if found is None:
            raise KeyError(identifier)
        return found

    def find(self, identifier: str) -> Document | None:
        row = self._database.execute("select document from documents where id = ?", (identifier,)).fetchone()
        return None if row is None else json.loads(row[0])

    def all(self, kind: str) -> list[Document]:
        rows = self._database.execute("select document from documents where kind = ? order by number", (kind,)).fetchall()
        return [json.loads(row[0]) for row in rows]

    def add(self, kind: str, prefix: str, document: Document) -> Document:
        """Put a new one, with an identifier of its own unless it has one."""
        document = {"id": document.get("id") or self._make_id(prefix), "resource_type": kind, **document}
        row = (document["id"], kind, json.dumps(document))
        self._database.execute("insert into documents (id, kind, document) values (?, ?, ?)", row)
        return document

    def change(self, identifier: str, **fields: Any) -> Document:
        """Change fields of one; the whole of it."""
        document = {**self.get(identifier), **fields}
        self._database.execute("update documents set document = ? where id = ?", (json.dumps(document), identifier))
        return document

    def remove(self, identifier: str) -> None:
        self._database.execute("delete from documents where id = ?", (identifier,))

    def _make_id(self, prefix: str) -> str:
        while True:
            identifier = f"{prefix}-{''.join(secrets.choice(_DIGITS) for _ in range(5))}"
            if self.find(identifier) is None:
                return identifier

    # ---- secrets and other facts ----

    def secret(self, name: str) -> str:
        """The secret of somebody, made when it is first asked for."""
        return self.recall(name) or self.remember(name, secrets.token_hex(16))

    def recall(self, name: str) -> str:
        """What is remembered by that name, or an empty string."""
        row = self._database.execute("select value from facts where name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def remember(self, name: str, value: str) -> str:
        self._database.execute("insert or replace into facts values (?, ?)", (name, value))
        return value

    # ---- tokens ----

    def add_token(self, client: str, lasts: float, *, is_refresh: bool = False) -> str:
        token = secrets.token_hex(20)
        self._database.execute("insert into tokens values (?, ?, ?, ?)", (token, client, is_refresh, self.clock() + lasts))
        # Long past ones are told apart from unknown ones by nobody.
        self._database.execute("delete from tokens where expires < ?", (self.clock() - 86400,))
        return token

    def token(self, token: str, *, is_refresh: bool = False) -> tuple[str, float] | None:
        """Whose it is, and when it ends."""
        row = self._database.execute("select client, expires from tokens where token = ? and is_refresh = ?", (token, is_refresh)).fetchone()
        return None if row is None else (row[0], row[1])

    def remove_token(self, token: str) -> None:
        self._database.execute("delete from tokens where token = ?", (token,))

    def expire_tokens(self) -> None:
        """End all access tokens, as time would."""
        self._database.execute("update tokens set expires = ? where not is_refresh", (self.clock() - 1,))

    # ---- the first documents ----

    def _seed(self) -> None:
        created = now()
        self._database.execute("begin")
        self.add("account", "acc", {"id": ACCOUNT, "name": "This machine", "status": "active", "created_at": created, "ram_limit": 16384})
        self.add("user", "usr", {"id": USER, "name": "You", "email_address": "you@localhost", "ssh_key": "", "created_at": created})
        for handle in ("gb1-a", "gb1-b"):
            self.add("zone", "zon", {"handle": handle})
        for identifier, handle, ram, cores, disk in _TYPES:
            fields = {"name": handle.upper(), "handle": handle, "ram": ram, "cores": cores, "disk_size": disk}
            storage = {"storage_type": "local" if disk else "network"}
            self.add("server_type", "typ", {"id": identifier, **fields, "status": "available", **storage})
        group = self.add("server_group", "grp", {"name": "default", "description": "All new servers", "default": True, "created_at": created})
        fields = {"name": "default", "description": None, "default": True, "created_at": created, "server_group": group["id"]}
        policy = self.add("firewall_policy", "fwp", fields)
        for rule in (*_RULES, {"source": group["id"]}):
            self.add("firewall_rule", "fwr", {"firewall_policy": policy["id"], "created_at": created, **rule})
        self._database.execute("commit")
