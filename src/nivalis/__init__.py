"""nivalis builds, ships and runs declarative Linux systems: Nix and NixOS in Python, with a Rust kernel.

The packages, and the direction of their imports, from the top down:

    cli                      one file per command
    system                   what a machine is, plans, switching
    profile                  generations, user environments, channels, shells
    debian, build, cache     an archive as a source of packages; realising derivations; binary caches
    fetch                    the one door to the network
    lang, store              the language's face; the store on disk
    settings                 what is configured
    _native                  the kernel: parser, evaluator, byte formats; compiled, and without effects

`nivalis.errors` is the one tree of errors and stands below all of them.

This module imports nothing, so that `import nivalis` costs nothing: take names from the packages.
"""

__all__ = ["__version__", "channel_place"]

__version__ = "0.1.0"


def channel_place() -> str | None:
    """The folder of the channel that ships with nivalis, in a wheel as in a checkout; None if this one came without."""
    import os

    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_channel")
    return place if os.path.isdir(place) else None
