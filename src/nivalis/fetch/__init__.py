"""The one door to the network, and what comes through it into the store.

What it is: `download` (file, http and https addresses, into a file), safe unpacking of archives, local Git repositories, and
`StoreFetcher`, the object that an evaluator is handed for `fetchurl`, `fetchTarball`, `fetchGit` and addresses in the search path.

What it may import: the standard library, `nivalis.settings`, `nivalis.store` and what is below it.  It is urllib underneath, for what runs
in the sandbox of a builtin builder and on a target machine has the standard library alone; what that lacks (pools of connections, HTTP/2) matters to
binary caches, not here.

What it does not do: it asks nobody for a password (a netrc file may have it), and follows no redirection to a file.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nivalis.fetch.fetcher import StoreFetcher
    from nivalis.fetch.network import Network
    from nivalis.fetch.transport import Download, download

__all__ = ["Download", "Network", "StoreFetcher", "download"]

__getattr__ = from_modules(__name__, {"Download": "transport", "Network": "network", "StoreFetcher": "fetcher", "download": "transport"})
