"""Where mirrors come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nivalis.debian.errors import MirrorError
from nivalis.debian.mirror import Mirrors, builder_variables, order_mirrors, read_mirrors, set_channel_mirrors

SOURCES = """\
# The installer's
Types: deb deb-src
URIs: http://mirror.example/debian/ https://second.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://foreign.example/linux/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
"""
LIST = """\
deb http://list.example/debian bookworm main
# deb http://comment.example/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.gpg] https://docker.example/linux/debian bookworm stable
deb [ signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://security.example/debian-security bookworm-security main  # ours
deb-src http://source.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb https://node.example/node_20.x nodistro main-other
nonsense
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    folder = tmp_path / "apt"
    (folder / "sources.list.d").mkdir(parents=True)
    (folder / "sources.list").write_text(LIST)
    (folder / "sources.list.d/debian.sources").write_text(SOURCES)
    (folder / "sources.list.d/broken.sources").write_text("no field\n")
    (folder / "sources.list.d/off.list.disabled").write_text("deb http://disabled.example/debian bookworm main\n")
    return folder


def _read(home: Path, apt: Path, machine: Path | None = None) -> Mirrors:
    return read_mirrors({"HOME": str(home)}, apt=apt, machine=machine or home / "none.json")


def test_apts_sources(tmp_path: Path, apt: Path) -> None:
    assert _read(tmp_path, apt).common == (
        "http://list.example/debian",
        "http://security.example/debian-security",
        "http://mirror.example/debian",
        "https://second.example/debian",
    )


def test_configuration_comes_first(tmp_path: Path, apt: Path) -> None:
    machine = tmp_path / "machine.json"
    machine.write_text(json.dumps({"mirrors": ["http://machine.example/debian"], "snapshotArchive": "https://archive.example/"}))
    file = tmp_path / ".config/nivalis/debian.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"mirrors": ["http://mine.example/debian"]}))
    set_channel_mirrors({"HOME": str(tmp_path)}, "nixpkgs", ["http://own.example/debian/"])
    found = _read(tmp_path, apt, machine)
    assert found.common == ("http://mine.example/debian", "http://machine.example/debian")
    assert found.of_channel("nixpkgs") == ("http://own.example/debian",)
    assert found.of_channel("other") == found.common
    assert found.all == (*found.common, "http://own.example/debian")
    assert found.snapshot_archive == "https://archive.example"
    set_channel_mirrors({"HOME": str(tmp_path)}, "nixpkgs", [])
    assert json.loads(file.read_text()) == {"mirrors": ["http://mine.example/debian"], "channels": {}}


def test_a_channels_own_mirrors_leave_apts_to_the_others(tmp_path: Path, apt: Path) -> None:
    set_channel_mirrors({"XDG_CONFIG_HOME": str(tmp_path / "config")}, "a", ["http://own.example/debian"])
    found = read_mirrors({"XDG_CONFIG_HOME": str(tmp_path / "config")}, apt=apt, machine=tmp_path / "none")
    assert found.of_channel("a") == ("http://own.example/debian",)
    assert found.of_channel("b")[0] == "http://list.example/debian"


@pytest.mark.parametrize(
    "text", ["[", "[]", '{"mirror": []}', '{"mirrors": "http://a"}', '{"mirrors": ["file:///a"]}', '{"channels": {"a": "http://b"}}']
)
def test_configuration_that_is_not_understood(tmp_path: Path, apt: Path, text: str) -> None:
    file = tmp_path / ".config/nivalis/debian.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(MirrorError) as caught:
        _read(tmp_path, apt)
    assert caught.value.code == "mirror-configuration"


def test_no_mirror_at_all(tmp_path: Path) -> None:
    with pytest.raises(MirrorError) as caught:
        _read(tmp_path, tmp_path / "no-apt").of_channel("a")
    assert caught.value.code == "no-mirror"


def test_the_likely_archive_is_asked_first() -> None:
    mirrors = ["http://a.example/debian", "http://security.debian.org", "http://b.example/other"]
    security = ["http://a.example/debian-security", "http://security.debian.org"]
    plain = ["http://a.example/debian", "http://b.example/other"]
    assert order_mirrors(mirrors, security=False) == plain + security
    assert order_mirrors(mirrors, security=True) == security + plain


def test_what_a_builder_is_told(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "https_proxy": "http://proxy", "SECRET": "x"}
    set_channel_mirrors(environment, "a", ["http://own.example/debian"])
    told = builder_variables(environment)
    assert told.keys() == {"https_proxy", "NIVALIS_DEBIAN"}
    assert "http://own.example/debian" in json.loads(told["NIVALIS_DEBIAN"])["mirrors"]
