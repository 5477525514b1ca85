"""From .debs to packages: what is unpacked, what is refused, and where programs find their libraries."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debian_debs import COMPRESSIONS, SYSTEM, Entry, build, file, link, make_ar, make_deb, make_tar, special
from nivalis._native import hash_nar, read_elf
from nivalis.debian import package
from nivalis.debian.errors import DebError, PackageError
from nivalis.errors import NivalisError

LIBRARIES = "usr/lib/x86_64-linux-gnu"


def tree(place: Path) -> dict[str, str]:
    """Every file's text, link's target (`-> x`), and empty folder."""
    found = {}
    for parent, folders, files in os.walk(place):
        for name in (*folders, *files):
            path = Path(parent, name)
            shown = str(path.relative_to(place))
            if path.is_symlink():
                found[shown] = f"-> {os.readlink(path)}"
            elif path.is_file():
                found[shown] = path.read_text()
            elif not any(path.iterdir()):
                found[shown] = "/"
    return found


def record(out: Path, name: str) -> list[str]:
    path = out / package.SUPPORT / name
    return path.read_text().splitlines() if path.exists() else []


# ---------------------------------------------------------------------------------------------------- unpacking


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_gives_the_same(tmp_path: Path, compression: str) -> None:
    entries = [special("./usr", tarfile.DIRTYPE), file("./usr/bin/a", b"#!/bin/sh\n" * 100_000, mode=0o755), file("./etc/a.conf", b"x")]
    plain, packed = build(tmp_path / "plain", make_deb(entries)), build(tmp_path / "packed", make_deb(entries, compression=compression))
    assert hash_nar(plain) == hash_nar(packed)
    assert os.access(packed / "bin/a", os.X_OK) and not os.access(packed / "etc/a.conf", os.X_OK)


def test_usr_is_merged_and_links_follow(tmp_path: Path) -> None:
    entries = [
        special("./bin", tarfile.DIRTYPE),
        file("./bin/tool", b"tool", mode=0o755),
        link("./usr/bin/tool", "/bin/tool"),
        link("./lib/x/data", "../../usr/share/x/data"),
        link("./lib64/ld.so", "/lib/x/ld.so"),
        file("./lib/x/ld.so", b"ld"),
        file("./usr/share/x/data", b"data"),
        link("./usr/share/x/same", "data"),
        link("./usr/share/x/tool", "../../../bin/tool"),
        link("./usr/bin/other", "/etc/alternatives/other"),
        link("./etc/x.conf", "/var/lib/x.conf"),
        link("./usr/high", "../../../../etc/x.conf"),
        special("./var/lib/x", tarfile.DIRTYPE),
        link("./lib32", "usr/lib32"),
    ]
    found = tree(build(tmp_path / "out", make_deb(entries)))
    assert {name: text for name, text in found.items() if not name.startswith("nix-support")} == {
        "bin": "-> usr/bin",
        "lib": "-> usr/lib",
        "share": "-> usr/share",
        "usr/bin/tool": "tool",
        "usr/bin/other": "-> /etc/alternatives/other",
        "usr/lib/x/data": "-> ../../share/x/data",
        "usr/lib/x/ld.so": "ld",
        "usr/lib64/ld.so": "-> ../lib/x/ld.so",
        "usr/share/x/data": "data",
        "usr/share/x/same": "-> data",
        "usr/share/x/tool": "-> ../../bin/tool",
        "usr/high": "-> ../etc/x.conf",
        "etc/x.conf": "-> /var/lib/x.conf",
        "var/lib/x": "/",
    }


def test_records(tmp_path: Path) -> None:
    entries = [
        file("./usr/bin/su", b"su", mode=0o4755),
        file("./usr/bin/wall", b"wall", mode=0o2755, group="tty"),
        file("./usr/lib/deep/er/x", b"x"),
        link("./usr/lib/deep/er/out", "../../other/y"),
        link("./usr/lib/deep/in", "er/x"),
        special("./usr/lib/deep/hard", tarfile.LNKTYPE, "./usr/lib/deep/er/x"),
        file("./usr/bin/x86_64-linux-gnu-gcc-12", b"gcc", mode=0o755),
    ]
    other = build(tmp_path / "other", make_deb([], name="other"))
    scripts = {"postinst": "#!/bin/sh\nupdate-alternatives --install /usr/bin/x x /usr/bin/y 5\n"}
    out = build(tmp_path / "out", make_deb(entries, scripts=scripts), make_deb([file("./usr/b", b"b")], name="y"), depends=[other, other])
    assert record(out, "setuid") == ["2755\troot\ttty\tusr/bin/wall", "4755\troot\troot\tusr/bin/su"]
    assert record(out, "depends") == [str(other)]
    assert record(out, "unfolded") == ["usr", "usr/bin", "usr/lib/deep", "usr/lib/deep/er"]
    assert record(out, "copied") == ["usr/bin/x86_64-linux-gnu-gcc-12"]
    assert record(out, "control") == ["Package: x", "Version: 1", "", "Package: y", "Version: 1"]
    assert "/usr/bin/y" in "".join(record(out, "alternatives.json"))
    assert (out / "usr/lib/deep/hard").read_text() == "x" and (out / "usr/b").read_text() == "b"
    assert (out / "usr/bin/su").stat().st_mode & 0o7777 == 0o755
    assert package.closure([str(out)]) == [str(out), str(other)]


def test_long_names(tmp_path: Path) -> None:
    long = "/".join(["a" * 60] * 5)
    for format in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        name = long if format == tarfile.GNU_FORMAT else "b" * 90 + "/" + "c" * 90
        entries = [file(name, b"x"), file("usr/z", b"z")]
        if format == tarfile.GNU_FORMAT:
            entries.append(link("usr/l", long))
        out = build(tmp_path / str(format), make_deb([], data=make_tar(entries, format)))
        assert (out / name).read_text() == "x" and (out / "usr/z").read_text() == "z"
        assert format == tarfile.USTAR_FORMAT or os.readlink(out / "usr/l") == long


def test_a_long_name_whose_beginning_ends_with_a_slash(tmp_path: Path) -> None:
    """Of a long name a header has the first hundred bytes, and a slash at their end makes no folder."""
    name = "usr/" + "a" * 95 + "/file"
    assert name[99] == "/"
    out = build(tmp_path / "out", make_deb([file(name, b"x" * 1000), file("usr/z", b"z")]))
    assert (out / name).read_bytes() == b"x" * 1000 and (out / "usr/z").read_text() == "z"


# ---------------------------------------------------------------------------------------------------- what is refused


def _damaged_checksum() -> bytes:
    data = bytearray(make_tar([file("a", b"x")]))
    data[0] ^= 1
    return bytes(data)


def _huge() -> bytes:
    info = tarfile.TarInfo("a")
    info.size = 1 << 40
    return info.tobuf(tarfile.GNU_FORMAT)


def _of(*entries: Entry) -> bytes:
    return make_deb(entries)


HOSTILE = {
    "climbs": (_of(file("../a")), "deb-escapes"),
    "climbs within": (_of(file("./usr/../../a")), "deb-escapes"),
    "absolute": (_of(file("/etc/passwd")), "deb-escapes"),
    "through a link": (_of(link("usr/a", "/tmp"), file("usr/a/b", b"x")), "deb-escapes"),
    "through a file": (_of(file("usr/a"), file("usr/a/b", b"x")), "deb-escapes"),
    "through a merged link": (_of(link("lib/a", "/tmp"), file("usr/lib/a/b", b"x")), "deb-escapes"),
    "a line in a name": (_of(file("usr/a\nb")), "deb-escapes"),
    "hard link out": (_of(special("usr/a", tarfile.LNKTYPE, "../../etc/passwd")), "deb-escapes"),
    "hard link to nothing": (_of(special("usr/a", tarfile.LNKTYPE, "usr/b")), "invalid-deb"),
    "too deep": (_of(file("a/" * 200 + "b")), "deb-escapes"),
    "too long": (_of(file("a" * 300)), "deb-escapes"),
    "a line in an owner": (_of(file("usr/a", mode=0o4755, owner="a\nb")), "invalid-deb"),
    "device": (_of(special("dev/null", tarfile.CHRTYPE)), "deb-device"),
    "block device": (_of(special("dev/sda", tarfile.BLKTYPE)), "deb-device"),
    "pipe": (_of(special("run/x", tarfile.FIFOTYPE)), "deb-device"),
    "twice": (_of(file("usr/a"), file("usr/a")), "deb-duplicate"),
    "twice once merged": (_of(file("bin/a"), file("usr/bin/a")), "deb-duplicate"),
    "folder and file": (_of(special("usr/a", tarfile.DIRTYPE), file("usr/a")), "deb-duplicate"),
    "our own folder": (_of(file("nix-support/debian/depends", b"/nix/store/x\n")), "deb-reserved"),
    "the top is a link": (_of(link(".", "/tmp")), "deb-reserved"),
    "lib is a link": (_of(link("lib", "/tmp")), "deb-reserved"),
    "link to nowhere": (_of(link("usr/a", "")), "invalid-deb"),
    "larger than any": (make_deb([], data=_huge()), "deb-too-large"),
    "wrong checksum": (make_deb([], data=_damaged_checksum()), "invalid-deb"),
    "pax": (make_deb([], data=make_tar([file("a" * 300)], tarfile.PAX_FORMAT)), "invalid-deb"),
    "ends early": (make_deb([], data=make_tar([file("a", b"x" * 5000)])[:2048]), "invalid-deb"),
    "xz is damaged": (make_deb([file("a")], compression=".xz").replace(b"\xfd7zXZ", b"\xfd7zXY"), "invalid-deb"),
    "gzip is damaged": (make_deb([file("a")], compression=".gz").replace(b"\x1f\x8b", b"\x1f\x8c"), "invalid-deb"),
    "zstd is damaged": (make_deb([file("a")], compression=".zst").replace(b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfe"), "invalid-deb"),
    "no ar": (b"<html>", "invalid-deb"),
    "no deb": (make_ar({"x": b"y"}), "invalid-deb"),
    "no data": (make_ar({"debian-binary": b"2.0\n", "control.tar": make_tar([])}), "invalid-deb"),
    "unknown compression": (make_ar({"debian-binary": b"2.0\n", "control.tar.lz": b""}), "invalid-deb"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile(tmp_path: Path, what: str) -> None:
    deb, code = HOSTILE[what]
    (tmp_path / "inside").mkdir()
    with pytest.raises(DebError) as caught:
        build(tmp_path / "inside/out", deb)
    assert caught.value.code == code
    assert {path.name for path in tmp_path.iterdir()} == {"inside"}
    assert {path.name for path in (tmp_path / "inside").iterdir()} <= {"out", "out-0.deb"}


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=8), st.integers(0, 5000), st.booleans())
def test_damage_is_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], size: int, cut: bool) -> None:
    deb = bytearray(make_deb([file("usr/a", b"a" * 100, mode=0o755), link("usr/b", "a"), special("usr/c", tarfile.DIRTYPE)]))
    for at, value in changes:
        deb[at % len(deb)] = value
    place = tmp_path_factory.mktemp("deb")
    try:
        build(place / "out", bytes(deb[:size] if cut else deb))
    except NivalisError:
        pass
    finally:
        assert {path.name for path in place.iterdir()} <= {"out", "out-0.deb"}
        shutil.rmtree(place)


def test_not_a_package(tmp_path: Path) -> None:
    with pytest.raises(PackageError) as caught:
        build(tmp_path / "out", make_deb([]), depends=[tmp_path])
    assert caught.value.code == "invalid-package"
    for words in ({"format": "0", "system": SYSTEM}, {"format": package.FORMAT, "system": "sparc-linux"}):
        with pytest.raises(PackageError):
            package.build(words, str(tmp_path / "none"))


# ---------------------------------------------------------------------------------------------------- programs


@pytest.fixture(scope="module")
def c_library() -> list[Entry]:
    """This machine's C library, as a package has it."""
    names = ["ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6"]
    places = [Path("/", LIBRARIES, name) for name in names]
    if not all(place.exists() for place in places):
        pytest.skip("this machine's libraries lie elsewhere")
    entries = [file(f"./lib/x86_64-linux-gnu/{place.name}", place.read_bytes(), mode=0o755) for place in places]
    return [*entries, link("./lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")]


def compile_c(place: Path, text: str, *options: str) -> bytes:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    place.with_suffix(".c").write_text(text)
    subprocess.run([compiler, "-o", place, place.with_suffix(".c"), *options], check=True)
    return place.read_bytes()


def loaded(program: Path) -> str:
    """What the loader would load."""
    answer = subprocess.run([program], env={"LD_TRACE_LOADED_OBJECTS": "1"}, capture_output=True, text=True, check=True)
    return answer.stdout


def test_programs_find_their_libraries(tmp_path: Path, c_library: list[Entry], capfd: pytest.CaptureFixture[str]) -> None:
    value = compile_c(
        tmp_path / "libvalue.so.1.2", "__thread int v = 41; int value(void) { return ++v; }", "-shared", "-fPIC", "-Wl,-soname,libvalue.so.1"
    )
    private = compile_c(tmp_path / "libprivate.so", "int private(void) { return 1; }", "-shared", "-fPIC", "-Wl,-soname,libprivate.so")
    os.symlink("libvalue.so.1.2", tmp_path / "libvalue.so.1")
    text = "int value(void); int private(void); int main() { return value() + private() - 43; }"
    options = [str(tmp_path / "libvalue.so.1"), str(tmp_path / "libprivate.so"), "-Wl,--disable-new-dtags,-rpath,/usr/lib/private:$ORIGIN/../x"]
    program = compile_c(tmp_path / "program", text, *options)
    static = compile_c(tmp_path / "static", "int main() { return 0; }", "-static-pie")

    libc = build(tmp_path / "libc6", make_deb(c_library))
    library = build(
        tmp_path / "libvalue",
        make_deb([file(f"./{LIBRARIES}/libvalue.so.1.2", value), link(f"./{LIBRARIES}/libvalue.so.1", "libvalue.so.1.2")]),
        depends=[libc],
    )
    entries = [
        file("./usr/bin/program", program, mode=0o755),
        file("./usr/bin/static", static, mode=0o755),
        file("./usr/lib/private/libprivate.so", private),
        file("./usr/lib/broken.so", b"\x7fELF\2\1\1" + bytes(20)),
        file("./usr/lib/narrow.so", b"\x7fELF\1\1\1" + bytes(50)),
    ]
    out = build(tmp_path / "program-1", make_deb(entries), depends=[library])

    assert subprocess.run([out / "bin/program"], check=False).returncode == 0
    assert subprocess.run([out / "bin/static"], check=False).returncode == 0
    elf = read_elf(out / "bin/program")
    assert elf is not None
    assert elf[1] == f"{libc}/{LIBRARIES}/ld-linux-x86-64.so.2"
    assert elf[4] is not None and elf[4].split(":") == [
        f"{library}/{LIBRARIES}",
        f"{out}/usr/lib/private",
        f"{libc}/{LIBRARIES}",
        "$ORIGIN/../x",
    ]
    shown = loaded(out / "bin/program")
    assert f"=> {library}/" in shown and f"=> {libc}/{LIBRARIES}/libc.so.6" in shown
    assert record(library, "libraries") == [f"libvalue.so.1\t{LIBRARIES}", f"libvalue.so.1.2\t{LIBRARIES}"]
    assert (out / "usr/bin/static").read_bytes() == static
    said = capfd.readouterr().err
    assert "`usr/lib/broken.so`" in said and "`usr/lib/narrow.so`" in said and "libgcc_s.so.1" in said


def test_c_library_keeps_its_loader_and_finds_libgcc(tmp_path: Path, c_library: list[Entry]) -> None:
    unwinder = next(iter(Path("/", LIBRARIES).glob("libgcc_s.so.1")), None)
    if unwinder is None:
        pytest.skip("no libgcc_s.so.1 here")
    out = build(tmp_path / "libc6", make_deb(c_library), make_deb([file(f"./lib/x86_64-linux-gnu/{unwinder.name}", unwinder.read_bytes())], name="y"))
    library = read_elf(out / LIBRARIES / "libc.so.6")
    assert library is not None and library[1] == "/lib64/ld-linux-x86-64.so.2" and library[4] == f"{out}/{LIBRARIES}"
    assert (out / LIBRARIES / "ld-linux-x86-64.so.2").read_bytes() == Path("/", LIBRARIES, "ld-linux-x86-64.so.2").read_bytes()
    # The C library opens libgcc_s by itself, which a program's RUNPATH has no part in.
    text = """
        #include <pthread.h>
        #include <unistd.h>
        static void *wait(void *x) { for (;;) pause(); }
        int main() { pthread_t t; void *r; pthread_create(&t, 0, wait, 0); pthread_cancel(t); pthread_join(t, &r); return r != PTHREAD_CANCELED; }
    """
    program = compile_c(tmp_path / "cancel", text, "-pthread")
    place = build(tmp_path / "cancel-1", make_deb([file("./usr/bin/cancel", program, mode=0o755)]), depends=[out])
    trace = subprocess.run([place / "bin/cancel"], env={"LD_DEBUG": "files"}, capture_output=True, text=True, check=False)
    assert trace.returncode == 0, trace.stderr
    assert f"{out}/{LIBRARIES}/libgcc_s.so.1" in trace.stderr
