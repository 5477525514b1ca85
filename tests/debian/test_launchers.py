"""Launchers: which commands a profile has of a package, and which of them enter a farm."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from debian_debs import Entry, build, file, link, make_deb
from nivalis.debian import farm, launchers
from nivalis.debian.errors import PackageError

ELF = b"\x7fELF rest"
LAUNCHER = "/nix/store/00000000000000000000000000000000-launcher"

Make = Callable[..., Path]
Launch = Callable[..., dict[str, str]]


def program(name: str, data: bytes = ELF) -> Entry:
    return file(name, data, mode=0o755)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A package by that name, which has these files."""

    def made(name: str, *entries: Entry, source: str = "", depends: list[Path] | None = None, postinst: str = "") -> Path:
        control = f"Package: {name}\nVersion: 1\n" + (f"Source: {source}\n" if source else "")
        scripts = {"control": control, **({"postinst": postinst} if postinst else {})}
        return build(tmp_path / f"{'0' * 32}-{name}", make_deb(entries, scripts=scripts), depends=depends or [])

    return made


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """The commands of a package, with what they are linked to or, for a launcher, the program; `base` are packages that do not count."""

    def made(package: Path, source: str, *base: Path) -> dict[str, str]:
        tree, out = tmp_path / "farm", tmp_path / "out"
        farm.make_farm([str(path) for path in (package, *base)], str(tree))
        words = {"format": "1", "package": str(package), "source": source, "farm": str(tree), "launcher": LAUNCHER, "base": " ".join(map(str, base))}
        launchers.build(words, str(out))
        found = {}
        for name in sorted(os.listdir(out / "bin")):
            place = out / "bin" / name
            if place.is_symlink():
                found[name] = os.readlink(place)
            else:
                first, second, third = place.read_text().splitlines()
                assert (first, second, os.access(place, os.X_OK)) == (f"#!{LAUNCHER}", f"farm {tree}", True)
                found[name] = third.removeprefix("program ")
        return found

    return made


def test_what_needs_nothing_of_a_farm_is_run_as_it_is(make: Make, launch: Launch, tmp_path: Path) -> None:
    base = make("base", file("usr/share/base/data"))
    library = make("lib", file("usr/lib/x86_64-linux-gnu/libx.so.1", ELF), file("usr/share/doc/lib/copyright"))
    tool = make(
        *("tool", program("usr/bin/tool"), program("usr/bin/script", b"#!/bin/sh\n"), file("usr/share/man/man1/tool.1.gz")),
        depends=[base, library],
    )
    assert launch(tool, "tool", base) == {"tool": f"{tool}/usr/bin/tool", "script": "/usr/bin/script"}
    assert os.readlink(tmp_path / "out/share/man/man1/tool.1.gz") == f"{tool}/usr/share/man/man1/tool.1.gz"
    assert (tmp_path / "out/nix-support/launcher").read_text() == f"{LAUNCHER}\n"


@pytest.mark.parametrize("data", ["usr/share/tool/data", "usr/lib/tool/part", "etc/tool.conf", "usr/lib/x86_64-linux-gnu/tool/plugin.so"])
def test_what_has_data_enters_the_farm(make: Make, launch: Launch, data: str) -> None:
    tool = make("tool", program("usr/bin/tool"), program("usr/sbin/admin"), depends=[make("data", file(data))])
    assert launch(tool, "tool") == {"admin": "/usr/sbin/admin", "tool": "/usr/bin/tool"}


def test_commands_of_the_same_source_and_alternatives(make: Make, launch: Launch) -> None:
    other = make("tool3.1", program("usr/bin/tool3.1"), source="tool3.1")
    minimal = make("tool-minimal", link("usr/bin/tool", "tool3.1"), source="defaults (1.2)", depends=[other])
    postinst = "#!/bin/sh\nupdate-alternatives --install /usr/bin/chosen chosen /usr/bin/tool-real 10\n"
    tool = make("tool", program("usr/bin/tool-real"), source="defaults", depends=[minimal, other], postinst=postinst)
    assert launch(tool, "defaults") == {
        "chosen": f"{tool}/usr/bin/tool-real",
        "tool": f"{other}/usr/bin/tool3.1",
        "tool-real": f"{tool}/usr/bin/tool-real",
    }


def test_what_leads_nowhere_and_is_no_program_is_left_out(make: Make, launch: Launch) -> None:
    tool = make("tool", link("usr/bin/gone", "nowhere"), file("usr/bin/data"), link("usr/bin/loop", "loop"), program("usr/games/play"))
    assert launch(tool, "tool") == {"play": f"{tool}/usr/games/play"}


def test_a_package_without_commands(make: Make, launch: Launch) -> None:
    assert launch(make("lib", file("usr/share/lib/data")), "lib") == {}


@pytest.mark.parametrize("has_data", [True, False])
def test_scripts_of_what_was_built_here(make: Make, tmp_path: Path, has_data: bool) -> None:
    more = [file("usr/lib/script/module")] if has_data else []
    interpreter = make("script", program("usr/bin/script"), *more)
    built, out = tmp_path / "built", tmp_path / "out"
    for name, text in (("bin/run", f"#!{interpreter}/bin/script -x\n"), ("bin/.hidden", "#!/bin/sh\n"), ("bin/data", "#!"), ("share/doc/x", "x")):
        place = built / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o644 if name.endswith(("data", "x")) else 0o755)
    (built / "bin/other").symlink_to("run")
    launchers.build({"format": "2", "built": str(built), "farm": "/farm", "launcher": LAUNCHER}, str(out))
    assert sorted(os.listdir(out / "bin")) == [".hidden", "data", "other", "run"]
    for name in ("run", "other"):
        if has_data:
            assert (out / "bin" / name).read_text() == f"#!{LAUNCHER}\nfarm /farm\nprogram {built}/bin/{name}\n"
        else:
            assert os.readlink(out / "bin" / name) == f"{built}/bin/{name}"
    for name in ("bin/.hidden", "bin/data", "share/doc/x"):
        assert os.readlink(out / name) == f"{built}/{name}"


def test_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(PackageError) as error:
        launchers.build({"format": "9"}, str(tmp_path / "out"))
    assert "format `9`" in str(error.value)
