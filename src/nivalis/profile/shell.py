"""Shells: the environment that a derivation would be built in, for whoever wants to work in it.  What `nix-shell` starts.

A shell is Bash with the derivation's variables, which first reads a file that we write: it sources `$stdenv/setup`, gives the user's
own PATH back, runs `shellHook`, and then does what was asked.  The rules (which variables, what stays in a pure shell, what is run when)
are CppNix's.

A `Shell` says what the derivation has to do with it, and a `ShellRun` what the user wants; both are made of plain text, and the first
can be kept (`encode`), so that the same shell is started again without an evaluation.  `start` adds what is only known then: the
caller's environment and a temporary folder.  It does not return: this process becomes the shell, with its number, its terminal and its
exit status.

Nothing here evaluates or builds.  Until something is made, this module imports next to nothing.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import NoReturn

    from nivalis.build.settings import BuildSettings
    from nivalis.store.derivation import Derivation
    from nivalis.store.store import Store

__all__ = ["Shell", "ShellRun", "become", "make_shell", "remove_folder", "start"]

# Of the caller's environment, what a pure shell keeps.
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_KEPT = {
    *("HOME", "USER", "LOGNAME", "TERM", "DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET", "XDG_RUNTIME_DIR", "TZ", "PAGER", "PATH", "SHLVL"),
    *("IN_NIX_SHELL", "NIX_SHELL_PRESERVE_PROMPT", "NIX_BUILD_SHELL"),
    *_PROXIES,
    *map(str.upper, _PROXIES),
}
_FOLDER_VARIABLES = ("NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP")
_ATTRIBUTES = ".attrs.sh"
# Variables of a derivation that name what it is built from, without a farm and with one, in which all else is.
_INPUTS = (("nativeBuildInputs", "buildInputs"), ("ownInputs",))


class ShellRun:
    """What the user wants of a shell.

    `pure`: little of the caller's environment, but for the variables `keep`.  `command`: to be run in place of a prompt.  `interactive`: on
    a terminal, as an interactive shell.  `interpreter` and `script` (a program, and its script with its arguments) are what the shell becomes
    in the end.  `plain`: nothing of the derivation's but its inputs' commands, and, as variables of the shell alone, `mainProgram` and
    `mainFolder`; then `script` are the command's arguments.  `bare`: where there is a farm, little of the machine's files is
    seen, but for the working directory.
    """

    __slots__ = ("bare", "command", "interactive", "interpreter", "keep", "plain", "pure", "script")

    def __init__(self) -> None:
        self.bare = False
        self.plain = False
        self.pure = False
        self.keep: list[str] = []
        self.command = ""
        self.interactive = True
        self.interpreter = ""
        self.script: list[str] = []


class Shell:
    """What a derivation makes of a shell.

    `program` is the Bash (empty: that of PATH), `variables` are the derivation's, `files` (name: text) are wanted in the temporary folder,
    and `file_variables` say where (name: file's name).  `cores` is the setting.  `places` are what has to be seen elsewhere than it lies
    (place there: place), the first of them the store itself.  `farm` is the store path of what is /usr there; empty for the machine's own.
    """

    __slots__ = ("cores", "farm", "file_variables", "files", "places", "program", "store_dir", "variables")

    def __init__(self, program: str, cores: int, store_dir: str, farm: str = "") -> None:
        self.program = program
        self.cores = cores
        self.store_dir = store_dir
        self.farm = farm
        self.places: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.file_variables: dict[str, str] = {}
        self.files: dict[str, str] = {}

    def encode(self) -> bytes:
        """The shell as bytes, for `decode`: no text of Nix has a zero byte in it."""
        words = [self.program, str(self.cores), self.store_dir, self.farm]
        for table in self._tables():
            words.append(str(len(table)))
            for name, text in table.items():
                words += (name, text)
        return os.fsencode("\0".join(words))

    @classmethod
    def decode(cls, data: bytes) -> Shell:
        words = iter(os.fsdecode(data).split("\0"))
        shell = cls(next(words), int(next(words)), next(words), next(words))
        for table in shell._tables():
            for _ in range(int(next(words))):
                name = next(words)
                table[name] = next(words)
        return shell

    def _tables(self) -> tuple[dict[str, str], ...]:
        return self.places, self.variables, self.file_variables, self.files


def make_shell(store: Store, derivation: Derivation, inputs: Collection[str], settings: BuildSettings, program: str) -> Shell:
    """The shell of a derivation; `inputs` are the valid paths that it is built from.  Raises CannotBuildError, ShellError."""
    from nivalis.build.environment import make_environment
    from nivalis.build.options import DerivationOptions
    from nivalis.profile.namespace import find_places

    shell = Shell(program, settings.cores, store.store_dir, derivation.env.get("usrFarm", ""))
    if shell.farm and (shell.farm not in inputs or not os.path.isdir(f"{store.real_path(shell.farm)}/usr")):
        from nivalis.profile.errors import ShellError

        raise ShellError(f"`usrFarm` names no input that has a folder `usr`: `{shell.farm}`", hint="a farm is made by `pkgs.makeFarm`")
    shell.places = find_places(store.layout)
    if shell.places:
        # Links that commands in the shell make lead to where the files really are, and so can be followed outside.
        shell.variables["NIX_REMOTE"] = store.layout.address
    options = DerivationOptions(derivation)
    in_files = (derivation.env.get("passAsFile") or "").split() if options.structured is None else ()
    for name, text in sorted(derivation.env.items()):
        if name in in_files:
            file = f".attr-{len(shell.files)}"
            shell.files[file] = text
            shell.file_variables[f"{name}Path"] = file
        else:
            shell.variables[name] = text
    if options.structured is not None:
        files = make_environment(store, derivation, options, store.database.closure(inputs), settings, "/").files
        shell.files = {name: os.fsdecode(data) for name, data in files.items()}
        shell.file_variables = {"NIX_ATTRS_SH_FILE": _ATTRIBUTES, "NIX_ATTRS_JSON_FILE": ".attrs.json"}
    return shell


def start(shell: Shell, run: ShellRun, environment: Mapping[str, str]) -> NoReturn:
    """Become the shell.  `environment` is the caller's.  Raises ShellError, NamespaceError, OSError."""
    name = shell.program or "bash"
    program = name if "/" in name else _find_program(name, environment)
    if program is None:
        from nivalis.profile.errors import ShellError

        raise ShellError(f"there is no `{name}` on the PATH", hint="NIX_BUILD_SHELL names the shell")
    variables = _without_coerced_locale(environment)
    if run.pure:
        kept = _KEPT.union(run.keep)
        variables = {name: text for name, text in variables.items() if name in kept}
        # NixOS's /etc/bashrc reads /etc/profile unless this says that it was read.
        variables["__ETC_PROFILE_SOURCED"] = "1"
    base = environment.get("TMPDIR") or "/tmp"
    folder = f"{base}/nix-shell-{os.getpid()}-{os.urandom(4).hex()}"
    os.mkdir(folder, 0o700)
    # A shell that becomes another program cannot remove its folder in the end; without files nobody needs it.
    is_brief = run.plain or (bool(run.interpreter) and not shell.files)
    if not run.plain:
        variables |= dict.fromkeys(_FOLDER_VARIABLES, base if is_brief else folder)
        variables["NIX_STORE"] = shell.store_dir
        variables["NIX_BUILD_CORES"] = str(shell.cores or os.cpu_count() or 1)
        for name, text in shell.files.items():
            _write(f"{folder}/{name}", text)
        # A name with `=` in it would be another variable.
        variables |= {name: text for name, text in shell.variables.items() if name and "=" not in name}
        variables |= {name: f"{folder}/{file}" for name, file in shell.file_variables.items()}
    _write(f"{folder}/rc", _rc_text(shell, run, program, folder, environment, is_brief=is_brief))
    is_interactive = run.interactive and os.isatty(0) and os.isatty(2)
    words = ["bash", *(["--rcfile"] if is_interactive else []), f"{folder}/rc", *(run.script if run.plain and run.command else [])]
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if shell.places or shell.farm:
            from nivalis.profile import namespace

            view = namespace.View(shell.places, shell.farm)
            if run.bare:
                view.is_bare, view.home, view.shown = True, environment.get("HOME", ""), [os.getcwd(), base]
            if not view.is_here:
                namespace.enter(view, program, words, variables, scratch=folder)
        become(program, words, variables)
    except BaseException:
        remove_folder(folder)
        raise


def become(program: str, words: list[str], variables: Mapping[str, str]) -> NoReturn:
    """Execute `program` in place of this process; `words` begin with the name that it is called by.  Raises ShellError."""
    import signal

    # Python ignores it; a program that writes to a pipe that nobody reads is to end by it.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execve(program, words, variables)
    except OSError as error:
        import errno

        from nivalis.profile.errors import ShellError

        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        if error.errno == errno.E2BIG:
            name = max(variables, key=lambda name: len(variables[name]))
            raise ShellError(
                f"the variables are too large for the system; the largest is `{name}`, with {len(variables[name])} characters",
                hint=f"name `{name}` in the derivation's `passAsFile`",
            ) from error
        raise ShellError(f"cannot start `{program}`: {error.strerror}", hint="NIX_BUILD_SHELL names the shell") from error


def _rc_text(shell: Shell, run: ShellRun, program: str, folder: str, environment: Mapping[str, str], *, is_brief: bool) -> str:
    """What Bash reads first."""
    # A pure shell may have no `rm` of its own.
    remove = f"{_quoted(_find_program('rm', environment) or 'rm')} -rf {_quoted(folder)}"
    if is_brief:
        lines = [remove]
    else:
        # stdenv sets a trap of its own for EXIT, and has hooks instead.
        lines = [
            f"_nivalis_remove_folder() {{ command {remove}; }}",
            "trap _nivalis_remove_folder EXIT",
            "exitHooks+=(_nivalis_remove_folder)",
            "failureHooks+=(_nivalis_remove_folder)",
        ]
    if not run.pure:
        lines += ['if [ -n "$PS1" ] && [ -e ~/.bashrc ]; then source ~/.bashrc; fi', "p=$PATH"]
    # Where a farm is /usr, its commands are what there is.
    folders = ["/usr/bin", "/usr/sbin"] if shell.farm else []
    if run.plain:
        folders = [f"{path}/bin" for name in _INPUTS[bool(shell.farm)] for path in shell.variables.get(name, "").split()] + folders
    lines.append(f"PATH={_quoted(':'.join(folders))}" if folders else "unset PATH")
    if run.plain:
        lines += [f"{name}={_quoted(shell.variables[name])}" for name in ("mainProgram", "mainFolder") if name in shell.variables]
    else:
        lines += ["dontAddDisableDepTrack=1", shell.files.get(_ATTRIBUTES, "")]
        lines.append('if [ -e "$stdenv/setup" ]; then source "$stdenv/setup"; fi')
    # An empty PATH leaves no empty entry in it, which would be the working directory.
    if not run.pure:
        lines += ["PATH=${PATH:+$PATH:}$p", "unset p"]
    if "/" in shell.program and not shell.farm:
        lines.append(f"PATH={_quoted(os.path.dirname(program))}${{PATH:+:$PATH}}")
    colour = "31" if os.geteuid() == 0 else "32"
    lines += [
        "export PATH",
        f"SHELL={_quoted(program)}",
        f"BASH={_quoted(program)}",
        "set +e",
        'if [ -n "$PS1" ] && [ -z "$NIX_SHELL_PRESERVE_PROMPT" ]; then',
        rf"  PS1='\n\[\033[1;{colour}m\][nix-shell:\w]\$\[\033[0m\] '",
        "fi",
        "" if run.plain else 'if [ "$(type -t runHook)" = function ]; then runHook shellHook; fi',
        "unset NIX_ENFORCE_PURITY",
        "shopt -u nullglob",
        "unset TZ",
    ]
    if "TZ" in environment:
        lines.append(f"export TZ={_quoted(environment['TZ'])}")
    lines.append("shopt -s execfail")
    if run.interpreter:
        lines.append(_exec_line(run.interpreter, run.script))
    elif run.command:
        lines += [run.command, "exit"]
    return "\n".join(lines) + "\n"


def _exec_line(interpreter: str, script: list[str]) -> str:
    """The command that becomes a script's interpreter."""
    words = " ".join(map(_quoted, script))
    # Perl and Ruby read the `#!` line again and would start what it names; Perl does not when it is called by another name, and Ruby not
    # when the script is loaded by another.
    if "perl" in interpreter:
        return f"exec -a PERL {interpreter} {words}"
    if "ruby" in interpreter:
        return f"exec {interpreter} -e 'load(ARGV.shift)' -- {words}"
    return f"exec {interpreter} {words}"


def _without_coerced_locale(environment: Mapping[str, str]) -> dict[str, str]:
    """A copy without the LC_CTYPE that Python sets for itself where the locale is C (PEP 538); programs in the shell are to see that one."""
    found = dict(environment)
    if "LC_CTYPE" in found:
        with open("/proc/self/environ", "rb") as file:
            if not any(line.startswith(b"LC_CTYPE=") for line in file.read().split(b"\0")):
                del found["LC_CTYPE"]
    return found


def _find_program(name: str, environment: Mapping[str, str]) -> str | None:
    for folder in environment.get("PATH", os.defpath).split(":"):
        place = os.path.abspath(f"{folder or '.'}/{name}")
        if os.access(place, os.X_OK) and os.path.isfile(place):
            return place
    return None


def _write(place: str, text: str) -> None:
    with open(place, "xb") as file:
        file.write(os.fsencode(text))


def remove_folder(folder: str) -> None:
    """Remove the folder of a shell that did not start."""
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
    os.rmdir(folder)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
