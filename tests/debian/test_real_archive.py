"""Real packages with nothing visible but their closure.

They come from the mirrors that this machine is set to use, which takes minutes and some 150 MB; so only with NIVALIS_DEBIAN=debian:bookworm or
another suite.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from debian_packages import ESSENTIAL, Builder, closure_of, make_snapshot, write_expression
from nivalis.build.errors import SandboxError
from nivalis.build.events import BuildLine
from nivalis.build.sandbox import check_available
from nivalis.store import Store, StoreLayout

WANTED = ["ca-certificates", "curl", "g++", "gcc", "git", "libc6-dev", "lighttpd", "locales", "openssl", "perl", "python3", "python3-numpy"]
HELLO = '#include <stdio.h>\n#include <math.h>\nint main(int c, char **v) { printf("%g\\n", sqrt(c + 3)); return 0; }'
THROWS = """
#include <cstdio>
#include <stdexcept>
int main() { try { throw std::runtime_error("caught"); } catch (std::exception &e) { puts(e.what()); } }
"""
CANCELS = """
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *wait(void *x) { for (;;) pause(); }
int main() { pthread_t t; void *r; pthread_create(&t, 0, wait, 0); pthread_cancel(t); pthread_join(t, &r); return puts("cancelled") < 0; }
"""
IN_THE_FARM = {
    "alternatives": ("awk 'BEGIN { print 1 + 1 }'", "2"),
    "shell": ("sh -c 'echo $0'", "sh"),
    "python": ("python3 -c 'import ctypes, lzma, numpy, sqlite3; print(numpy.dot([1, 2], [3, 4]))'", "11"),
    "isolated python": ("python3 -I -c 'import json; print(json.dumps([1]))'", "[1]"),
    "certificates": ("python3 -c 'import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 100)'", "True"),
    "perl": ("perl -MPOSIX -MData::Dumper -e 'print strftime(\"%Y\", gmtime 0)'", "1970"),
    "git": ("cd /tmp; git init -q x; cd x; git -c user.name=a -c user.email=b commit -q --allow-empty -m x; git log --format=%s; git submodule", "x"),
    "gcc": ("cd /tmp; cat >a.c; gcc -O2 -o a a.c -lm && ./a", "2"),
    "g++": ("cd /tmp; cat >a.cc; g++ -o a a.cc && ./a", "caught"),
    "cancelled thread": ("cd /tmp; cat >a.c; gcc -o a a.c -pthread && ./a", "cancelled"),
    "locales": ("locale -a | grep -c C.utf8; localedef -i de_DE -f UTF-8 /tmp/de >/dev/null", "1"),
    "iconv": ("printf '\\344' | iconv -f latin1 -t utf-8", "ä"),
    "names": ("getent passwd root | cut -d: -f1,6; getent group daemon >/dev/null", "root:/root"),
}
WITHOUT_USR = {
    "bash": ("bash", "echo $((6 * 7))", "42"),
    "coreutils": ("coreutils", "PATH=$PACKAGE/bin; printf 'b\\na\\n' | sort | head -n 1", "a"),
    "curl": ("curl", "$PACKAGE/bin/curl -s file:///proc/self/comm", "curl"),
    "lighttpd": ("lighttpd", "$PACKAGE/sbin/lighttpd -v | cut -c1-8", "lighttpd"),
    "openssl": ("openssl", "printf x | $PACKAGE/bin/openssl dgst -sha256 | cut -c1-4", "SHA2"),
    "git": ("git", "$PACKAGE/bin/git --version | cut -c1-3", "git"),
}


class World:
    def __init__(self, store: Store, builder: Builder) -> None:
        self.store = store
        self.builder = builder

    def package(self, name: str) -> str:
        return self.builder.build(f"packages.{json.dumps(name)}")

    def run(self, script: str, options: list[str], shell: str, **variables: str) -> str:
        store = str(self.store.layout.real_store_dir)
        command = ["bwrap", "--unshare-all", "--die-with-parent", "--tmpfs", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        command += ["--ro-bind", store, self.store.store_dir, "--clearenv", "--setenv", "HOME", "/tmp", "--setenv", "LANG", "C.UTF-8"]
        for name, value in variables.items():
            command += ["--setenv", name, value]
        text = THROWS if "a.cc" in script else CANCELS if "pthread" in script else HELLO
        answer = subprocess.run([*command, *options, "--", shell, "-c", script], input=text, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    suite = os.environ.get("NIVALIS_DEBIAN")
    if not suite:
        pytest.skip("no suite in NIVALIS_DEBIAN")
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    with Store.open(StoreLayout.under(tmp_path_factory.mktemp("root"))) as store:
        records = closure_of(make_snapshot(store, suite), [*WANTED, *ESSENTIAL])
        yield World(store, Builder(store, write_expression(records)))


@pytest.fixture(scope="module")
def farm(world: World) -> str:
    words = " ".join(map(json.dumps, [*WANTED, *ESSENTIAL]))
    return world.builder.build(f"farm [ {words} ]")


@pytest.mark.parametrize("what", IN_THE_FARM)
def test_in_the_farm(world: World, farm: str, what: str) -> None:
    script, expected = IN_THE_FARM[what]
    real = Path(world.store.real_path(farm))
    options = ["--ro-bind", f"{real}/usr", "/usr", "--dir", "/etc"]
    for name in ("bin", "sbin", "lib", "lib64"):
        options += ["--symlink", f"usr/{name}", f"/{name}"]
    for name in sorted(os.listdir(real / "etc")):
        options += ["--symlink", f"{farm}/etc/{name}", f"/etc/{name}"]
    assert world.run(script, options, "/usr/bin/bash", PATH="/usr/bin:/usr/sbin") == expected


@pytest.mark.parametrize("what", WITHOUT_USR)
def test_without_any_usr(world: World, what: str) -> None:
    name, script, expected = WITHOUT_USR[what]
    assert (
        world.run(script, [], f"{world.package('bash')}/bin/bash", PACKAGE=world.package(name), PATH=f"{world.package('coreutils')}/bin") == expected
    )


def test_everything_needed_is_there(world: World, farm: str) -> None:
    said = [event.text for event in world.builder.events if isinstance(event, BuildLine)]
    assert said == []


def test_no_link_of_the_farm_leads_into_nothing_of_the_store(world: World, farm: str) -> None:
    real = Path(world.store.real_path(farm))
    dangling = [
        str(path)
        for parent, folders, files in os.walk(real)
        for path in (Path(parent, name) for name in (*folders, *files))
        if path.is_symlink()
        and (target := os.readlink(path)).startswith(world.store.store_dir)
        and not os.path.lexists(world.store.real_path(target))
    ]
    assert dangling == []
