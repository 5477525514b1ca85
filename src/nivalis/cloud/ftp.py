"""The FTP image library: an image is put into `incoming/` and registered by its name.

Brightbox's own has been retired (its API answers 410 Gone); the cloud of this machine has one.  TLS is used where the server offers it; a
server that says no to it is sent the password in the clear only when it is on this machine.
"""

from __future__ import annotations

import ftplib
import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path

from nivalis.cloud.errors import AuthenticationError, UploadError

__all__ = ["check_library_name", "upload_by_ftp"]

_NAME = re.compile(r"[A-Za-z0-9\-_+.~^]+")
_LOOPBACK = re.compile(r"127\.[0-9.]+|localhost|::1|\[::1\]")
_BLOCK = 1 << 18


def check_library_name(name: str) -> None:
    """What the library calls a file has letters, digits and -_+.~^ only.  Raises UploadError."""
    if not _NAME.fullmatch(name):
        raise UploadError(f"no name for the image library: `{name}`", hint="letters, digits and any of `-_+.~^`")


def upload_by_ftp(
    host: str,
    user: str,
    password: str,
    file: Path,
    name: str = "",
    *,
    context: ssl.SSLContext | None = None,
    timeout: float = 30.0,
    on_progress: Callable[[int, int | None], object] | None = None,
) -> None:
    """Put a file into the library's `incoming/`; `host` may have a port.  Raises UploadError, AuthenticationError, OSError of the file."""
    name = name or file.name
    check_library_name(name)
    address, _, port = host.partition(":")
    with open(file, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        done = 0

        def advance(block: bytes) -> None:
            nonlocal done
            done += len(block)
            if on_progress is not None:
                on_progress(done, size)

        try:
            with ftplib.FTP_TLS(context=context or ssl.create_default_context(), timeout=timeout) as server:
                server.connect(address, int(port or 21))
                is_private = _begin_tls(server, address)
                # The class begins TLS by itself before it sends a name, unless it is told not to.
                server.login(user, password, secure=False)
                if is_private:
                    server.prot_p()
                server.storbinary(f"STOR incoming/{name}", stream, _BLOCK, callback=advance)
        except ftplib.error_perm as error:
            if str(error).startswith("530"):
                raise AuthenticationError(
                    f"library refuses the password of `{user}`", where=host, hint="`accounts reset_ftp_password` sets a new one"
                ) from None
            raise UploadError(f"library refuses: {error}", where=host) from None
        except (ftplib.Error, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise
            raise UploadError(f"upload broke off: {str(error) or type(error).__name__}", where=host) from error


def _begin_tls(server: ftplib.FTP_TLS, host: str) -> bool:
    try:
        server.auth()
    except ftplib.error_perm as error:
        if not _LOOPBACK.fullmatch(host):
            raise UploadError("library offers no TLS, and the password would go in the clear", where=host) from error
        return False
    return True
