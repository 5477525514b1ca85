"""Building: derivations become outputs, in a sandbox, to the bytes that CppNix would make.

What it is: `realise` makes derivations' outputs valid in a store, with a scheduler over their graph, a sandbox by bubblewrap, the
environment that builders know, the checks that outputs must pass, logs in CppNix's place, and events for whoever watches.

What it may import: the standard library, `nivalis.store`, `nivalis.fetch`, `nivalis.settings` and what is below them.

What it does not do: it evaluates nothing and reads no configuration; settings, the environment that impure variables come from and
a substituter are handed in.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nivalis.build.builder import StoreBuilder
    from nivalis.build.events import Event, Listener
    from nivalis.build.goals import Plan, Substituter, make_plan
    from nivalis.build.realisation import Realised, realise
    from nivalis.build.settings import BuildSettings

__all__ = ["BuildSettings", "Event", "Listener", "Plan", "Realised", "StoreBuilder", "Substituter", "make_plan", "realise"]

__getattr__ = from_modules(
    __name__,
    {
        "BuildSettings": "settings",
        "Event": "events",
        "Listener": "events",
        "Plan": "goals",
        "Realised": "realisation",
        "StoreBuilder": "builder",
        "Substituter": "goals",
        "make_plan": "goals",
        "realise": "realisation",
    },
)
