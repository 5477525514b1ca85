"""Writing caches, keys and signatures: the real CppNix writes the same and takes what is written here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nivalis.cache import PublicKey, SecretKey, push
from nivalis.cache.errors import CacheAddressError, CacheContentError, CacheError, CacheInfoError, KeyFormatError
from nivalis.cache.sign import sign_paths
from nivalis.errors import InvalidPathError, StoreContentError
from nivalis.store import Store

# With gzip the file has the moment of its making in it, and so another hash.
SAME_BYTES = ["none", "xz", "zstd", "bzip2"]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def _cli(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    code = "from nivalis.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize("compression", SAME_BYTES)
def test_to_the_byte(compression: str, source: Any, nix: Any, key_file: Path, tmp_path: Path) -> None:
    parameters = f"?compression={compression}&secret-key={key_file}"
    nix(source.root, "nix", "copy", "--to", f"file://{tmp_path}/theirs{parameters}", source.top)
    pushed = push(source.store, [source.top], f"file://{tmp_path}/ours{parameters}")
    assert set(pushed.written) == source.closure and not pushed.present
    assert _files(tmp_path / "ours") == _files(tmp_path / "theirs")
    assert pushed.size == sum(file.stat().st_size for file in (tmp_path / "ours/nar").iterdir())


@pytest.mark.parametrize("compression", [*SAME_BYTES, "gzip"])
def test_cppnix_substitutes(compression: str, source: Any, nix: Any, key_file: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    push(source.store, [source.top], f"{place}?compression={compression}", keys=[SecretKey.read(key_file)])
    trust = ["--option", "trusted-public-keys", str(SecretKey.read(key_file).public), "--option", "substituters", f"file://{place}"]
    assert nix(tmp_path / "theirs", "nix-store", "--realise", source.top, *trust).stdout.strip() == source.top
    nix(tmp_path / "theirs", "nix-store", "--verify", "--check-contents")
    listed = nix(tmp_path / "theirs", "nix", "path-info", "--store", f"file://{place}", "--all").stdout.split()
    assert set(listed) == source.closure


def test_cppnix_trusts_our_keys_only(source: Any, oracle: Any, cache: Path, tmp_path: Path) -> None:
    other = SecretKey.generate("other-1").public
    trust = ["--option", "trusted-public-keys", str(other), "--option", "substituters", f"file://{cache}"]
    assert oracle.run("nix-store", ["--realise", source.leaf, *trust], store=tmp_path / "theirs").status != 0


def test_what_is_there_is_skipped(source: Any, tmp_path: Path) -> None:
    push(source.store, [source.middle], str(tmp_path / "cache"))
    before = {file: (tmp_path / "cache" / file).stat().st_mtime_ns for file in _files(tmp_path / "cache")}
    pushed = push(source.store, [source.top], str(tmp_path / "cache"))
    assert pushed.written == (source.top,) and set(pushed.present) == source.closure - {source.top}
    assert {file: (tmp_path / "cache" / file).stat().st_mtime_ns for file in before} == before


def test_several_push_at_once(source: Any, tmp_path: Path) -> None:
    threads = [threading.Thread(target=push, args=(source.store, [source.top], f"{tmp_path}/cache?compression=zstd")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    push(source.store, [source.top], f"{tmp_path}/alone?compression=zstd")
    assert _files(tmp_path / "cache") == _files(tmp_path / "alone")


def test_refusals(source: Any, tmp_path: Path, checkout: Path) -> None:
    place = str(tmp_path / "cache")
    with pytest.raises(CacheContentError, match="rot13"):
        push(source.store, [source.leaf], f"{place}?compression=rot13")
    with pytest.raises(CacheAddressError):
        push(source.store, [source.leaf], f"{place}?compression-level=much")
    with pytest.raises(CacheAddressError):
        push(source.store, [source.leaf], "ssh://somewhere")
    with pytest.raises(InvalidPathError):
        push(source.store, [source.leaf.replace("-leaf", "-loaf")], place)
    with pytest.raises(KeyFormatError):
        push(source.store, [source.leaf], f"{place}?secret-key={checkout}/README.md")
    with pytest.raises(CacheError, match="cannot be written"):
        push(source.store, [source.leaf], "file:///proc/nowhere")
    Path(place).mkdir(exist_ok=True)
    Path(place, "nix-cache-info").write_text("StoreDir: /gnu/store\n")
    with pytest.raises(CacheInfoError, match="/gnu/store"):
        push(source.store, [source.leaf], place)


def test_pushing_over_http_is_refused(source: Any, cache: Path, serve: Any) -> None:
    with pytest.raises(CacheError) as caught:
        push(source.store, [source.top], f"{serve(cache.parent).address}/elsewhere")
    assert caught.value.code == "cache-not-writable"


def test_a_path_that_was_changed_is_not_pushed(reader: Any, source: Any, cache: Path, tmp_path: Path) -> None:
    reader.fetch(source.leaf, cache)
    file = Path(reader.store.real_path(source.leaf), "data")
    file.chmod(0o644)
    file.write_bytes(b"changed")
    with pytest.raises(StoreContentError, match="modified"):
        push(reader.store, [source.leaf], str(tmp_path / "other"))
    assert not list((tmp_path / "other").glob("*.narinfo"))


def test_killed_while_pushing(source: Any, tmp_path: Path) -> None:
    """No narinfo without its NAR and those of its references, at any moment; and the work can be repeated."""
    code = "import sys; from nivalis.cli import main; sys.exit(main())"
    place = tmp_path / "cache"
    for delay in (0.25, 0.3, 0.35, 0.4, 0.5, 0.6):
        words = [sys.executable, "-c", code, "cache", "push", f"{place}?compression=bzip2", source.top, "--store", f"local?root={source.root}"]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for narinfo in place.glob("*.narinfo"):
            lines = dict(line.split(": ", 1) for line in narinfo.read_text().splitlines())
            assert (place / lines["URL"]).is_file()
            assert all((place / f"{name[:32]}.narinfo").is_file() for name in lines["References"].split())
    push(source.store, [source.top], f"{place}?compression=bzip2")
    assert len(list(place.glob("*.narinfo"))) == len(source.closure)


# ---------------------------------------------------------------------------------------------------- keys


def test_keys_of_cppnix(nix: Any, tmp_path: Path) -> None:
    nix(tmp_path / "root", "nix-store", "--generate-binary-cache-key", "cache.example.org-1", str(tmp_path / "secret"), str(tmp_path / "public"))
    key = SecretKey.read(tmp_path / "secret")
    assert str(key) == (tmp_path / "secret").read_text()
    assert str(key.public) == (tmp_path / "public").read_text()
    assert str(key) not in repr(key)
    answer = _cli("cache", "key", "public", tmp_path / "secret")
    assert (answer.stdout, answer.returncode) == ((tmp_path / "public").read_text() + "\n", 0)


def test_nix_store_makes_keys(tmp_path: Path) -> None:
    code = "from nivalis.cli.nix_store import main; main()"
    words = ["--generate-binary-cache-key", "mine-1", str(tmp_path / "secret"), str(tmp_path / "public")]
    environment = {**os.environ, "NIX_REMOTE": f"local?root={tmp_path}/root"}
    done = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert str(SecretKey.read(tmp_path / "secret").public) == (tmp_path / "public").read_text()
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_key_by_the_command_signs_for_cppnix(source: Any, reader: Any, cache: Path, nix: Any, tmp_path: Path) -> None:
    made = _cli("cache", "key", "generate", "made-1").stdout
    (tmp_path / "secret").write_text(made)
    reader.fetch(source.top, cache)
    reader.store.close()
    signed = _cli("cache", "sign", "-r", "-k", tmp_path / "secret", "--store", f"local?root={tmp_path}/reader", source.top)
    assert (signed.returncode, signed.stderr) == (0, f"added {len(source.closure)} signatures\n"), signed.stderr
    again = _cli("cache", "sign", "-k", tmp_path / "secret", "--store", f"local?root={tmp_path}/reader", source.top)
    assert again.stderr == "added 0 signatures\n"
    trusted = ["--option", "trusted-public-keys", str(SecretKey.parse(made).public)]
    nix(tmp_path / "reader", "nix", "store", "verify", "--sigs-needed", "1", "--recursive", source.top, *trusted)


@pytest.mark.parametrize("words", [["cache", "sign", "/nix/store/x"], ["cache", "serve", "--listen", "127.0.0.1:0", "--priority", "1", "."]])
def test_a_wrong_use_of_a_command_is_no_bug(words: list[str]) -> None:
    done = _cli(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ") and f" {' '.join(words[:2])} [" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["", "with space", "with:colon"])
def test_names_that_no_key_can_have(name: str) -> None:
    with pytest.raises(KeyFormatError):
        SecretKey.generate(name)


@pytest.mark.parametrize("text", ["", "name", "name:", ":AAAA", "name:AAAA", "name:!" + "A" * 43, "name:" + "A" * 88])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(KeyFormatError):
        PublicKey.parse(text)


def test_signing_twice_changes_nothing(source: Any, reader: Any, cache: Path, key_file: Path) -> None:
    reader.fetch(source.leaf, cache)
    store: Store = reader.store
    assert sign_paths(store, [source.leaf], [SecretKey.read(key_file)]) == 0


def test_push_says_what_it_did(source: Any, tmp_path: Path) -> None:
    store = f"local?root={source.root}"
    answer = _cli("cache", "push", tmp_path / "cache", source.middle, "--store", store)
    assert answer.returncode == 0, answer.stderr
    assert set(answer.stdout.split()) == source.closure - {source.top}
    assert answer.stderr.count("copying path") == 3
    assert _cli("cache", "push", tmp_path / "cache", source.middle, "--store", store, "--json").stdout.count("/nix/store/") == 3
    assert _cli("cache", "push", tmp_path / "cache", source.middle, "--store", store).stdout == ""
