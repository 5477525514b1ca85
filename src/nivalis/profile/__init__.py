"""Profiles: what a user or a system has installed, in generations that can be gone back to.

    with Evaluator(store, settings) as evaluator:
        profile = Profile(Path("/nix/var/nix/profiles/per-user/me/profile"), store.layout)
        token = profile.token
        installed = read_manifest(evaluator, store.layout, profile.environment)
        change = remove(installed, ["hello"], store_path_of=..., warn=print)
        path = make_environment(store, change.elements, build)
        profile.switch_to_path(store, path, expected=token)

What it is: generations of a profile and switching between them (`Profile`), the elements of a user environment and its manifest,
what installing, removing and upgrading make of them (functions from elements to elements), choosing packages by name,
the expression that packages come from by default, and shells with the environment of a derivation (`make_shell`, `start`).

What it may import: `nivalis.lang`, `nivalis.store`, `nivalis.fetch` and what is below them.

What it does not do: it builds nothing itself (building is handed in) and collects nothing; a generation is a garbage-collector root
by the place of its link.  It says nothing to the user, and reads neither the environment nor the working directory.

The names here are imported when they are first used.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from nivalis.profile.default_expression import eval_source
    from nivalis.profile.environment import make_environment
    from nivalis.profile.generations import Generation
    from nivalis.profile.manifest import read_manifest
    from nivalis.profile.operations import Change, install, remove, set_flag, upgrade
    from nivalis.profile.packages import Available, Element
    from nivalis.profile.profiles import Profile
    from nivalis.profile.selection import pick_newest, select
    from nivalis.profile.shell import Shell, ShellRun, make_shell, start

__all__ = [
    "Available",
    "Change",
    "Element",
    "Generation",
    "Profile",
    "Shell",
    "ShellRun",
    "eval_source",
    "install",
    "make_environment",
    "make_shell",
    "pick_newest",
    "read_manifest",
    "remove",
    "select",
    "set_flag",
    "start",
    "upgrade",
]

__getattr__ = from_modules(
    __name__,
    {
        "Available": "packages",
        "Change": "operations",
        "Element": "packages",
        "Generation": "generations",
        "Profile": "profiles",
        "Shell": "shell",
        "ShellRun": "shell",
        "eval_source": "default_expression",
        "install": "operations",
        "make_environment": "environment",
        "make_shell": "shell",
        "pick_newest": "selection",
        "read_manifest": "manifest",
        "remove": "operations",
        "select": "selection",
        "set_flag": "operations",
        "start": "shell",
        "upgrade": "operations",
    },
)
