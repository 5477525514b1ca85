"""The configuration of clients: the file of the field's command, tokens beside it, and the environment above it."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from nivalis.cloud.auth import Tokens
from nivalis.cloud.config import ClientConfig, ConfigFile, FileTokens, select_client
from nivalis.cloud.errors import CloudConfigError

# As the field's command writes it.
WRITTEN = """\
[core]
default_client = home

[home]
alias = home
client_id = cli-abcde
secret = a%b=c
api_url = https://api.gb1.brightbox.com
auth_url = https://api.gb1.brightbox.com
persistent = false

[work@example.com]
alias = work@example.com
client_id = app-12345
secret = public
username = work@example.com
api_url = https://api.gb1.brightbox.com
auth_url = https://api.gb1.brightbox.com
default_account = acc-work1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / ".brightbox"
    made.mkdir()
    (made / "config").write_text(WRITTEN)
    return made


def test_reading(folder: Path) -> None:
    file = ConfigFile(folder)
    assert [client.alias for client in file.clients()] == ["home", "work@example.com"]
    home = file.find("cli-abcde")
    assert (home.secret, home.token_url, home.orbit_url) == ("a%b=c", "https://api.gb1.brightbox.com", "https://orbit.brightbox.com/v1")
    assert file.find("work@example.com").default_account == "acc-work1"
    assert file.default == "home"


def test_writing_keeps_what_is_others(folder: Path) -> None:
    file = ConfigFile(folder)
    file.put(replace(file.find("home"), default_account="acc-home1"))
    file.put(ClientConfig("local", "cli-local", "x", "http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1/v1"))
    file.set_default("local")
    file.write()
    again = ConfigFile(folder)
    assert "persistent = false" in (folder / "config").read_text()
    assert again.find("home").default_account == "acc-home1" and again.default == "local"
    assert again.find("local").orbit_url == "http://127.0.0.1:1/v1"
    assert stat.S_IMODE((folder / "config").stat().st_mode) == 0o600
    again.remove("local")
    again.write()
    assert [client.alias for client in ConfigFile(folder).clients()] == ["home", "work@example.com"]
    assert [path.name for path in folder.iterdir()] == ["config"]


def test_tokens(folder: Path) -> None:
    store = FileTokens(folder, "home")
    assert store.load() is None
    store.save(Tokens("a" * 40, "r" * 40))
    assert store.load() == Tokens("a" * 40, "r" * 40)
    assert stat.S_IMODE((folder / "home.oauth_token").stat().st_mode) == 0o600
    store.save(Tokens("b" * 40))
    assert not (folder / "home.refresh_token").exists()
    store.save(None)
    assert store.load() is None


def test_environment(folder: Path) -> None:
    file = ConfigFile(folder)
    assert select_client({}, file).alias == "home"
    assert select_client({"CLIENT": "work@example.com"}, file).username == "work@example.com"
    assert select_client({"BRIGHTBOX_CLIENT": "home"}, file, "work@example.com").alias == "work@example.com"
    alone = {"BRIGHTBOX_CLIENT": "cli-envir", "BRIGHTBOX_CLIENT_SECRET": "s", "BRIGHTBOX_API_URL": "https://other", "BRIGHTBOX_ACCOUNT": "acc-envir"}
    client = select_client(alone, ConfigFile(folder / "nowhere"))
    assert (client.client_id, client.token_url, client.default_account) == ("cli-envir", "https://other", "acc-envir")
    user = select_client({"BRIGHTBOX_USER_NAME": "me@example.com", "BRIGHTBOX_PASSWORD": "p"}, file)
    assert user.credentials.is_user and user.credentials.password == "p"


def test_trouble(folder: Path) -> None:
    with pytest.raises(CloudConfigError, match="no such client: `nobody`"):
        ConfigFile(folder).find("nobody")
    with pytest.raises(CloudConfigError, match="no client is configured"):
        select_client({}, ConfigFile(folder / "nowhere"))
    with pytest.raises(CloudConfigError, match="no name for a client"):
        ConfigFile(folder).put(ClientConfig("../x", "cli-a", "s"))
    (folder / "config").write_text("[home]\nclient_id = cli-a\nsecret s3cret\n")
    with pytest.raises(CloudConfigError, match="cannot be read") as caught:
        ConfigFile(folder)
    assert "s3cret" not in str(caught.value)
    (folder / "config").write_text("[core]\ndefault_client = a\n[a]\nsecret = x\n")
    with pytest.raises(CloudConfigError, match="has no `client_id`: `a`"):
        ConfigFile(folder).clients()
