"""Systems: from a configuration to a machine that is it, and back to what it was.

    configuration = evaluate(evaluator.eval_file(place), {})
    outlook = look_ahead(store, Machine(store.layout), configuration, settings, substituter)
    status = Machine(store.layout).switch(store, configuration.toplevel, "switch")

What it is: evaluating a configuration to its toplevel and its data, saying what becoming it would take (`look_ahead`), the machine's generations
and the programs that switch it (`Machine`), its options as data, and what a machine is made of, for a first configuration of it.

What it may import: `nivalis.profile`, `nivalis.build`, `nivalis.lang` and what is below them; and `target`, the channel's own package of what runs on
machines, shared so that both make the same plan of the same data.

What it does not do: it reads no flags, draws nothing and restarts nothing itself: that is done on the machine, by the new system's own programs.

The names here are imported when they are first used.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from nivalis.system.configuration import Configuration, evaluate
    from nivalis.system.errors import MachineError
    from nivalis.system.machine import Machine, SystemGeneration
    from nivalis.system.options import Option, find_option, list_options
    from nivalis.system.outlook import Outlook, look_ahead

__all__ = [
    "Configuration",
    "Machine",
    "MachineError",
    "Option",
    "Outlook",
    "SystemGeneration",
    "evaluate",
    "find_option",
    "list_options",
    "look_ahead",
]

__getattr__ = from_modules(
    __name__,
    {
        "Configuration": "configuration",
        "Machine": "machine",
        "Option": "options",
        "Outlook": "outlook",
        "MachineError": "errors",
        "SystemGeneration": "machine",
        "evaluate": "configuration",
        "find_option": "options",
        "list_options": "options",
        "look_ahead": "outlook",
    },
)
