"""Real packages with nothing visible but their closure.

They come from the mirrors that this machine is set to use, which takes minutes and some 150 MB; so only with NIVALIS_DEBIAN=debian:bookworm or
another suite.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from debian_packages import ESSENTIAL, Builder, closure_of, make_snapshot, write_expression
from fetch_server import serve
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
    "nginx": ("nginx", "$PACKAGE/sbin/nginx -v 2>&1 | cut -c1-20", "nginx version: nginx"),
    "names": (
        "libc-bin",
        "mkdir /etc; echo 127.0.0.9 machine.test >/etc/hosts; $PACKAGE/bin/getent hosts machine.test | tr -s ' '",
        "127.0.0.9 machine.test",
    ),
    "plugins": (
        "lighttpd",
        """echo 'server.document-root = "/tmp" server.modules = ("mod_rewrite", "mod_status")' >/tmp/c
           $PACKAGE/sbin/lighttpd -tt -f /tmp/c -m $PACKAGE/usr/lib/lighttpd && echo loaded""",
        "loaded",
    ),
}


POSTGRESQL = """
bin=$(echo /usr/lib/postgresql/*/bin)
$bin/initdb -A trust -D /tmp/db >/tmp/log && $bin/pg_ctl -D /tmp/db -l /tmp/said -o '-k /tmp -h ""' -w start >/tmp/log || cat /tmp/log /tmp/said
$bin/psql -h /tmp postgres -Atc 'create extension pg_trgm' -c "select 6 * 7, similarity('a', 'a')"
$bin/pg_ctl -D /tmp/db -m fast stop >/tmp/log
"""
NGINX = """
mkdir -p /var/lib/nginx; echo page >/tmp/page; cat >/tmp/c <<END
events { } pid /tmp/p; error_log stderr crit; http { access_log off; server { listen 127.0.0.1:8080; root /tmp; } }
END
nginx -c /tmp/c; exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /page HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3; kill $(cat /tmp/p)
"""
# Packages, what they are to do, and what comes of it.
PROGRAMS = {
    "curl": (["curl"], "curl -s http://machine.test:$PORT/page", "of a server"),
    "git": (["git"], "cd /tmp; git init -q x; cd x; git -c user.name=a -c user.email=b commit -q --allow-empty -m x; git log --format=%s", "x"),
    "numpy": (["python3", "python3-numpy"], "python3 -c 'import numpy; print(numpy.linalg.det([[1, 2], [3, 4]]).round())'", "-2.0"),
    "postgresql": (["postgresql"], POSTGRESQL, "CREATE EXTENSION\n42|1"),
    "nginx": (["nginx"], NGINX, "page"),
    "ffmpeg": (
        ["ffmpeg"],
        """ffmpeg -v error -f lavfi -i testsrc=d=1:s=64x64 -c:v libx264 /tmp/a.mp4
           ffprobe -v error -show_entries stream=codec_name,width -of csv=p=0 /tmp/a.mp4""",
        "h264,64",
    ),
    "imagemagick": (
        ["imagemagick"],
        "convert -size 10x20 xc:red /tmp/a.jpg && convert /tmp/a.jpg /tmp/a.png && identify -format '%m %h' /tmp/a.png",
        "PNG 20",
    ),
    "nodejs": (["nodejs"], """node -e 'console.log(require("crypto").createHash("sha256").update("x").digest("hex").slice(0, 4))'""", "2d71"),
    "ruby": (["ruby"], "ruby -rjson -ropenssl -rsocket -e 'puts JSON.dump([OpenSSL::Digest::SHA256.hexdigest(%q(x))[0, 4]])'", '["2d71"]'),
    "perl": (["perl"], "perl -MDigest::SHA=sha256_hex -MEncode -e 'print substr sha256_hex(encode(q(UTF-8), q(x))), 0, 4'", "2d71"),
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

    def run_alone(self, names: list[str], script: str, **variables: str) -> str:
        """Run a script with nothing visible but the farm of some packages, and what drives them, and its closure."""
        farm = self.builder.build(f"farm [ {' '.join(map(json.dumps, [*names, 'bash', 'coreutils']))} ]")
        real = self.store.real_path(farm)
        # Somebody whom the farm knows, and who is not root.
        command = ["bwrap", "--unshare-all", "--die-with-parent", "--uid", "65534", "--gid", "65534", "--tmpfs", "/", "--proc", "/proc"]
        command += ["--share-net"] if "PORT" in script else []
        command += ["--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/var", "--ro-bind", f"{real}/usr", "/usr", "--dir", "/etc"]
        command += ["--clearenv", "--setenv", "HOME", "/tmp"]
        for path in sorted(self.store.database.closure([farm])):
            command += ["--ro-bind", self.store.real_path(path), path]
        for name in ("bin", "sbin", "lib", "lib64"):
            command += ["--symlink", f"usr/{name}", f"/{name}"]
        for name in set(os.listdir(f"{real}/etc")) - {"hosts", "passwd"}:
            command += ["--symlink", f"{farm}/etc/{name}", f"/etc/{name}"]
        for name, text in {"PATH": "/usr/bin:/usr/sbin", "LANG": "C.UTF-8", **variables}.items():
            command += ["--setenv", name, text]
        # What a machine has of its own.
        own = {"hosts": "127.0.0.1 localhost machine.test\n", "passwd": "nobody:x:65534:65534:nobody:/tmp:/bin/sh\n"}
        with ExitStack() as stack:
            files = []
            for name, text in own.items():
                file = stack.enter_context(tempfile.TemporaryFile())
                file.write(text.encode())
                file.seek(0)
                files.append(file.fileno())
                command += ["--file", str(file.fileno()), f"/etc/{name}"]
            argv = [*command, "--", "/usr/bin/bash", "-c", script]
            answer = subprocess.run(argv, pass_fds=files, capture_output=True, text=True, check=False)
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
        programs = [name for names, *_ in PROGRAMS.values() for name in names]
        records = closure_of(make_snapshot(store, suite), [*WANTED, *ESSENTIAL, *programs])
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


def test_a_thread_is_cancelled_without_any_usr(world: World, farm: str, tmp_path: Path) -> None:
    """The C library opens libgcc_s for that, by its name alone."""
    library = f"{world.package('libc6')}/usr/lib/x86_64-linux-gnu"
    link = f"-Wl,--dynamic-linker={library}/ld-linux-x86-64.so.2 -Wl,-rpath,{library}"
    shared = ["--bind", str(tmp_path), "/shared"]
    options = ["--ro-bind", f"{world.store.real_path(farm)}/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", *shared]
    world.run(f"cat >/tmp/a.c; gcc -o /shared/a /tmp/a.c -pthread {link}", options, "/usr/bin/bash", PATH="/usr/bin")
    assert world.run("/shared/a # pthread", shared, f"{world.package('bash')}/bin/bash") == "cancelled"


@pytest.mark.parametrize("what", PROGRAMS)
def test_with_nothing_but_its_closure(world: World, what: str) -> None:
    names, script, expected = PROGRAMS[what]
    for server in serve():
        server.files["/page"] = b"of a server"
        assert world.run_alone(names, script, PORT=str(server.server_port)) == expected


def test_everything_needed_is_there(world: World, farm: str) -> None:
    # Other tests' packages have plugins whose libraries Debian only recommends.
    of_the_farm = world.store.database.closure(world.store.database.derivers(farm))
    said = [event.text for event in world.builder.events if isinstance(event, BuildLine) and event.derivation in of_the_farm]
    assert of_the_farm and said == []


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
