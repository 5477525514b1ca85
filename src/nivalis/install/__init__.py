"""Installing nivalis on a machine, and taking it away again, without leaving anything.

    python3 -I -c '…' WHEEL install …      what install.sh starts, out of the wheel
    nivalis uninstall                      the way back

What it is: the places of an installation (`Places`), what it has outside its own folder and how that is undone (`Footprint`), the
virtual environment (`make_environment`), and the order in which all this is done, so that it is whole after a power cut.

What it may import: the standard library, `nivalis.errors`, `nivalis.settings`, and of the store what needs no kernel.  It runs out of a
wheel that is still a zip file, from which the kernel cannot be loaded.

What it does not do: it installs no package of the distribution; install.sh asks about these, and no Python is there before it.
"""
