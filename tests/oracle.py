"""The real CppNix beside us: two versions of it, as the oracles of the tests.

Debian 12 packages CppNix 2.8 and Debian 13 CppNix 2.26.  Either is taken from the machine where it is installed; otherwise
its packages, with every library they need, are unpacked into a folder of the user's cache and started through the dynamic
loader that came with them.  So both run side by side on either Debian, need no root, and change nothing outside that folder.

The packages come by the machine's own apt: its mirror, proxy and keyrings, in a private list of packages, checked by the
archive's signature as always.  Nothing here knows an address.

An oracle evaluates; it never touches the machine's own store: every run is given a store under another root.  It does not
compare anything either: that is for the tests that use it.

    python3 tests/oracle.py setup      fetch what is missing, print how each is started
    python3 tests/oracle.py run 2.26 nix-instantiate --eval -E '1 + 1'
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# Debian release -> the version of CppNix it carries.
RELEASES = {"2.8": "bookworm", "2.26": "trixie"}

# Of the packages that nix-bin depends on, only it and the shared libraries are of use here: the rest (Perl, PAM's modules,
# base files) serves the daemon and the scripts.
_WANTED = re.compile(r"^(nix-bin|lib(?!perl|pam|audit|sem|sepol|debconf|db5|systemd)[a-z0-9.+-]*?(?<!-perl))$")

# Read by CppNix, and different from one machine to the next: removed, so that an answer depends on the case only.
_FOREIGN = re.compile(r"^(NIX_.*|NIXPKGS_.*|LD_LIBRARY_PATH|LD_PRELOAD|XDG_.*|IN_NIX_SHELL)$")


class OracleError(Exception):
    """An oracle cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Result:
    """What one run answered."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Oracle:
    """One CppNix.  `command(name)` is the argv prefix that starts one of its programs, `env` what it needs to be set."""

    version: str
    folder: Path | None
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self, name: str = "nix-instantiate") -> list[str]:
        """The argv prefix for the program `name` (`nix-instantiate`, `nix-store`, `nix`...)."""
        if self.folder is None:
            return [f"/usr/bin/{name}"]
        # CppNix is one binary that looks at argv[0]; --argv0 makes the loader pass it on.
        return [
            str(_loader(self.folder)),
            "--argv0",
            name,
            "--library-path",
            ":".join(str(path) for path in _libraries(self.folder)),
            str(self.folder / "usr/bin/nix"),
        ]

    def run(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        store: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        stdin: str | None = None,
        timeout: float | None = 120,
    ) -> Result:
        """Run `name` with `arguments`.  `store` is the root of the store (one that is thrown away, if not given)."""
        if store is None:
            with tempfile.TemporaryDirectory(prefix="nivalis-oracle-", ignore_cleanup_errors=True) as folder:
                return self.run(name, arguments, store=folder, env=env, cwd=cwd, stdin=stdin, timeout=timeout)
        environment = {key: value for key, value in os.environ.items() if not _FOREIGN.match(key)}
        environment.update(self.env)
        environment["NIX_REMOTE"] = f"local?root={store}"
        environment["HOME"] = str(Path(store) / "home")
        environment.update(env or {})
        Path(environment["HOME"]).mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [*self.command(name), *arguments],
            env=environment,
            cwd=cwd,
            input=stdin.encode() if stdin is not None else b"",
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def instantiate(self, arguments: Sequence[str], **options: object) -> Result:
        """Run `nix-instantiate` with `arguments`; the options are those of `run`."""
        return self.run("nix-instantiate", arguments, **options)  # type: ignore[arg-type]


def cppnix28() -> tuple[Oracle | None, str]:
    """CppNix 2.8, or None and the reason."""
    return _get("2.8")


def cppnix226() -> tuple[Oracle | None, str]:
    """CppNix 2.26, or None and the reason."""
    return _get("2.26")


@functools.cache
def _get(version: str) -> tuple[Oracle | None, str]:
    try:
        return _make(version), ""
    except (OracleError, OSError, subprocess.SubprocessError) as error:
        return None, f"no CppNix {version}: {error}"


def _make(version: str) -> Oracle:
    env = {"NIX_CONF_DIR": str(_configuration()), "NIX_PATH": "", "LC_ALL": "C.UTF-8"}
    installed = Oracle(version, None, env)
    if _version_of(installed) == version:
        return installed
    folder = cache_folder() / f"nix-{version}"
    oracle = Oracle(version, folder, env)
    if not (folder / ".complete").exists():
        with _lock(cache_folder() / f"nix-{version}.lock"):
            if not (folder / ".complete").exists():
                _unpack_release(RELEASES[version], folder)
                found = _version_of(oracle)
                if found != version:
                    raise OracleError(f"the unpacked program says it is {found or 'nothing'}")
                (folder / ".complete").touch()
    return oracle


def cache_folder() -> Path:
    """Where unpacked packages are kept from one run of the tests to the next."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nivalis-tests"


def _configuration() -> Path:
    """A folder with the settings of both: the machine's own nix.conf must not change an answer."""
    folder = cache_folder() / "nix.conf.d"
    text = "sandbox = false\nsubstituters =\nbuild-users-group =\n"
    file = folder / "nix.conf"
    if not file.exists() or file.read_text() != text:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".nix.conf.{os.getpid()}"
        part.write_text(text)
        part.rename(file)
    return folder


def _version_of(oracle: Oracle) -> str | None:
    """The version (`2.26`) that the program names itself, or None where it does not start."""
    try:
        done = subprocess.run([*oracle.command(), "--version"], env={**os.environ, **oracle.env}, capture_output=True, text=True, check=False)
    except (OSError, OracleError):
        return None
    match = re.search(r"\b(\d+\.\d+)(\.\d+)*\S*$", done.stdout.strip())
    return match[1] if done.returncode == 0 and match else None


def _loader(folder: Path) -> Path:
    for pattern in ("usr/lib*/ld-linux*.so.*", "lib*/ld-linux*.so.*", "usr/lib/*/ld-linux*.so.*", "lib/*/ld-linux*.so.*"):
        for path in sorted(folder.glob(pattern)):
            # On merged /usr the name in /lib64 is a link that may lead out of the folder.
            target = path.readlink() if path.is_symlink() else None
            if target is not None and target.is_absolute():
                path = folder / target.relative_to("/")
            if path.exists():
                return path
    raise OracleError(f"no dynamic loader below {folder}")


def _libraries(folder: Path) -> list[Path]:
    patterns = ("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/nix", "usr/lib/*-linux-gnu*/nix")
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_dir())


def _unpack_release(release: str, folder: Path) -> None:
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise OracleError(f"needs the command `{program}`")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nivalis-apt-") as temporary:
        apt = _write_apt_root(Path(temporary), release)
        _check_run([*apt, "update"])
        plan = _check_run([*apt, "--simulate", "install", "--no-install-recommends", "nix-bin"])
        names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        wanted = [name for name in names if _WANTED.match(name)]
        archives = Path(temporary) / "archives"
        archives.mkdir()
        _check_run([*apt, "download", *wanted], cwd=archives)
        part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
        for archive in sorted(archives.glob("*.deb")):
            _check_run(["dpkg-deb", "--extract", str(archive), str(part)])
        part.chmod(0o755)
        part.rename(folder)


def _write_apt_root(root: Path, release: str) -> list[str]:
    """An apt that sees only `release`, from the mirror the machine uses, with nothing installed; its argv prefix."""
    for name in ("lists/partial", "cache/archives/partial"):
        (root / name).mkdir(parents=True)
    (root / "status").touch()
    keyrings = sorted(Path("/usr/share/keyrings").glob("debian-archive-*.gpg"))
    if not keyrings:
        raise OracleError("the package debian-archive-keyring is not installed")
    # One keyring file of all keys: an older Debian's own option names only its own release's keys.
    whole = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    keyring = whole if whole.exists() else keyrings[0]
    (root / "sources.list").write_text(f"deb [signed-by={keyring}] {_find_mirror()} {release} main\n")
    options = {
        "Dir::Etc::SourceList": root / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": root,
        "Dir::State::Lists": root / "lists",
        "Dir::State::status": root / "status",
        "Dir::Cache": root / "cache",
        "Acquire::Languages": "none",
        "APT::Get::List-Cleanup": "false",
        "APT::Install-Recommends": "false",
        # The temporary folder is closed to apt's own unprivileged user.
        "APT::Sandbox::User": "root",
        # Hooks of the machine (image cleaners, desktop indexes) have no business with this private list.
        "APT::Update::Post-Invoke-Success::": "true",
    }
    return ["apt-get", "--quiet", *(word for key, value in options.items() for word in ("--option", f"{key}={value}"))]


def _find_mirror() -> str:
    """The address of the Debian archive that this machine's apt is configured with."""
    if shutil.which("apt-get") is None:
        raise OracleError("needs the command `apt-get`")
    text = _check_run(["apt-get", "indextargets", "--format", "$(CREATED_BY)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)"])
    for line in text.splitlines():
        created_by, address, codename, component = line.split("|")
        if created_by == "Packages" and component == "main" and codename in RELEASES.values():
            return address
    raise OracleError("apt is not configured with the Debian archive of " + " or ".join(RELEASES.values()))


def _check_run(argv: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OracleError(f"{shlex.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Two test processes that start at once fetch one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str]) -> int:
    """`setup`, or `run <version> <program> <arguments>`."""
    if list(arguments) == ["setup"]:
        missing = 0
        for version in RELEASES:
            oracle, reason = _get(version)
            if oracle is None:
                missing += 1
                print(reason, file=sys.stderr)
                continue
            settings = [f"{key}={value}" for key, value in oracle.env.items()]
            print(f"{version}: {shlex.join(['env', *settings, *oracle.command()])}")
        return 1 if missing else 0
    if len(arguments) >= 3 and arguments[0] == "run" and arguments[1] in RELEASES:
        oracle, reason = _get(arguments[1])
        if oracle is None:
            print(reason, file=sys.stderr)
            return 1
        result = oracle.run(arguments[2], arguments[3:], stdin=None)
        sys.stdout.write(result.stdout)
        sys.stderr.write(result.stderr)
        return result.status
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
