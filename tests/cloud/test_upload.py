"""Uploading: Orbit in segments, cut and gone on with; temporary addresses; the FTP library, by curl too."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cloud.cloud_server import PATIENCE, Fault, RunningCloud
from cloud.ftps_server import run_ftps
from nivalis.cloud.errors import AuthenticationError, UploadError
from nivalis.cloud.ftp import check_library_name, upload_by_ftp
from nivalis.cloud.imports import CONTAINER, import_file
from nivalis.cloud.orbit import sign_temp_url

MIB = 1 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "disk.img"
    made.write_bytes(os.urandom(5 * MIB + 17))
    return made


def _fetch(url: str, **headers: str) -> bytes:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return bytes(answer.read())


def test_segments(running: RunningCloud, file: Path) -> None:
    orbit = running.orbit()
    seen: list[tuple[int, int | None]] = []
    orbit.upload("images", "a b.img", file, segment=MIB, on_progress=lambda done, size: seen.append((done, size)))
    assert orbit.size_of("images", "a b.img") == file.stat().st_size
    assert seen[-1] == (file.stat().st_size, file.stat().st_size)
    url = orbit.temp_url("images", "a b.img")
    assert _fetch(url) == file.read_bytes()
    assert _fetch(url, Range="bytes=1048570-1048585") == file.read_bytes()[1048570:1048586]
    orbit.delete("images", "a b.img")
    assert orbit.size_of("images", "a b.img") is None
    assert not any((running.cloud.places.orbit / "images_segments").iterdir())


def test_cut_connection_is_gone_on_with(running: RunningCloud, file: Path) -> None:
    running.faults.append(Fault("PUT", "/v1/acc-local/images_segments/", cut_after=200_000))
    running.faults.append(Fault("PUT", "/v1/acc-local/images_segments/", 503))
    told: list[str] = []
    orbit = running.orbit()
    orbit.upload("images", "disk.img", file, segment=MIB, on_retry=told.append)
    assert len(told) == 2
    assert _fetch(orbit.temp_url("images", "disk.img")) == file.read_bytes()


def test_upload_that_was_given_up_sends_only_the_rest(running: RunningCloud, file: Path) -> None:
    status = file.stat()
    third = f"/v1/acc-local/images_segments/disk.img/{status.st_mtime_ns}/{status.st_size}/{MIB}/00000002"
    running.faults += [Fault("PUT", third, cut_after=1) for _ in range(5)]
    with pytest.raises(UploadError, match="after 5 attempts"):
        running.orbit().upload("images", "disk.img", file, segment=MIB)
    running.requests.clear()
    orbit = running.orbit()
    orbit.upload("images", "disk.img", file, segment=MIB)
    sent = [path for method, path in running.requests if method == "PUT" and "_segments/" in path]
    assert len(sent) == 4
    assert _fetch(orbit.temp_url("images", "disk.img")) == file.read_bytes()


def test_token_that_ends_in_the_middle(running: RunningCloud, file: Path) -> None:
    orbit = running.orbit()
    ended: list[int] = []

    def end_tokens(done: int, size: int | None) -> None:
        if done >= 2 * MIB and not ended:
            running.state.expire_tokens()
            ended.append(done)

    orbit.upload("images", "disk.img", file, segment=MIB, on_progress=end_tokens)
    assert ended and running.asked("GET", "/v1") == 2
    assert _fetch(orbit.temp_url("images", "disk.img")) == file.read_bytes()


def test_key_of_others_is_kept(running: RunningCloud, file: Path) -> None:
    one, other = running.orbit(), running.orbit()
    one.upload("images", "disk.img", file)
    address = one.temp_url("images", "disk.img")
    other.temp_url("images", "disk.img")
    assert _fetch(address) == file.read_bytes()


def test_temporary_addresses_are_checked(running: RunningCloud, file: Path) -> None:
    orbit = running.orbit()
    orbit.upload("images", "disk.img", file)
    good = orbit.temp_url("images", "disk.img")
    bare = good.partition("?")[0]
    for url in (
        bare,
        good.replace("temp_url_sig=", "temp_url_sig=0"),
        sign_temp_url(bare, "another key", 2_000_000_000),
        orbit.temp_url("images", "disk.img", lasts=-10),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            _fetch(url)
        caught.value.close()
        assert caught.value.code == 401


def test_names_of_objects(running: RunningCloud, file: Path) -> None:
    orbit = running.orbit()
    assert orbit.list("images") == []
    for name in ("web/1", "web/2", "web-2/1"):
        orbit.upload("images", name, file, segment=2 * MIB)
    assert orbit.list("images") == ["web-2/1", "web/1", "web/2"] and orbit.list("images", "web/") == ["web/1", "web/2"]
    assert len(orbit.list("images_segments", "web/1/")) == 3
    assert orbit.list("none") == []


def test_a_file_stays_while_it_may_still_be_fetched(running: RunningCloud, file: Path) -> None:
    def give_up(seconds: float) -> None:
        raise KeyboardInterrupt

    cloud, orbit = running.client(sleep=give_up), running.orbit()
    usual, running.cloud.delay = running.cloud.delay, 3600
    with pytest.raises(KeyboardInterrupt):
        import_file(cloud, orbit, file, arch="x86_64")
    assert orbit.list(CONTAINER) == [file.name]
    running.cloud.delay = usual
    image = import_file(running.client(), orbit, file, arch="x86_64")
    assert image.status == "available" and orbit.list(CONTAINER) == []


def test_wrong_key(running: RunningCloud, file: Path) -> None:
    running.state.remember("cli-local", "another")
    orbit = running.orbit()
    running.state.remember("cli-local", "changed")
    with pytest.raises(AuthenticationError):
        orbit.upload("images", "disk.img", file)


# ---------------------------------------------------------------------------------------------------- the FTP library


def test_library(running: RunningCloud, file: Path) -> None:
    cloud = running.client()
    account = cloud.accounts.reset_ftp_password()
    assert account.library_ftp_user == "acc-local" and account.library_ftp_password
    seen: list[int] = []
    upload_by_ftp(
        account.library_ftp_host, account.id, account.library_ftp_password, file, on_progress=lambda done, size: seen.append(done), timeout=PATIENCE
    )
    assert seen[-1] == file.stat().st_size
    image = cloud.images.register(source="disk.img")
    assert cloud.images.wait(image.id, {"available"}, deadline=PATIENCE).virtual_size == 6
    assert list(running.cloud.places.incoming.iterdir()) == []


def test_library_with_a_wrong_password(running: RunningCloud, file: Path) -> None:
    running.client().accounts.reset_ftp_password()
    with pytest.raises(AuthenticationError, match="library refuses the password"):
        upload_by_ftp(running.cloud.library, "acc-local", "wrong", file, timeout=PATIENCE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_library_by_curl(running: RunningCloud, file: Path) -> None:
    password = running.client().accounts.reset_ftp_password().library_ftp_password
    target = f"ftp://acc-local:{password}@{running.cloud.library}/incoming/"
    subprocess.run(["curl", "--silent", "--show-error", "--noproxy", "*", "-T", str(file), target], check=True, timeout=PATIENCE)
    assert (running.cloud.places.incoming / "disk.img").read_bytes() == file.read_bytes()


def test_library_that_offers_tls(tmp_path: Path, file: Path) -> None:
    with run_ftps(tmp_path) as server:
        context = ssl.create_default_context(cafile=server.certificate)
        upload_by_ftp(server.address, "acc-abcde", "s3cret", file, context=context, timeout=PATIENCE)
    assert server.files == {"incoming/disk.img": file.read_bytes()}
    assert server.clear == ["AUTH TLS"] and "PASS s3cret" in server.private and "PROT P" in server.private


def test_library_without_tls_elsewhere_is_not_told_the_password(running: RunningCloud, file: Path) -> None:
    # Another name for this machine, which does not look like it.
    elsewhere = running.cloud.library.replace("127.0.0.1", "0.0.0.0")
    with pytest.raises(UploadError, match="library offers no TLS"):
        upload_by_ftp(elsewhere, "acc-local", "s3cret", file, timeout=PATIENCE)


@pytest.mark.parametrize("name", ["a/b", "a b", "..\\x", ""])
def test_names_that_the_library_does_not_take(tmp_path: Path, name: str) -> None:
    with pytest.raises(UploadError, match="no name for the image library"):
        check_library_name(name)
