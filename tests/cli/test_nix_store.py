"""`nix-store` beside CppNix's on one store: the same bytes on stdout, and what one writes the other reads."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from nivalis import _native
from nivalis.cli.arguments import read_arguments
from nivalis.cli.nix_store import nix_store
from nivalis.cli.store_options import StoreOptions
from nivalis.errors import InvalidPathError, NarError, NivalisError, StoreContentError
from nivalis.store import Store, StoreLayout
from nivalis.store.dump import restore_path
from nivalis.store.exports import import_paths
from nivalis.store.gc import PathInUseError
from nivalis.store.logs import LogMissingError
from nivalis.store.metadata import make_canonical, remove_tree
from oracle import Oracle, cppnix28

Command = Callable[..., str]

# A graph with several outputs, a fixed one, variables to quote, and names that sort apart from their hashes.
EXPRESSION = """
let
  text = builtins.toFile "text" "hello";
  lib = derivation {
    name = "lib-1.0"; system = builtins.currentSystem; builder = "/bin/sh"; outputs = [ "out" "dev" ];
    args = [ "-c" "echo ${text} > $out; echo $out $dev > $dev" ]; PATH = "/usr/bin:/bin"; quoted = "it's"; lines = "a\\nb"; empty = "";
  };
  tool = derivation { name = "tool"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo ${lib} > $out" ]; inherit text; };
in derivation {
  name = "top"; system = builtins.currentSystem; builder = "/bin/sh";
  args = [ "-c" "mkdir $out; echo ${tool} ${lib.dev} > $out/x; echo $out > $out/self" ];
  PATH = "/usr/bin:/bin";
}
"""


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    found, reason = cppnix28()
    if found is None:
        pytest.skip(reason)
    return found


def _our_command(root: Path) -> Command:
    """Our `nix-store` in this process; its stdout."""

    def run(*words: str, status: int = 0) -> str:
        out = io.TextIOWrapper(io.BytesIO(), write_through=True)
        before = os.environ.get("NIX_REMOTE")
        os.environ["NIX_REMOTE"] = f"local?root={root}"
        try:
            with redirect_stdout(out), redirect_stderr(io.TextIOWrapper(io.BytesIO())):
                assert nix_store(words) == status
        finally:
            if before is None:
                del os.environ["NIX_REMOTE"]
            else:
                os.environ["NIX_REMOTE"] = before
        data = out.buffer
        assert isinstance(data, io.BytesIO)
        return data.getvalue().decode(errors="surrogateescape")

    return run


def _piped(root: Path, *words: str, stdin: bytes = b"", program: str = "nix_store", **options: object) -> subprocess.CompletedProcess[bytes]:
    """Our command in a process of its own."""
    code = f"from nivalis.cli.{program} import main; main()"
    environment = {**os.environ, "NIX_REMOTE": f"local?root={root}"}
    return subprocess.run([sys.executable, "-c", code, *words], input=stdin, capture_output=True, check=False, env=environment, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def built(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with the graph, instantiated by CppNix; its outputs made by hand and registered with it; the top's derivation."""
    root = tmp_path_factory.mktemp("b") / "r"
    drv = oracle.run("nix-instantiate", ["-E", EXPRESSION], store=root).stdout.strip()
    _pretend_built(oracle, root, drv)
    return root, drv


def _pretend_built(oracle: Oracle, root: Path, drv: str) -> None:
    layout = StoreLayout.under(root)
    with Store.open(layout) as store:
        text = ""
        for path in sorted(store.database.closure([drv])):
            if not path.endswith(".drv"):
                continue
            outputs = store.database.outputs(path)
            for output in outputs.values():
                place = Path(store.real_path(output))
                if output.endswith("-top"):
                    place.mkdir()
                    (place / "self").write_text(output)
                else:
                    place.write_text(output)
            for name, output in sorted(outputs.items()):
                references = [output, *(outputs[other] for other in outputs if name == "dev" and other == "out")]
                if output.endswith("-top"):
                    references += [path for drv_path in store.path_info(path).references for path in store.database.outputs(drv_path).values()]
                references = sorted(set(references))
                make_canonical(store.real_path(output))
                nar_hash, size = _native.hash_nar(store.real_path(output))
                text += "\n".join([output, nar_hash.format("base16"), str(size), path, str(len(references)), *references]) + "\n"
    result = oracle.run("nix-store", ["--load-db"], store=root, stdin=text)
    assert result.status == 0, result.stderr
    top = oracle.run("nix-store", ["-q", "--outputs", drv], store=root).stdout.strip()
    (root / "result").symlink_to(top)
    roots = root / "nix/var/nix/gcroots/test"
    roots.symlink_to(top)


QUERIES = [
    "--references",
    "--referrers",
    "--requisites",
    "--requisites --include-outputs",
    "--referrers-closure",
    "--deriver",
    "--valid-derivers",
    "--hash",
    "--size",
    "--tree",
    "--graph",
    "--graphml",
    "--resolve",
    "--outputs",
    "-R -u",
    "--references -u",
    "--graph -u",
    "--binding name",
    "",
]


@pytest.mark.parametrize("flags", QUERIES)
def test_query(built: tuple[Path, str], oracle: Oracle, flags: str) -> None:
    root, drv = built
    ours = _our_command(root)
    everything = oracle.run("nix-store", ["-qR", "--include-outputs", drv], store=root).stdout.split()
    assert len(everything) > 6
    for paths in ([drv], everything):
        words = ["-q", *flags.split(), *paths]
        theirs = oracle.run("nix-store", words, store=root)
        if theirs.status == 0:
            assert ours(*words) == theirs.stdout, (flags, paths)
        elif "unknown flag" not in theirs.stderr:
            with pytest.raises(NivalisError):
                ours(*words)


def test_valid_derivers(built: tuple[Path, str]) -> None:
    # Newer than CppNix 2.8.
    root, drv = built
    ours = _our_command(root)
    assert ours("-q", "--valid-derivers", ours("-q", drv).strip()) == f"{drv}\n"


def test_roots(built: tuple[Path, str], oracle: Oracle) -> None:
    root, drv = built
    ours = _our_command(root)
    top = ours("-q", drv).strip()
    for words in (["--gc", "--print-roots"], ["-q", "--roots", drv], ["-q", "--roots", top]):
        lines = ours(*words).splitlines()
        assert [line for line in lines if "/proc/" not in line]
        theirs = oracle.run("nix-store", words, store=root).stdout.splitlines()
        assert sorted(line for line in lines if "/proc/" not in line) == sorted(line for line in theirs if "/proc/" not in line)


@pytest.mark.parametrize("flag", ["--print-live", "--print-dead"])
@pytest.mark.parametrize("settings", [[], ["--option", "keep-outputs", "true"], ["--option", "keep-derivations", "false"]])
def test_live_and_dead(built: tuple[Path, str], oracle: Oracle, flag: str, settings: list[str]) -> None:
    root, drv = built
    ours = _our_command(root)
    oracle.run("nix-store", ["--add", __file__], store=root)
    words = ["--gc", flag, *settings]
    answer = ours(*words)
    assert answer == oracle.run("nix-store", words, store=root).stdout
    assert bool(answer)
    assert (drv in answer.split()) == ((flag == "--print-live") == ("keep-derivations" not in settings))


def test_dump_db_and_back(built: tuple[Path, str], oracle: Oracle, tmp_path: Path) -> None:
    root, drv = built
    ours = _our_command(root)
    dump = ours("--dump-db")
    assert dump == oracle.run("nix-store", ["--dump-db"], store=root).stdout
    assert ours("--dump-db", drv) == oracle.run("nix-store", ["--dump-db", drv], store=root).stdout
    # Both read it, and say the same of it then; outputs of derivations are only known where the files are.
    other = tmp_path / "r"
    assert _piped(other, "--load-db", stdin=dump.encode()).returncode == 0
    assert oracle.run("nix-store", ["--dump-db"], store=other).stdout == dump
    bad = _piped(tmp_path / "x", "--load-db", stdin=dump[: len(dump) // 2].encode())
    assert bad.returncode == 1 and b"input ends" in bad.stderr


def test_register_validity(oracle: Oracle, tmp_path: Path) -> None:
    # CppNix 2.8 itself looks in the wrong place for the files of a store under another root.
    root = tmp_path / "r"
    with Store.open(StoreLayout.under(root)) as store:
        path = store.add_text("x", b"x")
        other = path.replace("-x", "-y")
        place = Path(store.real_path(other))
    place.mkdir(mode=0o700)
    (place / "f").write_text("f")
    assert _piped(root, "--register-validity", stdin=f"{other}\n\n1\n{path}\n".encode()).returncode == 0
    assert stat.S_IMODE(place.stat().st_mode) == 0o555 and (place / "f").stat().st_mtime == 1
    assert oracle.run("nix-store", ["--verify", "--check-contents"], store=root).stderr.count("modified") == 0
    assert oracle.run("nix-store", ["-q", "--references", other], store=root).stdout == f"{path}\n"


def test_print_env(built: tuple[Path, str], oracle: Oracle) -> None:
    root, drv = built
    ours = _our_command(root)
    for path in ours("-qR", drv).split():
        if path.endswith(".drv"):
            assert ours("--print-env", path) == oracle.run("nix-store", ["--print-env", path], store=root).stdout


def test_add(oracle: Oracle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello\n")
    (tmp_path / "folder/sub").mkdir(parents=True)
    (tmp_path / "folder/run").write_text("#!/bin/sh\n")
    (tmp_path / "folder/run").chmod(0o755)
    (tmp_path / "folder/sub/link").symlink_to("../run")
    names = [str(tmp_path / name) for name in ("file", "folder")]
    ours = _our_command(tmp_path / "a")
    digest = "2jmj7l5rSw0yVb/vlWAYkK/YBwk="
    for words in (
        ["--add", *names],
        ["--add-fixed", "sha256", names[0]],
        ["--add-fixed", "md5", names[0]],
        ["--add-fixed", "--recursive", "sha256", *names],
        ["--add-fixed", "--recursive", "sha512", *names],
        ["--print-fixed-path", "sha1", digest, "x"],
        ["--print-fixed-path", "--recursive", "sha256", "0" * 64, "x"],
    ):
        assert ours(*words) == oracle.run("nix-store", words, store=tmp_path / "b").stdout
    assert ours("--dump-db") == oracle.run("nix-store", ["--dump-db"], store=tmp_path / "b").stdout
    assert oracle.run("nix-store", ["--verify", "--check-contents"], store=tmp_path / "a").status == 0


def test_dump_and_restore(oracle: Oracle, tmp_path: Path) -> None:
    top = tmp_path / "t"
    (top / "a/empty").mkdir(parents=True)
    (top / "(").write_text(")")
    (top / "name").symlink_to("contents")
    (top / "a/run").write_bytes(bytes(300_000))
    (top / "a/run").chmod(0o711)
    archive = _piped(tmp_path, "--dump", str(top)).stdout
    (tmp_path / "nar").write_bytes(archive)
    theirs = subprocess.run([*oracle.command("nix-store"), "--dump", str(top)], env={**os.environ, **oracle.env}, capture_output=True, check=True)
    assert archive == theirs.stdout
    assert _piped(tmp_path, "--restore", str(tmp_path / "ours"), stdin=archive).returncode == 0
    subprocess.run([*oracle.command("nix-store"), "--restore", str(tmp_path / "theirs")], input=archive, env={**os.environ, **oracle.env}, check=True)
    for name in ("ours", "theirs"):
        assert (tmp_path / name / "name").readlink() == Path("contents")
    for file in ("a", "a/run", "a/empty", "("):
        assert (tmp_path / "ours" / file).stat().st_mode == (tmp_path / "theirs" / file).stat().st_mode


def test_restore_refuses_what_could_hurt(tmp_path: Path) -> None:
    def words(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(8, "little") + part + bytes(-len(part) % 8) for part in parts)

    def entry(name: bytes, *node: bytes) -> tuple[bytes, ...]:
        return (b"entry", b"(", b"name", name, b"node", b"(", *node, b")", b")")

    head = (b"nix-archive-1", b"(", b"type", b"directory")
    evil = (b"type", b"regular", b"contents", b"evil")
    hostile = [
        words(*head, *entry(b"..", *evil), b")"),
        words(*head, *entry(b"a/../../x", *evil), b")"),
        words(*head, *entry(b"/tmp/x", *evil), b")"),
        words(*head, *entry(b"", *evil), b")"),
        words(*head, *entry(b"a\0b", *evil), b")"),
        # A file below a symlink that the same archive makes.
        words(*head, *entry(b"a", b"type", b"symlink", b"target", b"/tmp"), *entry(b"a", b"type", b"directory", *entry(b"x", *evil)), b")"),
        words(*head, *entry(b"a", b"type", b"device", b"major", b"1"), b")"),
        words(b"nix-archive-1", *(b"(", b"type", b"directory", b"entry", b"(", b"name", b"d", b"node") * 100_000),
        words(*head, *entry(b"a", b"type", b"regular", b"contents")[:-2]) + (1 << 62).to_bytes(8, "little"),
        words(*head, *entry(b"a", *evil)),
        b"",
        b"\xff" * 64,
    ]
    layout = StoreLayout.under(tmp_path / "r")
    for number, archive in enumerate(hostile):
        target = tmp_path / f"h{number}"
        with pytest.raises(NarError):
            restore_path(str(target), io.BytesIO(archive))
        # What it made before it failed stays, and may be too deep for others to remove.
        remove_tree(str(target))
        with Store.open(layout) as store, pytest.raises(NarError):
            list(import_paths(store, io.BytesIO(b"\1" + bytes(7) + archive)))
        assert [name for name in os.listdir(layout.real_store_dir) if name != ".links"] == []
    assert not (tmp_path / "x").exists()
    # A target that exists is not touched.
    (tmp_path / "there").symlink_to("/tmp")
    with pytest.raises((OSError, NarError)):
        restore_path(str(tmp_path / "there"), io.BytesIO(words(*head, *entry(b"x", *evil), b")")))


def test_export_and_import(built: tuple[Path, str], oracle: Oracle, tmp_path: Path) -> None:
    root, drv = built
    ours = _our_command(root)
    closure = ours("-qR", "--include-outputs", drv).split()
    stream = _piped(root, "--export", *closure).stdout
    environment = {**os.environ, **oracle.env, "NIX_REMOTE": f"local?root={root}"}
    theirs = subprocess.run([*oracle.command("nix-store"), "--export", *closure], env=environment, capture_output=True, check=True).stdout
    assert stream == theirs
    imported = _piped(tmp_path / "a", "--import", stdin=stream)
    assert imported.returncode == 0, imported.stderr
    environment["NIX_REMOTE"] = f"local?root={tmp_path / 'b'}"
    answer = subprocess.run([*oracle.command("nix-store"), "--import"], env=environment, input=stream, capture_output=True, check=True).stdout
    assert imported.stdout == answer
    dumps = [oracle.run("nix-store", ["--dump-db"], store=tmp_path / name).stdout for name in "ab"]
    assert dumps[0] == dumps[1] and len(dumps[0].splitlines()) > len(closure)
    assert oracle.run("nix-store", ["--verify", "--check-contents"], store=tmp_path / "a").status == 0
    assert oracle.run("nix-store", ["-q", "--outputs", drv], store=tmp_path / "a").stdout == ours("-q", drv)
    # Cut short anywhere, only what came whole is there.
    for cut in range(1, len(stream), len(stream) // 7):
        place = tmp_path / f"cut{cut}"
        failed = _piped(place, "--import", stdin=stream[:cut])
        assert failed.returncode == 1 and b"error[invalid-nar]" in failed.stderr and not failed.stdout
        assert oracle.run("nix-store", ["--verify", "--check-contents"], store=place).status == 0
        assert [name for name in os.listdir(place / "nix/store") if name.endswith("-import")] == []
    missing = _piped(tmp_path / "m", "--import", stdin=_piped(root, "--export", drv).stdout)
    assert missing.returncode == 1 and b"reference is not valid" in missing.stderr


def test_read_log(oracle: Oracle, tmp_path: Path) -> None:
    import bz2
    import lzma

    ours = _our_command(tmp_path)
    drv = "/nix/store/0kra0nw2571c0qkxpxxbx7bpwis722g7-y.drv"
    folder = tmp_path / "nix/var/log/nix/drvs/0k"
    folder.mkdir(parents=True)
    file = folder / "ra0nw2571c0qkxpxxbx7bpwis722g7-y.drv"
    with pytest.raises(LogMissingError):
        ours("-l", drv)
    zst = file.with_name(file.name + ".zst")
    # What `zstd` makes of "zst\n".
    zst.write_bytes(bytes.fromhex("28b52ffd0458210000 7a73740a c16ed770"))
    assert ours("--read-log", drv) == "zst\n"
    zst.write_bytes(b"no such thing")
    with pytest.raises(StoreContentError, match="log is damaged"):
        ours("--read-log", drv)
    file.with_name(file.name + ".xz").write_bytes(lzma.compress(b"xz\n"))
    assert ours("--read-log", drv) == "xz\n"
    bz2_file = file.with_name(file.name + ".bz2")
    # Its writer was killed: the last block, of those of 900 kB, is missing.
    bz2_file.write_bytes(bz2.compress(b"line of a log\n" * 200_000)[:-50])
    assert len(ours("--read-log", drv)) >= 1_800_000
    file.with_name(file.name + ".bz2").write_bytes(bz2.compress(b"bz2 \xff\n"))
    assert ours("--read-log", drv).encode(errors="surrogateescape") == b"bz2 \xff\n"
    file.write_text("plain\n")
    assert ours("--read-log", drv) == oracle.run("nix-store", ["-l", drv], store=tmp_path).stdout == "plain\n"


def test_delete(oracle: Oracle, tmp_path: Path) -> None:
    counted = []
    for name, run in (("a", _our_command(tmp_path / "a")), ("b", None)):
        root = tmp_path / name

        def nix(*words: str, root: Path = root, run: Command | None = run) -> str:
            return run(*words) if run is not None else oracle.run("nix-store", words, store=root).stdout

        with Store.open(StoreLayout.under(root)) as store:
            leaf = store.add_bytes("leaf", b"x" * 100_000)
            middle = store.add_text("middle", b"m", [leaf])
            top = store.add_text("top", b"t", [middle])
            kept = store.add_text("kept", b"k")
            store.add_root(root / "result", kept)
        (root / "nix/store/junk").mkdir()
        answers = [nix("--delete", top), nix("--delete", middle, leaf)]
        if run is not None:
            with pytest.raises(PathInUseError):
                run("--delete", kept)
        else:
            assert oracle.run("nix-store", ["--delete", kept], store=root).status == 1
        answers += [nix("--delete", "--ignore-liveness", kept), nix("--gc"), nix("--gc")]
        counted.append(answers)
    assert counted[0] == counted[1]
    assert counted[0][1] == "2 store paths deleted, 0.10 MiB freed\n"


def test_verify_finds_and_optimise_links(oracle: Oracle, tmp_path: Path) -> None:
    ours = _our_command(tmp_path / "r")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text("same")
        (tmp_path / name / "other").write_text(name)
        (tmp_path / name / "link").symlink_to("same")
    first, second = ours("--add", str(tmp_path / "a"), str(tmp_path / "b")).split()
    ours("--optimise")
    places = [tmp_path / "r" / path.lstrip("/") for path in (first, second)]
    assert (places[0] / "same").stat().st_ino == (places[1] / "same").stat().st_ino
    assert places[0].stat().st_mode & 0o222 == 0 and places[0].stat().st_mtime == 1
    links = sorted(os.listdir(tmp_path / "r/nix/store/.links"))
    oracle.run("nix-store", ["--optimise"], store=tmp_path / "r")
    assert sorted(os.listdir(tmp_path / "r/nix/store/.links")) == links and len(links) == 4
    for command in (lambda *words: ours(*words), lambda *words: oracle.run("nix-store", words, store=tmp_path / "r").stdout):
        assert command("--verify", "--check-contents") == ""
    (places[0] / "other").chmod(0o644)
    (places[0] / "other").write_text("x")
    ours("--verify-path", second)
    ours("--verify-path", first, status=1)
    ours("--verify", "--check-contents", status=1)
    ours("--verify")
    subprocess.run(["chmod", "-R", "u+w", str(places[1])], check=True)
    subprocess.run(["rm", "-r", str(places[1])], check=True)
    ours("--verify")
    assert ours("--check-validity", "--print-invalid", first, second) == f"{second}\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--gc", "x"],
        ["--gc", "--recursive"],
        ["--add", "-q", "x"],
        ["-q", "--hash", "--size"],
        ["-q", "--binding"],
        ["--gc", "--print-dead", "--max-freed", "1"],
        ["--add-fixed", "sha3", "x"],
        ["--dump"],
        ["--nonsense"],
        ["--max-freed"],
    ],
)
def test_bad_command_lines(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(NivalisError) as caught:
        _our_command(tmp_path / "r")(*words)
    assert caught.value.code == "usage" and caught.value.hint


def test_words_from_stdin_and_links(built: tuple[Path, str], tmp_path: Path) -> None:
    root, drv = built
    ours = _our_command(root)
    top = ours("-q", drv).strip()
    (tmp_path / "link").symlink_to(root / "result")
    assert ours("-q", "--resolve", str(tmp_path / "link")) == f"{top}\n"
    assert ours("-q", "--resolve", f"{root}{top}/self") == f"{top}\n"
    assert _piped(root, "-q", "--resolve", "--stdin", stdin=f"{top}\n{drv} ".encode()).stdout == f"{top}\n{drv}\n".encode()
    with pytest.raises(InvalidPathError):
        ours("-q", "--resolve", "/etc")
    with pytest.raises(FileNotFoundError):
        ours("-q", "--resolve", "/etc/nowhere")
    assert ours("-r", drv) == f"{top}\n"


def test_flags_of_building_become_settings() -> None:
    options = StoreOptions()
    words: list[str] = []
    flags = ["-j4", "--cores", "2", "-k", "--no-fallback", "--option", "sandbox", "false", "-v", "--keep-outputs", "x"]
    read_arguments(flags, options.flags({}), words.append)
    wanted = {"max-jobs": "4", "cores": "2", "keep-going": "true", "fallback": "false", "sandbox": "false"}
    assert words == ["x"] and options.keep.outputs and wanted.items() <= options.config.given().items()


def test_help_and_version() -> None:
    assert _piped(Path("/nowhere"), "--help").stdout.startswith(b"Usage: nix-store ")
    assert re.match(rb"nix-store \(nivalis .*\) \d", _piped(Path("/nowhere"), "--version").stdout)


def test_import_sets_no_special_modes(built: tuple[Path, str], tmp_path: Path) -> None:
    root, drv = built
    stream = _piped(root, "--export", *_our_command(root)("-qR", "--include-outputs", drv).split()).stdout
    assert _piped(tmp_path / "r", "--import", stdin=stream).returncode == 0

    def modes() -> Iterator[int]:
        for folder, _, files in os.walk(tmp_path / "r/nix/store"):
            for name in files:
                yield stat.S_IMODE(os.lstat(f"{folder}/{name}").st_mode)

    assert set(modes()) <= {0o444, 0o555}
