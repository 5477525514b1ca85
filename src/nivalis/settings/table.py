"""The table of all options: what `nix.conf`, NIX_CONFIG and command lines can set.

Names, aliases, kinds and defaults are CppNix's (version 2.36; defaults where 2.8 and 2.36 differ are the newer's unless a comment says
otherwise), so that one configuration serves both.  Everything that knows options reads them here: the reader of configuration, the
flags of commands, `nivalis config`, and the reference page.

An option that has no effect here is in the table too, with the reason, since a configuration that is right for CppNix must not be
an error.  A default that depends on the machine is in `machine.py`; the text here then says what it is, in angle brackets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

__all__ = ["EXTRA", "OPTIONS", "SECTIONS", "Kind", "Option", "all_names", "find_option"]

# What a value is: `words` keep their order, a `set` has none, a `map` is `name=value` words.
Kind = Literal["switch", "number", "text", "path", "words", "set", "map"]
_LISTS = ("words", "set", "map")

# Before the name of a list's option: the value is added to what there is.
EXTRA = "extra-"


class Option(NamedTuple):
    """One option.  `ignored` says why it has no effect; it is empty for one that has.  `also` are words that it can be as well."""

    name: str
    kind: Kind
    default: str
    text: str
    ignored: str = ""
    aliases: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def is_list(self) -> bool:
        return self.kind in _LISTS

    @property
    def is_machines(self) -> bool:
        """Whether the default depends on the machine."""
        return self.default.startswith("<")


_DAEMON = "there is no daemon, and whoever starts a command is who it works for"
_FLAKES = "there are no flakes"
_REMOTE = "builds run on this machine"
_HOOKS = "no hooks are run"
_DARWIN = "it concerns macOS"
_DEBUGGER = "`nivalis repl` has no debugger"
_PROFILER = "there is no profiler of evaluations"
_LINT = "literals are not judged"
_DEVELOP = "it concerns `nix develop`"
_UIDS = "a build's user comes from `build-users-group`, or is the user's own in a user namespace"
_SPACE = "nothing is collected during builds; `nix-collect-garbage` collects"
_RETRIES = "pauses between attempts double from half a second on to ten"

_EVALUATION = (
    Option("abort-on-warn", "switch", "false", "Make a warning of `builtins.warn` an error."),
    Option("allow-import-from-derivation", "switch", "true", "Let an evaluation build derivations whose outputs it reads."),
    Option("allow-unsafe-native-code-during-evaluation", "switch", "false", "Offer builtins that run native code.", "there are no such builtins"),
    Option("allowed-uris", "words", "", "What a restricted evaluation may fetch: addresses, or beginnings of them."),
    Option("debugger-on-trace", "switch", "false", "Stop in the debugger at each trace.", _DEBUGGER),
    Option("debugger-on-warn", "switch", "false", "Stop in the debugger at each warning.", _DEBUGGER),
    Option(
        "eval-attrset-update-layer-rhs-threshold",
        "number",
        "16",
        "Up to which size an update of a set is kept as a layer.",
        "sets choose for themselves",
    ),
    Option("eval-cache", "switch", "true", "Answer from the cache of evaluations what was evaluated before."),
    Option("eval-profile-file", "path", "nix.profile", "Where the profile of an evaluation is written.", _PROFILER),
    Option("eval-profiler", "text", "disabled", "How evaluations are profiled.", _PROFILER),
    Option("eval-profiler-frequency", "number", "99", "How many samples are taken each second.", _PROFILER),
    Option("eval-system", "text", "", "The value of `builtins.currentSystem`, if it is not to be that of `system`."),
    Option("experimental-features", "set", "", "Features of the language that have to be asked for: `pipe-operators`; others change nothing."),
    Option("ignore-try", "switch", "false", "Let the debugger stop at errors that `tryEval` catches.", _DEBUGGER),
    Option("lint-absolute-path-literals", "text", "ignore", "What to do about absolute paths in expressions.", _LINT),
    Option("lint-short-path-literals", "text", "ignore", "What to do about relative paths that do not begin with a dot.", _LINT),
    Option("lint-url-literals", "text", "ignore", "What to do about addresses that are not in quotes.", _LINT),
    Option("max-call-depth", "number", "10000", "How deep calls of functions may go."),
    Option("nix-path", "words", "", "The search path for `<name>`, where NIX_PATH is not set; entries are `prefix=place` or `place`."),
    Option("plugin-files", "words", "", "Plugins to load.", "plugins of CppNix are native code for its own inside"),
    Option("pure-eval", "switch", "false", "Let an evaluation read only what is named by its content."),
    Option("repl-overlays", "words", "", "Files with overlays for the scope of the repl.", "`nivalis repl FILE` adds to the scope"),
    Option("restrict-eval", "switch", "false", "Let an evaluation read only what is in the search path, and fetch only `allowed-uris`."),
    Option("show-trace", "switch", "false", "Show all frames of an error's trace."),
    Option("trace-function-calls", "switch", "false", "Report each call of a function.", "calls are not reported"),
    Option("trace-import-from-derivation", "switch", "false", "Warn when evaluation builds what it reads.", "what is built is shown"),
    Option("trace-verbose", "switch", "false", "Let `builtins.traceVerbose` show its message."),
    Option("warn-short-path-literals", "switch", "false", "Warn about relative paths that do not begin with a dot.", _LINT),
)
_BUILDS = (
    Option("allow-new-privileges", "switch", "false", "Let builders gain privileges from setuid programs.", "a sandbox never lets them"),
    Option("allowed-impure-host-deps", "set", "", "What of the host derivations may ask to see.", _DARWIN),
    Option("always-allow-substitutes", "switch", "false", "Fetch derivations too that say `allowSubstitutes = false`."),
    Option("auto-allocate-uids", "switch", "false", "Take users for builds from a range of numbers.", _UIDS),
    Option("build-dir", "path", "<TMPDIR, or /tmp>", "Where the folders of running builds are."),
    Option("build-hook", "words", "nix __build-remote", "The program that hands builds to other machines.", _REMOTE),
    Option("build-hook-kill-timeout", "number", "500", "How long that program may take to end, in milliseconds.", _REMOTE),
    Option("build-poll-interval", "number", "5", "How often locks are asked for, in seconds.", "locks are waited for"),
    Option("build-users-group", "text", "<nixbld as root>", "The group whose members builds run as when root starts them."),
    Option("builders", "text", "@/etc/nix/machines", "Machines that can build.", _REMOTE),
    Option("builders-use-substitutes", "switch", "false", "Let other machines fetch what they need themselves.", _REMOTE),
    Option("compress-build-log", "switch", "true", "Compress the logs of builds.", aliases=("build-compress-log",)),
    Option("cores", "number", "0", "How many processors each build is told to use; 0 is all.", aliases=("build-cores",)),
    Option("darwin-log-sandbox-violations", "switch", "false", "Log what the sandbox forbade.", _DARWIN),
    Option("diff-hook", "path", "", "The program that compares the outputs of a repeated build.", "`--check` says itself what differs"),
    Option("enforce-determinism", "switch", "true", "Fail where repeated builds differ.", "CppNix has it no more; `--check` builds again"),
    Option("external-builders", "text", "[]", "Programs that build for other platforms.", _REMOTE),
    Option("extra-platforms", "set", "<i686-linux on x86_64-linux>", "Further platforms that this machine builds for."),
    Option("fallback", "switch", "true", "Build what could not be fetched (CppNix: only when asked to).", aliases=("build-fallback",)),
    Option(
        "filter-syscalls",
        "switch",
        "true",
        "Forbid builders to make setuid files and extended attributes.",
        "outputs are cleaned of both after the build",
    ),
    Option("hashed-mirrors", "words", "", "Servers that have files by their hash.", "files come from where derivations say"),
    Option("id-count", "number", "8388608", "How many users there are for builds.", _UIDS),
    Option("ignored-acls", "set", "security.csm security.selinux system.nfs4_acl", "Extended attributes that may stay.", "none is ever removed"),
    Option("impersonate-linux-26", "switch", "false", "Tell builders that Linux is old.", "it is not", aliases=("build-impersonate-linux-26",)),
    Option("impure-env", "map", "", "Variables that `impureEnvVars` can name, beside those of the environment."),
    Option("keep-build-log", "switch", "true", "Keep the logs of builds.", aliases=("build-keep-log",)),
    Option("keep-failed", "switch", "false", "Keep the folders of failed builds."),
    Option("keep-going", "switch", "false", "After a failure, build what does not need what failed."),
    Option("log-lines", "number", "25", "How many lines of its log are shown of a failed build."),
    Option("max-build-log-size", "number", "0", "How many bytes a builder may say; 0 is any number.", aliases=("build-max-log-size",)),
    Option("max-jobs", "number", "1", "How many builds run at once; `auto` is one for each processor.", aliases=("build-max-jobs",), also=("auto",)),
    Option("max-silent-time", "number", "0", "For how many seconds a builder may say nothing; 0 is any number.", aliases=("build-max-silent-time",)),
    Option("post-build-hook", "text", "", "The program to run after each build.", _HOOKS),
    Option("pre-build-hook", "text", "", "The program that adds to the sandbox of a build.", _HOOKS),
    Option("print-missing", "switch", "true", "Say beforehand what will be built and fetched.", "`--dry-run` says it"),
    Option(
        "repeat", "number", "0", "How often to build again, to compare.", "CppNix has it no more; `--check` builds again", aliases=("build-repeat",)
    ),
    Option("require-drop-supplementary-groups", "switch", "false", "Fail where a builder cannot leave its groups.", "the sandbox has none of them"),
    Option("run-diff-hook", "switch", "false", "Run `diff-hook` when outputs differ.", "`--check` says itself what differs"),
    Option(
        "sandbox",
        "switch",
        "true",
        "Let builders see nothing but their inputs; `relaxed` is as `true`.",
        aliases=("build-use-chroot", "build-use-sandbox"),
        also=("relaxed",),
    ),
    Option("sandbox-build-dir", "path", "/build", "The place of the build folder as a sandboxed builder sees it."),
    Option(
        "sandbox-dev-shm-size",
        "text",
        "50%",
        "The size of /dev/shm in the sandbox.",
        "/dev/shm is a part of the sandbox's /dev, whose size is not bounded",
    ),
    Option("sandbox-fallback", "switch", "true", "Build without a sandbox where there can be none.", "that takes an explicit `sandbox = false`"),
    Option(
        "sandbox-paths",
        "set",
        "</bin/sh, if this machine has a static shell>",
        "What else builders see: `/path`, `/path/there=/path/here`, each with `?` behind it if it may be missing.",
        aliases=("build-chroot-dirs", "build-sandbox-paths"),
    ),
    Option("start-id", "number", "872415232", "The first user for builds.", _UIDS),
    Option("system", "text", "<this machine's>", "The platform that this machine builds for, and that expressions see."),
    Option("system-features", "set", "<this machine's>", "Features of this machine that derivations may require."),
    Option("timeout", "number", "0", "How many seconds a build may take; 0 is any number.", aliases=("build-timeout",)),
    Option("use-cgroups", "switch", "false", "Run each build in a control group.", "a build's processes end with its sandbox"),
)
_STORE = (
    Option("allow-symlinked-store", "switch", "false", "Allow a store behind a symlink.", "builds that resolve their own paths break in it"),
    Option("auto-optimise-store", "switch", "false", "Make equal files of the store one at once when paths are added."),
    Option("fsync-metadata", "switch", "true", "Have changes of the database on the disk before going on.", "the database always does"),
    Option(
        "fsync-store-paths",
        "switch",
        "false",
        "Have new paths on the disk before they are registered.",
        "`nix-store --verify` finds what a power cut damaged",
    ),
    Option("gc-reserved-space", "number", "8388608", "How many bytes are kept free for the collector.", "it works on a full disk"),
    Option("keep-derivations", "switch", "true", "Keep the derivations that live outputs come from.", aliases=("gc-keep-derivations",)),
    Option("keep-env-derivations", "switch", "false", "Keep the derivations of what is in profiles.", aliases=("env-keep-derivations",)),
    Option("keep-outputs", "switch", "false", "Keep the outputs of live derivations.", aliases=("gc-keep-outputs",)),
    Option("max-free", "number", "9223372036854775807", "How many bytes a collection during a build leaves free.", _SPACE),
    Option("min-free", "number", "0", "With how few bytes free a build collects garbage; 0 is never.", _SPACE),
    Option("min-free-check-interval", "number", "5", "How often that is asked, in seconds.", _SPACE),
    Option("nar-buffer-size", "number", "33554432", "Up to which size NARs are kept in memory.", "NARs are streamed"),
    Option("preallocate-contents", "switch", "false", "Reserve the room of a file before it is written.", "files grow as they are written"),
    Option("store", "text", "<NIX_REMOTE, or auto>", "The store: `auto`, a folder, or `local?root=…`."),
    Option(
        "sync-before-registering",
        "switch",
        "false",
        "Call `sync` before a path is registered.",
        "`nix-store --verify` finds what a power cut damaged",
    ),
    Option("use-case-hack", "switch", "false", "Rename files whose names differ in case only.", _DARWIN),
    Option("use-sqlite-wal", "switch", "true", "Let the database use a write-ahead log.", "it always does"),
    Option(
        "use-xdg-base-directories", "switch", "false", "Have a user's profile link and channels below XDG_STATE_HOME.", "they are in the home folder"
    ),
    Option("warn-large-path-threshold", "number", "0", "Warn about added paths larger than this.", "adding shows no sizes"),
)
_CACHES = (
    Option("connect-timeout", "number", "15", "How many seconds connecting may take; unless it is set, 3 for binary caches."),
    Option("filetransfer-retry-attempts", "number", "5", "How often something is tried to be fetched.", aliases=("download-attempts",)),
    Option("filetransfer-retry-delay", "number", "100", "The first pause before another attempt, in milliseconds.", _RETRIES),
    Option("filetransfer-retry-delay-rate-limited", "number", "5000", "That pause where a server asks for patience.", _RETRIES),
    Option("filetransfer-retry-jitter", "switch", "true", "Vary the pauses.", _RETRIES),
    Option("filetransfer-retry-max-delay", "number", "60000", "The longest pause, in milliseconds.", _RETRIES),
    Option(
        "http-connections",
        "number",
        "25",
        "How many connections there are at once for fetching; 0 is any number; unless it is set, 128 for binary caches.",
        aliases=("binary-caches-parallel-connections",),
    ),
    Option("http2", "switch", "true", "Speak HTTP/2 with servers that do.", "HTTP/1.1 is spoken, over several connections"),
    Option("http3", "switch", "false", "Speak HTTP/3 with servers that do.", "HTTP/1.1 is spoken, over several connections"),
    Option(
        "max-substitution-jobs",
        "number",
        "16",
        "How many paths are fetched at once.",
        "as many as `http-connections` lets through",
        aliases=("substitution-max-jobs",),
    ),
    Option("narinfo-cache-meta-ttl", "number", "604800", "For how many seconds it is known what kind of cache a cache is."),
    Option("narinfo-cache-negative-ttl", "number", "3600", "For how many seconds it is known that a cache does not have a path."),
    Option("narinfo-cache-positive-ttl", "number", "2592000", "For how many seconds it is known that a cache has a path."),
    Option("netrc-file", "path", "<netrc beside nix.conf>", "The file with users and passwords for servers."),
    Option("require-sigs", "switch", "true", "Take from a cache only what a trusted key signed."),
    Option("secret-key-files", "words", "", "Files with the keys that sign what is built here."),
    Option("ssl-cert-file", "path", "<NIX_SSL_CERT_FILE or SSL_CERT_FILE>", "The certificates of authorities that servers are trusted by."),
    Option(
        "stalled-download-timeout",
        "number",
        "300",
        "How many seconds a server may send nothing; unless it is set, 10 for binary caches and 30 elsewhere.",
    ),
    Option("substitute", "switch", "true", "Fetch from caches what they have, rather than build it.", aliases=("build-use-substitutes",)),
    Option("substituters", "words", "https://cache.nixos.org/", "The binary caches to fetch from.", aliases=("binary-caches",)),
    Option(
        "trusted-public-keys",
        "words",
        "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=",
        "The keys whose signatures are trusted.",
        aliases=("binary-cache-public-keys",),
    ),
    Option("trusted-substituters", "set", "", "Caches that users of a daemon may name.", _DAEMON, aliases=("trusted-binary-caches",)),
    Option("user-agent-suffix", "text", "", "What is added to the name that servers are told.", "they are told `nivalis`"),
    Option(
        "download-buffer-size",
        "number",
        "1048576",
        "How much is held of a download that is not taken fast enough.",
        "downloads are taken as they come",
    ),
    Option("download-speed", "number", "0", "How many kilobytes a second a download may take.", "downloads are not slowed down"),
)
_FETCHING = (
    Option(
        "access-tokens", "map", "", "Tokens for hosts of sources: `host=token`.", "sources are fetched by git and HTTP, whose own credentials count"
    ),
    Option("accept-flake-config", "switch", "false", "Obey the settings of flakes.", _FLAKES),
    Option("allow-dirty", "switch", "true", "Allow working trees with changes.", _FLAKES),
    Option("allow-dirty-locks", "switch", "false", "Allow locks on working trees with changes.", _FLAKES),
    Option("commit-lock-file-summary", "text", "", "The message with which lock files are committed.", _FLAKES, aliases=("commit-lockfile-summary",)),
    Option("flake-registry", "text", "https://channels.nixos.org/flake-registry.json", "The registry of flakes.", _FLAKES),
    Option("tarball-ttl", "number", "3600", "For how many seconds something fetched without a hash is not asked for again."),
    Option("trust-tarballs-from-git-forges", "switch", "true", "Take archives of forges as locked by their revision.", _FLAKES),
    Option("use-registries", "switch", "true", "Look flakes up in registries.", _FLAKES),
    Option("warn-dirty", "switch", "true", "Warn about working trees with changes.", _FLAKES),
)
_COMMANDS = (
    Option("allowed-users", "words", "*", "Who may use the daemon.", _DAEMON),
    Option("bash-prompt", "text", "", "The prompt of a development shell.", _DEVELOP),
    Option("bash-prompt-prefix", "text", "", "What stands before that prompt.", _DEVELOP),
    Option("bash-prompt-suffix", "text", "", "What stands behind that prompt.", _DEVELOP),
    Option("json-log-path", "path", "", "Where a copy of the log goes as JSON.", "`--json-events` writes events as JSON"),
    Option("nix-shell-always-looks-for-shell-nix", "switch", "true", "Let `nix-shell` look for a shell.nix in folders that it is given."),
    Option("nix-shell-shebang-arguments-relative-to-script", "switch", "true", "Let paths in a `#! nix-shell` line start from the script."),
    Option("trusted-users", "words", "root", "Who may tell the daemon what to trust.", _DAEMON),
    Option("upgrade-nix-store-path-url", "text", "", "Where `nix upgrade-nix` looks for versions of Nix.", "nivalis is not upgraded by itself"),
)

SECTIONS: tuple[tuple[str, tuple[Option, ...]], ...] = (
    ("Evaluation", _EVALUATION),
    ("Builds", _BUILDS),
    ("The store", _STORE),
    ("Binary caches and downloads", _CACHES),
    ("Sources", _FETCHING),
    ("Commands", _COMMANDS),
)
OPTIONS: dict[str, Option] = {option.name: option for _, options in SECTIONS for option in options}
_ALIASES: dict[str, Option] = {alias: option for option in OPTIONS.values() for alias in option.aliases}


def find_option(name: str) -> tuple[Option, bool] | None:
    """The option that a name or alias means, and whether a value is to be added to it (`extra-`); None if it means none."""
    option = OPTIONS.get(name) or _ALIASES.get(name)
    if option is not None:
        return option, False
    if name.startswith(EXTRA):
        name = name.removeprefix(EXTRA)
        option = OPTIONS.get(name) or _ALIASES.get(name)
        if option is not None and option.is_list:
            return option, True
    return None


def all_names() -> Iterator[tuple[str, Option, bool]]:
    """Every name that can be set, with its option and whether it adds to it."""
    for option in OPTIONS.values():
        for name in (option.name, *option.aliases):
            yield name, option, False
            # `extra-platforms` is an option itself.
            if option.is_list and EXTRA + name not in OPTIONS:
                yield EXTRA + name, option, True
