"""Farms: one tree over packages, and what maintainer scripts would have put into it."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from debian_debs import Entry, build, file, link, make_deb, special
from nivalis._native import hash_nar
from nivalis.debian import farm, package
from nivalis.debian.alternatives import parse_script
from nivalis.debian.diversions import parse_diversions
from nivalis.debian.errors import FarmError, PackageError

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A package by that name, which has these files."""

    def made(name: str, *entries: Entry, depends: list[Path] | None = None, postinst: str = "") -> Path:
        deb = make_deb(entries, name=name, scripts={"postinst": postinst} if postinst else None)
        return build(tmp_path / f"{'0' * 32}-{name}", deb, depends=depends or [])

    return made


def grow(out: Path, *packages: Path, wrappers: str | None = None) -> Path:
    farm.make_farm([str(path) for path in packages], str(out), wrappers=wrappers)
    return out


def links(place: Path) -> dict[str, str]:
    return {
        str(path.relative_to(place)): os.readlink(path)
        for parent, folders, files in os.walk(place)
        for path in (Path(parent, name) for name in (*folders, *files))
        if path.is_symlink()
    }


def test_folders_of_one_package_are_one_link(tmp_path: Path, make: Make) -> None:
    a = make("a", file("usr/share/a/x"), file("usr/share/a/y"), file("usr/share/both/a"), link("usr/share/both/b", "a"))
    b = make("b", file("usr/share/both/c"), file("bin/b", mode=0o755), special("var/lib/b", tarfile.DIRTYPE), depends=[a])
    out = grow(tmp_path / "farm", b)
    assert links(out) == {
        "bin": "usr/bin",
        "usr/bin": f"{b}/usr/bin",
        "usr/share/a": f"{a}/usr/share/a",
        "usr/share/both/a": f"{a}/usr/share/both/a",
        "usr/share/both/b": "a",
        "usr/share/both/c": f"{b}/usr/share/both/c",
    }
    assert (out / package.SUPPORT / "packages").read_text().splitlines() == [str(a), str(b)]


def test_three_in_one_folder(tmp_path: Path, make: Make) -> None:
    packages = [make(name, file(f"usr/share/deep/er/{name}"), file(f"usr/share/{name}/x")) for name in "abc"]
    out = grow(tmp_path / "farm", *packages)
    assert sorted(os.listdir(out / "usr/share/deep/er")) == ["a", "b", "c"]
    assert hash_nar(out) == hash_nar(grow(tmp_path / "again", *reversed(packages)))


def test_folder_with_a_link_out_of_it_is_a_folder(tmp_path: Path, make: Make) -> None:
    a = make("a", link("usr/lib/a/data", "../../share/b/data"), file("usr/lib/a/x"), file("usr/lib/c/x"))
    b = make("b", file("usr/share/b/data", b"data"))
    out = grow(tmp_path / "farm", a, b)
    assert (out / "usr/lib/a/data").read_text() == "data"
    assert links(out)["usr/lib/c"] == f"{a}/usr/lib/c"


def test_byte_code_is_beside_the_modules(tmp_path: Path, make: Make) -> None:
    a = make("a", file("usr/lib/python3/m/__init__.py"), file("usr/lib/python3/m/data/x"))
    code = tmp_path / "code"
    (code / "usr/lib/python3/m/__pycache__").mkdir(parents=True)
    (code / "usr/lib/python3/m/__pycache__/__init__.pyc").touch()
    variables = {"format": "4", "packages": str(a), "byteCode": str(code)}
    farm.build(variables, str(tmp_path / "farm"))
    assert links(tmp_path / "farm") == {
        "lib": "usr/lib",
        "usr/lib/python3/m/__init__.py": f"{a}/usr/lib/python3/m/__init__.py",
        "usr/lib/python3/m/__pycache__": f"{code}/usr/lib/python3/m/__pycache__",
        "usr/lib/python3/m/data": f"{a}/usr/lib/python3/m/data",
    }
    for wrong in ({"format": "3"}, {"byteCode": ""}):
        with pytest.raises(PackageError, match="are not known here"):
            farm.build(variables | wrong, str(tmp_path / "other"))


def test_collision_names_both(tmp_path: Path, make: Make) -> None:
    a, b = make("a", file("usr/bin/x", b"a")), make("b", file("usr/bin/x", b"b"))
    with pytest.raises(FarmError) as caught:
        grow(tmp_path / "farm", a, b)
    assert caught.value.code == "farm-collision" and str(a) in caught.value.message and str(b) in caught.value.message
    assert "`/usr/bin/x`" in caught.value.message


@pytest.mark.parametrize("other", [special("usr/bin/x", tarfile.DIRTYPE), link("usr/bin/x", "y")])
def test_collision_of_kinds(tmp_path: Path, make: Make, other: Entry) -> None:
    a, b = make("a", file("usr/bin/x", b"a")), make("b", other, file("usr/bin/z"))
    for packages in ((a, b), (b, a)):
        with pytest.raises(FarmError):
            grow(tmp_path / "farm", *packages)


def test_the_same_file_twice_is_fine(tmp_path: Path, make: Make) -> None:
    a = make("a", file("usr/share/doc/x", b"same"), link("usr/share/doc/l", "x"))
    b = make("b", file("usr/share/doc/x", b"same"), link("usr/share/doc/l", "x"))
    assert (grow(tmp_path / "farm", a, b) / "usr/share/doc/l").read_text() == "same"


def test_special_files(tmp_path: Path, make: Make) -> None:
    a = make("a", file("usr/bin/su", b"su", mode=0o4755), file("usr/bin/x86_64-linux-gnu-gcc-12", b"gcc", mode=0o755))
    plain, system = grow(tmp_path / "plain", a), grow(tmp_path / "system", a, wrappers="/run/wrappers/bin")
    assert os.readlink(plain / "usr/bin/su") == f"{a}/usr/bin/su"
    assert os.readlink(system / "usr/bin/su") == "/run/wrappers/bin/su"
    assert (system / package.SUPPORT / "setuid").read_text() == f"4755\troot\troot\tusr/bin/su\t{a}\n"
    # A copy, since it looks around where it really is.
    copied = plain / "usr/bin/x86_64-linux-gnu-gcc-12"
    assert copied.read_bytes() == b"gcc" and not copied.is_symlink() and os.access(copied, os.X_OK)


def test_a_systems_farm_says_how_many_links_it_has(make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    variables = {"format": farm.FORMAT, "packages": str(make("a", file("usr/bin/a"), file("usr/share/a/b")))}
    farm.build(variables, str(tmp_path / "shell"))
    assert capfd.readouterr().err == ""
    farm.build({**variables, "wrappers": "/run/wrappers/bin"}, str(tmp_path / "system"))
    found = sum(path.is_symlink() for path in (tmp_path / "system/usr").rglob("*")) + (tmp_path / "system/usr").is_symlink()
    assert capfd.readouterr().err == f"created {found} symlinks in user environment\n"


def test_links_of_a_system(tmp_path: Path, make: Make) -> None:
    a = make("a", file("usr/lib/a/x"))
    farm.make_farm([str(a)], str(tmp_path / "farm"), links={"usr/lib/modules": "/run/modules", "usr/local": "/srv/local"})
    assert links(tmp_path / "farm/usr") == {"lib/a": f"{a}/usr/lib/a", "lib/modules": "/run/modules", "local": "/srv/local"}
    with pytest.raises(FarmError, match="usr/lib/a"):
        farm.make_farm([str(a)], str(tmp_path / "other"), links={"usr/lib/a": "/run/a"})


def test_alternatives(tmp_path: Path, make: Make) -> None:
    script = (
        "update-alternatives --install /usr/bin/awk awk /usr/bin/{0} {1} --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/{0}.1.gz"
    )
    mawk = make("mawk", file("usr/bin/mawk"), file("usr/share/man/man1/mawk.1.gz"), postinst=script.format("mawk", 5))
    gawk = make("gawk", file("usr/bin/gawk"), postinst=script.format("gawk", 10))
    absent = make("absent", file("usr/bin/x"), postinst=script.format("absent", 99))
    one, both = links(grow(tmp_path / "one", mawk, absent)), links(grow(tmp_path / "both", mawk, gawk))
    assert one["usr/bin/awk"] == "/usr/bin/mawk" and one["etc/alternatives/awk"] == "/usr/bin/mawk"
    # Into a folder that would be one link otherwise.
    assert one["usr/share/man/man1/awk.1.gz"] == "/usr/share/man/man1/mawk.1.gz"
    assert both["usr/bin/awk"] == "/usr/bin/gawk" and "usr/share/man/man1/awk.1.gz" not in both
    # Nothing gets beside the trees that a farm consists of.
    hostile = "update-alternatives --install /nix-support/debian/packages x /usr/bin/mawk 1 --slave /../../tmp/y y /usr/bin/mawk"
    out = grow(tmp_path / "hostile", make("hostile", postinst=hostile), mawk)
    assert (out / package.SUPPORT / "packages").read_text().splitlines()[0].endswith("-hostile") and not (out / "tmp").exists()
    bash = make("bash", file("usr/bin/bash"))
    dash = make("dash", file("usr/bin/dash"), link("bin/sh", "dash"))
    assert links(grow(tmp_path / "bash", bash, mawk))["usr/bin/sh"] == "/usr/bin/bash"
    assert links(grow(tmp_path / "dash", bash, dash))["usr/bin/sh"] == "dash"


def test_scripts_are_read() -> None:
    script = """
        # update-alternatives --install /usr/bin/no no /usr/bin/no 1
        base=/usr/lib/tools
        all='one two'
        if update-alternatives --list x; then update-alternatives --remove x /y; fi
        for tool in $all; do
            update-alternatives --quiet --install /usr/bin/$tool \\
                $tool "$base/${tool}-1" 30 $slaves \\
                --slave /usr/share/man/$tool.1.gz $tool.1.gz $base/$tool.1.gz || true
        done
        update-alternatives --install /usr/bin/three three $unknown 3
        update-alternatives --install /usr/bin/four four /usr/bin/4 --5
        update-alternatives --install /usr/bin/five five `which five` 5
    """
    found = parse_script(script)
    assert [(offer["name"], offer["priority"], offer["links"]) for offer in found] == [
        (name, 30, [(f"/usr/bin/{name}", f"/usr/lib/tools/{name}-1"), (f"/usr/share/man/{name}.1.gz", f"/usr/lib/tools/{name}.1.gz")])
        for name in ("one", "two")
    ]
    doubling = "a=xxxxxxxx\n" + "a=$a$a$a$a\n" * 40 + "for i in $a; do\n" * 5 + "update-alternatives --install /$a $i /x 1"
    assert len(str(parse_script(doubling))) < 100_000


DIVERT = """
if [ install = "$1" ]; then
    dpkg-divert --add --package b --rename \\
        --divert /bin/x.bundled /bin/x
    dpkg-divert --package b --divert=/usr/share/x.other /usr/share/never
    for name in y z; do dpkg-divert --quiet --rename /usr/share/$name; done
    dpkg-divert --remove --package b --divert /usr/bin/w.other /usr/bin/w
    dpkg-divert --add --divert `which v`.other /usr/bin/v
fi
"""


def test_diversions() -> None:
    assert parse_diversions(DIVERT.replace("do dpkg", "do\ndpkg").replace("; done", "\ndone").replace(" in y z;", " in y z ;")) == [
        ("/bin/x", "/bin/x.bundled"),
        ("/usr/share/never", "/usr/share/x.other"),
        ("/usr/share/y", "/usr/share/y.distrib"),
        ("/usr/share/z", "/usr/share/z.distrib"),
    ]


@pytest.mark.parametrize("names", ["ab", "cb"])
def test_a_file_is_put_aside(tmp_path: Path, names: str) -> None:
    """Whichever package comes first; and what the diverting package has not itself stays."""
    other, diverts = names
    one = build(tmp_path / other, make_deb([file("usr/bin/x", b"theirs"), file("usr/share/never", b"theirs")], name=other))
    two = build(tmp_path / diverts, make_deb([file("usr/bin/x", b"own")], name=diverts, scripts={"preinst": DIVERT}))
    assert (two / package.SUPPORT / "diverted").read_text() == "usr/bin/x\tusr/bin/x.bundled\n"
    out = grow(tmp_path / "farm", one, two)
    assert {name: (out / f"usr/bin/{name}").read_text() for name in os.listdir(out / "usr/bin")} == {"x": "own", "x.bundled": "theirs"}
    assert (out / "usr/share/never").read_text() == "theirs"
    third = build(tmp_path / "third", make_deb([file("usr/bin/x", b"too many")], name="third"))
    with pytest.raises(FarmError):
        grow(tmp_path / "none", one, two, third)


def test_etc(tmp_path: Path, make: Make) -> None:
    certificates = make(
        "ca-certificates",
        *(file(f"usr/share/ca-certificates/mozilla/{name}.crt", text) for name, text in (("B", b"second\n"), ("A", b"first"))),
        special("etc/ssl/certs", tarfile.DIRTYPE),
    )
    base = make(
        "base-passwd",
        file("usr/share/base-passwd/passwd.master", b"root:*:0:0::/root:/bin/bash\n"),
        file("usr/share/base-files/nsswitch.conf", b"passwd: files\n"),
        file("etc/issue", b"Debian"),
    )
    out = grow(tmp_path / "farm", certificates, base)
    assert (out / "etc/ssl/certs/ca-certificates.crt").read_text() == "first\nsecond\n"
    assert (out / "etc/ssl/cert.pem").read_text() == "first\nsecond\n"
    assert os.readlink(out / "usr/lib/ssl/certs") == "/etc/ssl/certs"
    assert (out / "etc/passwd").read_text().startswith("root:") and (out / "etc/nsswitch.conf").read_text() == "passwd: files\n"
    assert (out / "etc/issue").read_text() == "Debian"


def test_not_a_package(tmp_path: Path, make: Make) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(PackageError) as caught:
        grow(tmp_path / "farm", make("a"), tmp_path / "other")
    assert caught.value.code == "invalid-package" and f"{tmp_path}/other" in caught.value.message
    with pytest.raises(PackageError):
        farm.build({"format": "0"}, str(tmp_path / "farm"))
    farm.build({"format": farm.FORMAT, "packages": str(make("b", file("usr/bin/b")))}, str(tmp_path / "farm"))
    assert (tmp_path / "farm/bin/b").exists()
