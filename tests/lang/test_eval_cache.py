"""The evaluation cache: a stale answer never comes back, an unchanged world does hit, and no state of the cache stops an evaluation.

The property: small random trees of files, folders and symlinks are evaluated by random expressions over them, then changed at
random (often within the clock's grain), and whatever the cache still answers must be what a fresh evaluation says.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nivalis.errors import EvalError
from nivalis.lang.cache import EvalCache, Hit, make_key
from nivalis.lang.evaluator import EvalSettings, Evaluator
from nivalis.lang.search_path import SearchEntry
from nivalis.store import Store, StoreLayout

GRAIN = 2.1


class Answer(NamedTuple):
    output: bytes
    messages: list[tuple[str, bytes]]
    recording: dict[str, Any]


class Place:
    """A folder to evaluate in, a store, and a cache."""

    def __init__(self, top: Path, store: Store, cache: EvalCache, name: str = "place") -> None:
        self.top = top / name
        self.top.mkdir(parents=True)
        self.store = store
        self.cache = cache
        self.environment: dict[str, str] = {}
        self.search_path: tuple[SearchEntry, ...] = ()

    def path(self, name: str) -> Path:
        return self.top / name

    def evaluate(self, expression: str) -> Answer:
        settings = EvalSettings(system="x86_64-linux", search_path=self.search_path, environment=self.environment)
        messages: list[tuple[str, bytes]] = []
        with Evaluator(
            self.store,
            settings,
            on_trace=lambda text: messages.append(("trace", text.encode())),
            on_warn=lambda text: messages.append(("warn", text.encode())),
            record=True,
        ) as evaluator:
            value = evaluator.eval(expression, base_dir=str(self.top))
            value.force(deep=True)
            output = value.print().encode()
            evaluator.flush()
            return Answer(output, messages, evaluator.recording())

    def key(self, expression: str) -> bytes:
        return make_key([expression, str(self.top), *(f"{entry.prefix}={entry.place}" for entry in self.search_path)])

    def lookup(self, expression: str) -> Hit | None:
        hit = self.cache.lookup(self.key(expression), self.environment)
        if hit is not None:
            hit.close()
        return hit

    def keep(self, expression: str, answer: Answer, *, is_written: bool = True) -> bool:
        return self.cache.store(
            self.key(expression),
            answer.recording,
            answer.output,
            state_dir=str(self.store.layout.state_dir),
            is_written=is_written,
            environment=self.environment,
        )

    def run(self, expression: str) -> Hit | None:
        """Evaluates by the cache if it can, and keeps the answer if not; the cache's answer."""
        hit = self.lookup(expression)
        if hit is None:
            self.keep(expression, self.evaluate(expression))
        return hit

    def check(self, expression: str) -> bool:
        """Whether the cache answers; what it answers must be right, and the same question once more must hit."""
        valid = set(self.store.database.all_valid())
        hit = self.lookup(expression)
        try:
            fresh = self.evaluate(expression)
        except EvalError as error:
            assert hit is None, f"{expression} fails with {error}, but the cache says {hit.output!r}"
            return False
        if hit is not None:
            assert (hit.output, hit.messages) == (fresh.output, fresh.messages), expression
            assert valid.issuperset(fresh.recording["written"]), expression
        if not self.keep(expression, fresh):
            assert self.cache.problem is not None
            raise AssertionError(f"{expression}: {self.cache.problem}")
        assert self.lookup(expression) is not None, f"unchanged, but no hit: {expression}"
        return hit is not None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(StoreLayout.under(tmp_path / "root")) as opened:
        yield opened


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EvalCache]:
    opened = EvalCache.open(str(tmp_path / "cache"))
    assert opened is not None
    with opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path, store: Store, cache: EvalCache) -> Place:
    return Place(tmp_path, store, cache)


# ---- the property ----

NAMES = ["a", "d", "d/x", "d/y", "d/e", "l", "l/x"]
TEXTS = ["1", "2", '"one"', '"two"', "import ./x", "builtins.attrNames (builtins.readDir ./.)", "../d"]
VARIABLES = ["V", "W"]


def make_expression(rng: random.Random) -> str:
    """A question about the tree, guarded so that most of them do not fail."""
    name = rng.choice(NAMES)
    forms = [
        "builtins.pathExists ./N",
        "builtins.pathExists (toString ./N + \"/\")",
        "if builtins.pathExists ./N then builtins.readFileType ./N else 0",
        "if K == \"regular\" then builtins.readFile ./N else K",
        "if K == \"regular\" then builtins.hashFile \"sha256\" ./N else K",
        "if K == \"directory\" then builtins.readDir ./N else K",
        "if K == \"regular\" || K == \"symlink\" then import ./N else K",
        "if builtins.pathExists ./N then \"${./N}\" else 0",
        "if builtins.pathExists ./N then builtins.path { path = ./N; filter = p: t: t != \"symlink\" && baseNameOf p != \"y\"; } else 0",
        "if K == \"symlink\" then builtins.path { path = ./N; recursive = false; } else 0",
        "if K == \"directory\" then builtins.filterSource (p: t: t != \"regular\") ./N else 0",
        "(builtins.tryEval <p/x>).success",
        "if (builtins.tryEval <p/e>).success then builtins.readDir <p/e> else 0",
        "builtins.findFile [ { prefix = \"q\"; path = ./d; } { prefix = \"\"; path = ./.; } ] \"q/x\"",
        "builtins.getEnv \"V\"",
        "builtins.getEnv \"W\" + builtins.getEnv \"NONE\"",
        "builtins.trace (if builtins.pathExists ./N then \"there\" else \"gone\") 1",
        "if K == \"regular\" then builtins.toFile \"t\" (builtins.readFile ./N) else 0",
        "if K == \"regular\" then builtins.readFile \"${./N}\" else 0",
        "if K == \"regular\" then (derivation { name = \"n\"; system = \"s\"; builder = ./N; }).drvPath else 0",
    ]  # fmt: skip
    kind = '(if builtins.pathExists ./N then builtins.readFileType ./N else "none")'
    return "(" + rng.choice(forms).replace("K", kind).replace("./N", f"./{name}") + ")"


class Garden(Place):
    """A place that grows at random."""

    def __init__(self, top: Path, store: Store, cache: EvalCache, seed: int) -> None:
        super().__init__(top, store, cache, f"garden-{seed}-{len(os.listdir(top))}")
        self.rng = random.Random(seed)
        self.log: list[str] = []
        self.search_path = (SearchEntry("p", str(self.path("d"))), SearchEntry("p", str(self.path("l"))))
        for _ in range(12):
            self.change()
        self.expressions = [make_expression(self.rng) for _ in range(6)]

    def change(self) -> None:
        """Does one random thing, or nothing where it cannot be done."""
        often = [self.write, self.link]
        changes = [*often, *often, self.rewrite, self.replace, self.remove, self.make_dir, self.set_mode, self.touch, self.set_variable, self.forget]
        change = self.rng.choice(changes)
        path = self.path(self.rng.choice(NAMES))
        self.log.append(f"{change.__name__} {path.name}")
        try:
            change(path)
        except OSError as error:
            self.log[-1] += f" ({error.strerror})"

    def write(self, path: Path) -> None:
        path.write_text(self.rng.choice(TEXTS))

    def rewrite(self, path: Path) -> None:
        """Another content of the same size, with the old modification time."""
        status = path.stat()
        text = path.read_text()
        path.write_text(text.swapcase() if text != text.swapcase() else text.translate(str.maketrans("12", "21")))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def replace(self, path: Path) -> None:
        new = self.path("new")
        new.write_text(self.rng.choice(TEXTS))
        if self.rng.random() < 0.5:
            status = path.stat()
            os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
        new.rename(path)

    def remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    def make_dir(self, path: Path) -> None:
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
        path.mkdir(parents=True)

    def link(self, path: Path) -> None:
        path = self.rng.choice([path, self.path("l"), self.path("l")])
        if path.exists() or path.is_symlink():
            self.remove(path)
        path.symlink_to(self.rng.choice(["a", "d", "nowhere", str(self.path("d/e")), "x", "d/x", "d/y"]))

    def set_mode(self, path: Path) -> None:
        path.chmod(path.stat().st_mode ^ 0o111 if path.is_file() else 0o755)

    def touch(self, path: Path) -> None:
        os.utime(path, ns=(0, self.rng.choice([0, 1, time.time_ns()])))

    def set_variable(self, _: Path) -> None:
        self.environment.pop(self.rng.choice(VARIABLES), None)
        if self.rng.random() < 0.7:
            self.environment[self.rng.choice(VARIABLES)] = self.rng.choice(["", "x", "y"])

    def forget(self, _: Path) -> None:
        """Makes a store path invalid, as a collector does."""
        valid = sorted(self.store.database.all_valid())
        if valid:
            path = self.rng.choice(valid)
            with sqlite3.connect(self.store.layout.database_dir / "db.sqlite") as db:
                db.execute("delete from Refs where reference = (select id from ValidPaths where path = ?)", (path,))
                db.execute("delete from ValidPaths where path = ?", (path,))
            db.close()
            real = Path(self.store.real_path(path))
            shutil.rmtree(real) if real.is_dir() else real.unlink(missing_ok=True)

    def check_here(self) -> list[bool]:
        """For each expression, whether the cache answered."""
        try:
            return [self.check(expression) for expression in self.expressions]
        except AssertionError as error:
            raise AssertionError(f"{error}\nafter: {', '.join(self.log)}") from error


@hypothesis_settings(max_examples=max(40, hypothesis_settings().max_examples // 4))
@given(seed=st.integers(0, 2**32 - 1))
def test_stale_answers_never_come_back(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    top = tmp_path_factory.mktemp("gardens")
    cache = EvalCache.open(str(top / "cache"))
    assert cache is not None
    with cache, Store.open(StoreLayout.under(top / "root")) as store:
        garden = Garden(top, store, cache, seed)
        for _ in range(10):
            garden.check_here()
            garden.change()
        garden.check_here()
    shutil.rmtree(top)


def test_stale_answers_never_come_back_after_a_while(tmp_path: Path, store: Store, cache: EvalCache) -> None:
    """As above, with files that are older than the clock's grain, of which only the times are compared."""
    gardens = [Garden(tmp_path, store, cache, seed) for seed in range(100)]
    hits: list[bool] = []
    for _ in range(2):
        time.sleep(GRAIN)
        for garden in gardens:
            garden.check_here()
        for garden in gardens:
            garden.change()
        for garden in gardens:
            hits += garden.check_here()
    assert 0.4 < hits.count(True) / len(hits) < 0.95, "too few answers stayed, or changed, for this to test anything"


def test_same_time_and_another_content(place: Place) -> None:
    """A file that was changed just before it was read, and again in the same tick of the clock."""
    file = place.path("f")
    file.write_text("a")
    expression = "builtins.readFile ./f"
    answer = place.evaluate(expression)
    file.write_text("b")
    # As if the clock had not gone on.
    status = file.stat()
    answer.recording["seen"] = [
        (*record[:2], status.st_mtime_ns, status.st_ctime_ns, *record[4:]) if record[0] == "f" else record for record in answer.recording["seen"]
    ]
    assert place.keep(expression, answer)
    assert place.lookup(expression) is None


# ---- what one look at the world may miss ----


# What is asked, what is there before, and what is done to it: `verb name [more]`.
CHANGES: dict[str, tuple[str, list[str], list[str]]] = {
    "content": ("builtins.readFile ./f", ["write f a"], ["write f b"]),
    "negative": ("builtins.pathExists ./f", [], ["write f a"]),
    "entry type": ("builtins.readDir ./.", ["write f a"], ["remove f", "mkdir f"]),
    "executable bit": ('"${./f}"', ["write f a"], ["chmod f"]),
    "executable bit below": ('"${./d}"', ["mkdir d", "write d/f a"], ["chmod d/f"]),
    "symlink's target": ("builtins.readFile ./l", ["write f a", "write g b", "link l f"], ["remove l", "link l g"]),
    "parent's target": ("import ./l/f", ["mkdir d", "write d/f 1", "mkdir e", "write e/f 2", "link l d"], ["remove l", "link l e"]),
    "flat behind a symlink": ("builtins.path { path = ./l; recursive = false; }", ["write f a", "link l f"], ["write f b"]),
    "symlink in a source": ('"${./d}"', ["mkdir d", "link d/l a"], ["remove d/l", "link d/l b"]),
    "filtered source": ('builtins.filterSource (p: t: baseNameOf p != "no") ./d', ["mkdir d", "write d/no a"], ["write d/yes a"]),
    "default.nix": ("import ./d", ["mkdir d", "write d/default.nix 1"], ["write d/default.nix 2"]),
    "link to import": ("import ./l", ["write f 1", "write g 2", "link l f"], ["remove l", "link l g"]),
    "earlier entry": ("<p/f>", ["mkdir two", "write two/f a"], ["mkdir one", "write one/f a"]),
}


def _do(top: Path, step: str) -> None:
    verb, name, *more = step.split()
    path = top / name
    if verb == "write":
        path.write_text(more[0])
    elif verb == "link":
        path.symlink_to(more[0])
    elif verb == "mkdir":
        path.mkdir()
    elif verb == "chmod":
        path.chmod(0o755)
    else:
        path.unlink()


def test_changes_are_seen(tmp_path: Path, store: Store, cache: EvalCache) -> None:
    """At once, often within one tick of the file system's clock; and when the files are older than its grain."""
    for wait in (0, GRAIN):
        places = [Place(tmp_path, store, cache, f"{name} {wait}") for name in CHANGES]
        for place, (_, before, _) in zip(places, CHANGES.values(), strict=True):
            place.search_path = (SearchEntry("p", str(place.path("one"))), SearchEntry("p", str(place.path("two"))))
            for step in before:
                _do(place.top, step)
        time.sleep(wait)
        for place, (expression, _, after) in zip(places, CHANGES.values(), strict=True):
            first = place.evaluate(expression)
            assert place.keep(expression, first), expression
            assert place.lookup(expression) is not None, expression
            for step in after:
                _do(place.top, step)
            assert place.lookup(expression) is None, expression
            assert place.evaluate(expression).output != first.output, expression


def test_unneeded_changes_do_not_matter(place: Place) -> None:
    place.path("d").mkdir()
    place.path("d/yes").write_text("a")
    place.path("d/no").write_text("a")
    expression = 'builtins.filterSource (p: t: baseNameOf p != "no") ./d + builtins.getEnv "V"'
    place.run(expression)
    place.path("d/no").write_text("b")
    place.path("other").write_text("b")
    place.environment["OTHER"] = "x"
    # A file that comes and goes changes a folder's time and not its listing.
    place.path("d/new").write_text("")
    place.path("d/new").unlink()
    assert place.run(expression) is not None


def test_variables(place: Place) -> None:
    expression = 'builtins.getEnv "V"'
    place.run(expression)
    place.environment["V"] = ""
    assert place.run(expression) is None, "unset and empty are told apart"
    place.environment["V"] = "x"
    assert place.run(expression) is None
    assert place.run(expression) is not None


def test_messages_come_again_in_order(place: Place) -> None:
    expression = 'builtins.trace "eins\n" (builtins.warn "zwei" (builtins.trace "" 3))'
    place.run(expression)
    hit = place.run(expression)
    assert hit is not None
    assert (hit.output, hit.messages) == (b"3", [("trace", b"eins\n"), ("warn", b"zwei"), ("trace", b"")])


@pytest.mark.parametrize("expression", ["builtins.currentTime", 'builtins.readFile "/dev/null"'])
def test_impure_is_not_kept(place: Place, expression: str) -> None:
    assert not place.keep(expression, place.evaluate(expression))
    assert place.cache.problem is not None and place.cache.problem.startswith("not kept")


def test_files_without_size_are_hashed(place: Place) -> None:
    expression = 'builtins.stringLength (builtins.readFile "/proc/self/status") > 0'
    assert not place.keep(expression, place.evaluate(expression)) or place.lookup(expression) is None
    (record,) = [r for r in place.evaluate('builtins.readFile "/proc/version"').recording["seen"] if r[0] == "f"]
    assert record[-1] is not None, "its times say nothing of its content"


def test_changed_during_the_evaluation(place: Place) -> None:
    place.path("f").write_text("a")
    answer = place.evaluate("builtins.readFile ./f")
    place.path("f").write_text("bb")
    assert not place.keep("builtins.readFile ./f", answer)


def test_two_answers_to_one_question(place: Place) -> None:
    place.path("f").write_text("a")
    settings = EvalSettings(system="x86_64-linux")
    change = place.path("f").unlink
    with Evaluator(place.store, settings, on_trace=lambda _: change(), record=True) as evaluator:
        text = 'let first = builtins.pathExists ./f; in builtins.seq first (builtins.trace "now" (builtins.pathExists (./. + "/f")))'
        assert evaluator.eval(text, base_dir=str(place.top)).to_python() is False
        assert evaluator.recording()["impure"] == "something was changed during the evaluation"


# ---- the store ----


def test_written_paths_must_be_valid(place: Place) -> None:
    expression = '(derivation { name = "n"; system = "s"; builder = builtins.toFile "b" ""; }).drvPath'
    place.run(expression)
    hit = place.run(expression)
    assert hit is not None
    (path,) = place.evaluate(expression).recording["written"]
    assert path.endswith("-n.drv"), "what a derivation refers to is valid as long as it is"
    with sqlite3.connect(place.store.layout.database_dir / "db.sqlite") as db:
        db.execute("delete from ValidPaths where path = ?", (path,))
    db.close()
    assert place.run(expression) is None
    assert place.run(expression) is not None


def test_read_store_paths_must_be_what_they_were(place: Place) -> None:
    path = place.store.add_text("t", b"text")
    expression = f'builtins.readFile "{path}"'
    place.run(expression)
    assert place.run(expression) is not None
    # As after a build that is not reproducible: collected, and built again with another content.
    with sqlite3.connect(place.store.layout.database_dir / "db.sqlite") as db:
        db.execute("update ValidPaths set hash = 'sha256:00' where path = ?", (path,))
    db.close()
    assert place.run(expression) is None


def test_a_hit_holds_roots(place: Place) -> None:
    expression = 'builtins.toFile "t" "x"'
    place.run(expression)
    folder = place.store.layout.temp_roots_dir
    before = set(os.listdir(folder))
    hit = place.cache.lookup(place.key(expression), {})
    assert hit is not None
    (name,) = set(os.listdir(folder)) - before
    assert (folder / name).read_bytes() == hit.output.strip(b'"') + b"\0"
    hit.close()
    assert set(os.listdir(folder)) == before


def test_nothing_is_written_without_a_store(place: Place, tmp_path: Path) -> None:
    layout = StoreLayout.under(tmp_path / "none")
    expression = '(derivation { name = "n"; system = "s"; builder = "b"; }).drvPath'
    with Evaluator(layout, EvalSettings(system="s"), record=True) as evaluator:
        output = evaluator.eval(expression).print().encode()
        recording = evaluator.recording()
    key = make_key([expression])
    assert place.cache.store(key, recording, output, state_dir=str(layout.state_dir), is_written=False, environment={})
    hit = place.cache.lookup(key, {})
    assert hit is not None and hit.output == output
    assert not (tmp_path / "none").exists()


# ---- the cache itself ----


def test_hashes_are_dropped_when_times_tell(tmp_path: Path, store: Store) -> None:
    ahead = [0.0]
    cache = EvalCache.open(str(tmp_path / "cache"), clock=lambda: time.time() + ahead[-1])
    assert cache is not None
    with cache:
        place = Place(tmp_path, store, cache)
        place.path("f").write_text("a")
        expression = "builtins.readFile ./f"
        place.run(expression)
        sizes = []
        for seconds in (0, 60, 60):
            ahead.append(seconds)
            assert place.lookup(expression) is not None
            (row,) = cache._connection.execute("select inputs from Answers").fetchall()
            sizes.append(len(row[0]))
        assert sizes[0] - 64 == sizes[1] == sizes[2]
        place.path("f").write_text("b")
        assert place.lookup(expression) is None


def test_the_least_recently_used_goes_first(tmp_path: Path, store: Store) -> None:
    now = 0.0
    cache = EvalCache.open(str(tmp_path / "cache"), limit=40_000, clock=lambda: now)
    assert cache is not None
    with cache:
        place = Place(tmp_path, store, cache)
        expressions = [f'"{i:03}" + builtins.substring 0 0 "{"x" * 10}" + "{"y" * 9000}"' for i in range(8)]
        for i, expression in enumerate(expressions):
            now = 100_000.0 * (i + 1)
            place.run(expression)
            assert place.lookup(expressions[0]) is not None, "it is used all the time"
        assert [place.lookup(expression) is not None for expression in expressions[-3:]] == [True, True, True]
        assert place.lookup(expressions[1]) is None
        assert not place.keep("1", place.evaluate(f'"{"z" * 30_000}"')), "half of the cache is too much for one"


@pytest.mark.parametrize("damage", ["cut", "zeros", "text", "schema"])
def test_damaged_file_is_made_anew(place: Place, tmp_path: Path, damage: str) -> None:
    for i in range(50):
        place.run(f'"{i}" + "{"x" * 500}"')
    place.cache.close()
    file = tmp_path / "cache/eval.sqlite"
    data = file.read_bytes()
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "zeros":
        file.write_bytes(data[:4096] + bytes(len(data) - 4096))
    elif damage == "text":
        file.write_text("no database\n" * 1000)
    else:
        with sqlite3.connect(file) as db:
            db.execute("drop table Answers")
            db.execute("create table Answers (key blob)")
        db.close()
    for _ in range(3):
        cache = EvalCache.open(str(tmp_path / "cache"))
        assert cache is not None
        with cache:
            place.cache = cache
            for i in range(50):
                hit = place.run(f'"{i}" + "{"x" * 500}"')
                assert hit is None or hit.output == f'"{i}{"x" * 500}"'.encode()
    assert hit is not None, "it works again"


def test_changed_bytes_are_noticed(place: Place, tmp_path: Path) -> None:
    expression = '"answer-one"'
    place.run(expression)
    place.cache.close()
    file = tmp_path / "cache/eval.sqlite"
    file.write_bytes(file.read_bytes().replace(b"answer-one", b"answer-two"))
    cache = EvalCache.open(str(tmp_path / "cache"))
    assert cache is not None
    with cache:
        assert cache.lookup(place.key(expression), {}) is None


def test_unusable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    assert EvalCache.open(str(tmp_path / "file/below"), say=said.append) is None
    assert len(said) == 1 and "no evaluation cache" in said[0]
    (tmp_path / "eval.sqlite").mkdir()
    assert EvalCache.open(str(tmp_path)) is None


def test_full_disk(place: Place) -> None:
    place.run("1")
    (pages,) = place.cache._connection.execute("pragma page_count").fetchone()
    place.cache._connection.execute(f"pragma max_page_count = {pages}")
    expression = f'"{"x" * 100_000}"'
    assert not place.keep(expression, place.evaluate(expression))
    assert place.cache.problem is not None and "full" in place.cache.problem
    assert place.lookup("1") is not None


def test_locked_file(place: Place, tmp_path: Path) -> None:
    place.run("1")
    other = sqlite3.connect(tmp_path / "cache/eval.sqlite", isolation_level=None)
    other.execute("begin exclusive")
    assert place.lookup("1") is None
    assert not place.keep("2", place.evaluate("2"))
    assert EvalCache.open(str(tmp_path / "cache")) is None
    other.execute("rollback")
    other.close()
    assert place.lookup("1") is not None


def _run_python(script: str, *arguments: str) -> subprocess.Popen[str]:
    # Without the site module, whose .pth files may load anything.
    places = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen([sys.executable, "-S", "-c", script, *arguments], env={"PYTHONPATH": places}, stdout=subprocess.PIPE, text=True)


_WORK = """
import sys
from nivalis.lang.cache import EvalCache, make_key

folder, number = sys.argv[1:]
recording = {"impure": None, "seen": [], "variables": {}, "store_paths": [], "written": [], "messages": []}
kept = 0
for i in range(60):
    cache = EvalCache.open(folder, limit=50_000)
    if cache is None:
        continue  # another process had it for too long
    with cache:
        key = make_key([str((i * 7 + int(number)) % 20)])
        hit = cache.lookup(key, {})
        assert hit is None or hit.output == key * 50
        kept += cache.store(key, recording, key * 50, state_dir="/none", is_written=False, environment={})
print(kept)
"""


def test_processes_share_the_file(tmp_path: Path) -> None:
    workers = [_run_python(_WORK, str(tmp_path), str(number)) for number in range(4)]
    for worker in workers:
        output, _ = worker.communicate()
        assert worker.returncode == 0
        assert int(output) > 0


def test_a_hit_loads_only_what_it_needs(place: Place, tmp_path: Path) -> None:
    expression = 'builtins.toFile "t" "x"'
    place.run(expression)
    script = (
        "import sys\n"
        "from nivalis.lang.cache import EvalCache\n"
        f"hit = EvalCache.open({str(tmp_path / 'cache')!r}).lookup(bytes.fromhex({place.key(expression).hex()!r}), {{}})\n"
        "assert hit.output.endswith(b'-t\"'), hit\n"
        "hit.close()\n"
        "heavy = {'nivalis._native', 'nivalis.lang.evaluator', 'nivalis.errors', 'click', 'rich', 'typing', 'json', 're', 'dataclasses', 'pathlib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert _run_python(script).communicate()[0] == "[]\n"


# ---- the command ----


# The program, which says at its end whether there was an evaluation.
_NIX_INSTANTIATE = """
import os, sys
import nivalis.lang.host
from nivalis.cli.start import nix_instantiate

made = []
class Host(nivalis.lang.host.Host):
    def __init__(self, *args, **kwargs):
        made.append(self)
        super().__init__(*args, **kwargs)
nivalis.lang.host.Host = Host

def leave(status, leave=os._exit):
    print("evaluated:", bool(made), file=sys.stderr, flush=True)
    leave(status)
os._exit = leave

nix_instantiate()
"""


class Command:
    """`nix-instantiate` in a folder, with a store and a cache of its own."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.environment = {
            "HOME": str(top),
            "NIX_REMOTE": str(top / "root"),
            "NIX_PATH": "",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }

    def __call__(self, *words: str, text: str = "", status: int = 0) -> tuple[str, str, bool]:
        """What it wrote to stdout and to stderr, and whether the cache answered."""
        done = subprocess.run(
            [sys.executable, "-c", _NIX_INSTANTIATE, *words], cwd=self.top, env=self.environment, input=text, capture_output=True, text=True
        )
        assert done.returncode == status, done.stderr
        said, mark, evaluated = done.stderr.partition("evaluated: ")
        assert mark, done.stderr
        return done.stdout, said, evaluated.strip() == "False"


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


DERIVATION = 'derivation { name = "n"; system = "s"; builder = builtins.trace "said" "b"; }'


@pytest.mark.parametrize(
    "words",
    [
        ["--eval", "-E", "1 + 1"],
        ["--eval", "--strict", "--json", "-E", '[ 1 (builtins.warn "w" 2) ]'],
        ["--eval", "--xml", "-E", "{ a = 1; }", "-A", "a"],
        ["-E", DERIVATION],
        ["-E", DERIVATION, "--option", "no-such-setting", "1"],
        ["--eval", "--read-write-mode", "-E", f"({DERIVATION}).drvPath"],
        ["-E", f"[ ({DERIVATION}) ({DERIVATION}) ]", "--no-gc-warning"],
        ["file.nix", "-A", "x", "--argstr", "y", "z", "--eval"],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_second_time(command: Command, words: list[str]) -> None:
    (command.top / "file.nix").write_text("{ y }: { x = y; }")
    first = command(*words)
    assert not first[2]
    assert command(*words) == (*first[:2], True)
    assert command(*words, "--no-eval-cache") == (*first[:2], False)


def test_standard_input_is_part_of_the_request(command: Command) -> None:
    assert command("--eval", "-", text="1")[::2] == ("1\n", False)
    assert command("--eval", "-", text="2")[::2] == ("2\n", False)
    assert command("--eval", "-", text="1")[::2] == ("1\n", True)


def test_roots_are_made_each_time(command: Command) -> None:
    words = ["-E", DERIVATION, "--add-root", "link"]
    for is_hit in (False, True):
        output, _, answered = command(*words)
        assert (output, answered) == (f"{command.top}/link\n", is_hit)
        assert os.readlink(command.top / "link").endswith("-n.drv")
        (command.top / "link").unlink()


def test_failures_are_not_kept(command: Command) -> None:
    for _ in range(2):
        _, said, answered = command("--eval", "-E", 'throw "no"', status=1)
        assert "no" in said and not answered


def test_folder_and_search_path_are_part_of_the_request(command: Command) -> None:
    (command.top / "a").mkdir()
    (command.top / "a/f").write_text("1")
    words = ["--eval", "-E", "import <x/f>", "-I", "x=a"]
    assert command(*words)[::2] == ("1\n", False)
    assert command(*words)[2]
    command.environment["NIX_PATH"] = f"x={command.top}/b"
    assert not command(*words)[2], "whatever `-I` says, NIX_PATH is a part of the request"
    assert not command("--eval", "-E", "import <x/f>", "-I", f"x={command.top}/a")[2]


def test_channels_that_come_later(command: Command) -> None:
    del command.environment["NIX_PATH"]
    words = ["--eval", "--strict", "-E", "builtins.nixPath"]
    assert command(*words)[0] == "[ ]\n"
    assert command(*words)[2]
    (command.top / ".nix-defexpr/channels").mkdir(parents=True)
    output, _, answered = command(*words)
    assert "channels" in output and not answered


def test_unusable_cache_is_no_error(command: Command) -> None:
    (command.top / "file").write_text("")
    command.environment["XDG_CACHE_HOME"] = str(command.top / "file")
    assert command("--eval", "-E", "1") == ("1\n", "", False)
    assert "no evaluation cache" in command("--eval", "-E", "1", "-v")[1]
