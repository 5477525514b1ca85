"""Activation into a folder that stands for a machine: what comes, what goes, what stays; and that it may be killed anywhere.

A process is killed at each of its steps in turn (Python says before it opens, renames, links or removes a file), and then again without being
killed: in the end there must be what an activation makes that nobody disturbed.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nivalis.system.target.accounts import read_accounts
from nivalis.system.target.activate import activate
from nivalis.system.target.data import System
from nivalis.system.target.passwords import hash_password, is_password
from nivalis.system.target.places import Root
from system_data import killed_at, make_data, make_toplevel

LIGHTTPD = {"uid": None, "group": "lighttpd", "home": "/var/www", "createHome": True, "homeMode": "0750"}


def _file(folder: Path, name: str, text: str) -> str:
    place = folder / "files" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return str(place)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A system with an administrator, a copied file and a setuid program."""
    data = make_data(
        etc={
            "motd": {"source": _file(tmp_path, "motd", "hello")},
            "secret": {"source": _file(tmp_path, "secret", "x"), "mode": "0600"},
            "one": {"source": _file(tmp_path, "one", "1")},
            "many/a": {"source": _file(tmp_path, "a", "a")},
        },
        users={
            "users": {"root": {"uid": 0, "group": "root", "home": "/root", "hashedPassword": "$y$root"}},
            "groups": {"root": {"gid": 0, "members": []}, "wheel": {"gid": 1, "members": ["root"]}},
        },
        wrappers={"sudo": {"source": _file(tmp_path, "sudo", "#!")}},
    )
    return make_toplevel(tmp_path / "nix/small", data)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A system with a web server; a file became a folder, and a folder a file."""
    data = make_data(
        etc={
            "motd": {"source": _file(tmp_path, "motd2", "hello again")},
            "secret": {"source": _file(tmp_path, "secret2", "y"), "mode": "0640", "group": "lighttpd"},
            "one/two": {"source": _file(tmp_path, "two", "2")},
            "many": {"source": _file(tmp_path, "many", "m")},
            "lighttpd/lighttpd.conf": {"source": _file(tmp_path, "conf", "port = 80")},
        },
        users={
            "users": {"root": {"uid": 0, "group": "root", "home": "/root"}, "lighttpd": LIGHTTPD, "me": {"group": "users", "isSystem": False}},
            "groups": {"root": {"gid": 0}, "wheel": {"gid": 1, "members": ["me"]}, "lighttpd": {}, "users": {"gid": 100}},
        },
        wrappers={"sudo": {"source": _file(tmp_path, "sudo2", "#!/")}, "ping": {"source": _file(tmp_path, "ping", "#!"), "mode": "0755"}},
    )
    return make_toplevel(tmp_path / "nix/large", data)


def _activate(machine: Path, toplevel: Path) -> None:
    machine.mkdir(exist_ok=True)
    assert activate(Root(str(machine)), str(toplevel), System.read(str(toplevel)))


def _look(machine: Path) -> dict[str, str]:
    """All files below a machine's root, with their modes and contents; links as they are."""
    found = {}
    for folder, names, files in os.walk(machine):
        for name in [*names, *files]:
            place = Path(folder, name)
            status = place.lstat()
            # The folder of the wrappers has another name each time.
            shown = str(place.relative_to(machine))
            if shown.startswith("run/wrappers/wrappers."):
                shown = "run/wrappers/wrappers" + shown[len("run/wrappers/wrappers.") + 10 :]
            if place.is_symlink():
                target = os.readlink(place)
                found[shown] = "-> " + (target if "wrappers." not in target else "wrappers")
            elif place.is_dir():
                found[shown] = f"{stat.S_IMODE(status.st_mode):o}/"
            else:
                found[shown] = f"{stat.S_IMODE(status.st_mode):o} {place.read_text()}"
    return found


def test_first_activation(tmp_path: Path, small: Path) -> None:
    machine = tmp_path / "machine"
    _activate(machine, small)
    assert os.readlink(machine / "run/current-system") == str(small)
    assert os.readlink(machine / "usr") == "/run/current-system/sw/usr"
    assert os.readlink(machine / "bin") == "usr/bin"
    assert os.readlink(machine / "etc/static") == "/run/current-system/etc"
    assert os.readlink(machine / "etc/motd") == "/etc/static/motd"
    assert stat.S_IMODE((machine / "etc/secret").stat().st_mode) == 0o600
    assert (machine / "etc/passwd").read_text() == "root:x:0:0::/root:/usr/sbin/nologin\n"
    assert (machine / "etc/group").read_text() == "root:x:0:\nwheel:x:1:root\n"
    assert (machine / "etc/shadow").read_text() == "root:$y$root:1::::::\n"
    assert stat.S_IMODE((machine / "run/wrappers/wrappers").parent.stat().st_mode) == 0o755
    (wrapper,) = (machine / "run/wrappers").glob("wrappers.*/sudo")
    assert stat.S_IMODE(wrapper.stat().st_mode) == 0o4755
    assert (machine / "etc/NIXOS").exists()


def test_again_changes_nothing(tmp_path: Path, small: Path) -> None:
    machine = tmp_path / "machine"
    _activate(machine, small)
    before, inode = _look(machine), (machine / "etc/passwd").stat().st_ino
    _activate(machine, small)
    assert _look(machine) == before
    assert (machine / "etc/passwd").stat().st_ino == inode


def test_there_and_back(tmp_path: Path, small: Path, large: Path, capfd: pytest.CaptureFixture[str]) -> None:
    machine = tmp_path / "machine"
    _activate(machine, small)
    before = _look(machine)
    _activate(machine, large)
    accounts = read_accounts(Root(str(machine)))
    assert accounts.users == {"root": 0, "lighttpd": 999, "me": 1000}
    assert (machine / "etc/one/two").is_symlink() and (machine / "etc/many").is_symlink()
    assert stat.S_IMODE((machine / "var/www").stat().st_mode) == 0o750
    if os.geteuid() == 0:
        assert ((machine / "var/www").stat().st_uid, (machine / "etc/secret").stat().st_gid) == (999, accounts.groups["lighttpd"])
    capfd.readouterr()
    _activate(machine, small)
    said = capfd.readouterr().err
    assert "removing user ‘lighttpd’" in said and "removing group ‘lighttpd’" in said
    after = _look(machine)
    # What users leave behind stays, and so do their numbers.
    stays = {"var/www", "var/lib/nixos/uid-map", "var/lib/nixos/gid-map"}
    assert {name: text for name, text in after.items() if name not in stays} == {name: text for name, text in before.items() if name not in stays}
    assert json.loads((machine / "var/lib/nixos/uid-map").read_text()) == {"root": 0, "lighttpd": 999, "me": 1000}


def test_what_leaves_etc_is_said_of_what_was_declared(tmp_path: Path, small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    machine = tmp_path / "machine"
    # A package's file, which no entry declares.
    (small / "etc/package.conf").symlink_to(_file(tmp_path, "package.conf", "x"))
    _activate(machine, small)
    capfd.readouterr()
    none = make_toplevel(tmp_path / "nix/none", make_data(etc={"many/a": {"source": _file(tmp_path, "b", "b")}}))
    assert activate(Root(str(machine)), str(none), System.read(str(none)), System.read(str(small)))
    said = [line for line in capfd.readouterr().err.splitlines() if "obsolete" in line]
    assert said == [
        "removing obsolete symlink ‘/etc/motd’...",
        "removing obsolete symlink ‘/etc/one’...",
        "removing obsolete file ‘/etc/secret’...",
    ]
    assert not (machine / "etc/package.conf").is_symlink()


def _with_users(users: Mapping[str, Any], groups: Mapping[str, Any] | None = None, *, mutable: bool = True) -> dict[str, Any]:
    return make_data(users={"mutable": mutable, "users": users, "groups": groups or {"g": {}}})


def test_numbers_are_never_reused(tmp_path: Path) -> None:
    machine, number = tmp_path / "machine", 0

    def users(*names: str) -> Mapping[str, int]:
        nonlocal number
        number += 1
        _activate(machine, make_toplevel(tmp_path / f"nix/{number}", _with_users({name: {"group": "g"} for name in names})))
        return read_accounts(Root(str(machine))).users

    assert users("a", "b") == {"a": 999, "b": 998}
    assert users("b", "c") == {"b": 998, "c": 997}
    assert users("a", "d") == {"a": 999, "d": 996}
    with open(machine / "etc/passwd", "a") as file:
        file.write("hand:x:995:100::/:/bin/sh\n")
    assert users("e") == {"hand": 995, "e": 994}


def test_numbers_that_exist_do_not_change(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    machine = tmp_path / "machine"
    _activate(machine, make_toplevel(tmp_path / "nix/1", _with_users({"a": {"group": "g", "uid": 5}})))
    _activate(machine, make_toplevel(tmp_path / "nix/2", _with_users({"a": {"group": "g", "uid": 6}})))
    assert read_accounts(Root(str(machine))).users == {"a": 5}
    assert "warning: not applying UID change of ‘a’ (5 -> 6)" in capfd.readouterr().err


def test_accounts_made_by_hand(tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    toplevels = [
        make_toplevel(tmp_path / f"nix/{mutable}", _with_users({"a": {"group": "g", "hashedPassword": "declared"}}, mutable=mutable))
        for mutable in (True, False)
    ]
    _activate(machine, toplevels[0])
    for name, text in {"passwd": "hand:x:1005:999::/home/hand:/bin/sh\n", "shadow": "hand:$y$hand:19000:0:99999:7:::\n"}.items():
        with open(machine / "etc" / name, "a") as file:
            file.write(text)
    (machine / "etc/group").write_text("g:x:999:hand\nextra:x:1005:\n")
    (machine / "etc/shadow").write_text((machine / "etc/shadow").read_text().replace("declared", "changed"))
    _activate(machine, toplevels[0])
    assert (machine / "etc/group").read_text() == "extra:x:1005:\ng:x:999:hand\n"
    assert (machine / "etc/shadow").read_text() == "a:changed:1::::::\nhand:$y$hand:19000:0:99999:7:::\n"
    _activate(machine, toplevels[1])
    assert (machine / "etc/group").read_text() == "g:x:999:\n"
    assert (machine / "etc/shadow").read_text() == "a:declared:1::::::\n"


def test_passwords(tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    (machine / "keys").mkdir(parents=True)
    (machine / "keys/file").write_text("$y$file\n")
    users = {
        "first": {"group": "g", "initialHashedPassword": "$y$initial"},
        "file": {"group": "g", "hashedPasswordFile": "/keys/file"},
        "missing": {"group": "g", "hashedPasswordFile": "/keys/none"},
        "none": {"group": "g"},
        "plain": {"group": "g", "password": "secret", "initialPassword": "other"},
        "start": {"group": "g", "initialPassword": "first"},
    }
    _activate(machine, make_toplevel(tmp_path / "nix/1", _with_users(users)))

    def hashes() -> dict[str, str]:
        lines = [line.split(":") for line in (machine / "etc/shadow").read_text().splitlines()]
        return {fields[0]: fields[1] for fields in lines}

    found = hashes()
    plain, start = found.pop("plain"), found.pop("start")
    assert found == {"first": "$y$initial", "file": "$y$file", "missing": "!", "none": "!"}
    assert is_password("secret", plain) and is_password("first", start) and not is_password("secret", start)
    # The same password again is the same line; without changes by hand, what is declared is so, and what is no more is locked.
    users["plain"], users["start"] = {"group": "g", "password": "secret"}, {"group": "g", "password": "later"}
    (machine / "etc/shadow").write_text((machine / "etc/shadow").read_text().replace("none:!", f"none:{plain}"))
    _activate(machine, make_toplevel(tmp_path / "nix/2", _with_users(users, mutable=False)))
    found = hashes()
    assert found["plain"] == plain and is_password("later", found["start"]) and found["none"] == "!"


@pytest.mark.parametrize(
    ("password", "salt", "expected"),
    [
        # From the scheme's specification.
        ("Hello world!", "saltstring", "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"),
        # From libcrypt, whose rules for long passwords are others than for short ones.
        ("", "0123456789abcdef", "F2ysjt5Ng5qVz2/gDtbz.ycdictosXpZ7Xsgu8PlbAws/.ekNFWz9XrSKXBI0tVYfdxX.nsVfGs7qe4jMrOWH0"),
    ],
)
def test_hashes_of_passwords(password: str, salt: str, expected: str) -> None:
    assert hash_password(password, salt) == f"$6${salt}${expected}"


def test_hashes_are_libcrypts() -> None:
    """Of passwords on both sides of the lengths at which the scheme does something else."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    for password in ("a", "x" * 63, "x" * 64, "y" * 65, "ä" * 70, "z" * 130):
        done = subprocess.run([openssl, "passwd", "-6", "-salt", "abc", "-stdin"], input=password, capture_output=True, text=True, check=True)
        assert hash_password(password, "abc") == done.stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file capabilities")
def test_capabilities(tmp_path: Path) -> None:
    given = {"permitted": [2, 40], "inheritable": [33], "effective": True}
    wrappers = {"reads": {"source": _file(tmp_path, "reads", "#!"), "owner": "0", "group": "0", "mode": "0511", "capabilities": given}}
    _activate(tmp_path / "machine", make_toplevel(tmp_path / "nix/1", make_data(wrappers=wrappers)))
    found = os.getxattr(
        tmp_path / "machine/run/wrappers" / os.path.basename(os.readlink(tmp_path / "machine/run/wrappers/bin")) / "reads", "security.capability"
    )
    assert struct.unpack("<5I", found) == (0x02000001, 1 << 2, 0, 1 << (40 - 32), 1 << (33 - 32))


def test_files_of_others_are_kept(tmp_path: Path, small: Path, large: Path, capfd: pytest.CaptureFixture[str]) -> None:
    machine = tmp_path / "machine"
    (machine / "etc/many").mkdir(parents=True)
    (machine / "etc/motd").write_text("mine")
    (machine / "etc/many/b").write_text("mine")
    (machine / "etc/one").symlink_to("/elsewhere")
    _activate(machine, small)
    assert (machine / "etc/motd.before-nivalis").read_text() == "mine"
    assert os.readlink(machine / "etc/one.before-nivalis") == "/elsewhere"
    _activate(machine, large)
    assert (machine / "etc/many/b").read_text() == "mine" and not (machine / "etc/many/a").exists()
    assert "is a folder with files of its own" in capfd.readouterr().err
    # A copy that somebody edited is the system's all the same.
    (machine / "etc/secret").write_text("edited")
    _activate(machine, large)
    assert (machine / "etc/secret").read_text() == "y"
    assert sorted(path.name for path in (machine / "etc").glob("*.before-nivalis")) == ["motd.before-nivalis", "one.before-nivalis"]


# ---------------------------------------------------------------------------------------------------- killed


def test_killed_anywhere_and_repeated_it_ends_right(tmp_path: Path, small: Path, large: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    expected = []
    for toplevel in (small, large, small):
        _activate(undisturbed, toplevel)
        expected.append(_look(undisturbed))
    for step in itertools.count():
        machine = tmp_path / f"machine-{step}"
        _activate(machine, small)
        was_killed = killed_at(step, partial(_activate, machine, large))
        _check_whole(machine, small, large)
        _activate(machine, large)
        assert _look(machine) == expected[1], f"killed at step {step}"
        if not was_killed:
            break
        killed_at(step, partial(_activate, machine, small))
        _check_whole(machine, small, large)
        _activate(machine, small)
        assert _look(machine) == expected[2], f"killed on the way back at step {step}"
    assert step > 50, "so few steps are not all that activation does"


def test_killed_anywhere_and_gone_back_from_it_ends_right(tmp_path: Path, small: Path, large: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    for toplevel in (small, large, small):
        _activate(undisturbed, toplevel)
    # A home that nobody has is no harm, and how far numbers had been given depends on when it was.
    open_ended = {"var/www", "var/www.nivalis-new", "var/lib/nixos/uid-map", "var/lib/nixos/gid-map"}
    expected = {name: text for name, text in _look(undisturbed).items() if name not in open_ended}
    for step in itertools.count(0, 3):
        machine = tmp_path / f"machine-{step}"
        _activate(machine, small)
        was_killed = killed_at(step, partial(_activate, machine, large))
        _activate(machine, small)
        assert {name: text for name, text in _look(machine).items() if name not in open_ended} == expected, f"killed at step {step}"
        if not was_killed:
            break


def _check_whole(machine: Path, *toplevels: Path) -> None:
    """At no moment is there half of anything."""
    for name in ("passwd", "group", "shadow"):
        lines = (machine / "etc" / name).read_text().split("\n")
        assert any(line.startswith("root:") for line in lines) and lines[-1] == ""
    assert os.readlink(machine / "run/current-system") in map(str, toplevels)
    assert (machine / os.readlink(machine / "run/wrappers/bin").lstrip("/") / "sudo").exists()
