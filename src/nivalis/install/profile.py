"""What a login shell reads: the variables by which installed programs, their manual pages and their data are found.

It is for every shell of the Bourne family, may be read twice, and also with `set -u` or `set -e`.  Where channels are is known without
NIX_PATH, so it is not set.
"""

from __future__ import annotations

from nivalis.install.places import Places

__all__ = ["profile_text"]

_TEXT = """\
# Written by the installer of nivalis; `nivalis uninstall` removes it.
case ":${{PATH:-}}:" in
    *":{bin}:"*) ;;
    *) export PATH="{bin}${{PATH:+:$PATH}}" ;;
esac
for _nivalis in /nix/var/nix/profiles/default "${{HOME:-/}}/.nix-profile"; do
    case ":${{PATH:-}}:" in
        *":$_nivalis/bin:"*) ;;
        *)
            export PATH="$_nivalis/bin${{PATH:+:$PATH}}"
            export XDG_DATA_DIRS="$_nivalis/share:${{XDG_DATA_DIRS:-/usr/local/share:/usr/share}}"
            # Where this is not set, `man` goes by PATH.
            if [ -n "${{MANPATH:-}}" ]; then export MANPATH="$_nivalis/share/man:$MANPATH"; fi
            ;;
    esac
done
unset _nivalis
"""


def profile_text(places: Places) -> str:
    """The script for the installation at these places."""
    return _TEXT.format(bin=places.bin)
