"""An image library that speaks TLS, as Brightbox's did: one session, one file, by the letter of RFC 4217."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class FtpsServer:
    """What was said to it before TLS and under it, and the file that came."""

    def __init__(self, folder: Path) -> None:
        self.certificate = _make_certificate(folder)
        self.clear: list[str] = []
        self.private: list[str] = []
        self.files: dict[str, bytes] = {}
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        line, _ = self._listener.accept()
        line.sendall(b"220 library\r\n")
        said = self.clear
        data: socket.socket | None = None
        while True:
            text = _read_line(line)
            said.append(text)
            verb, _, rest = text.partition(" ")
            if verb == "AUTH":
                line.sendall(b"234 go on\r\n")
                line = self._context.wrap_socket(line, server_side=True)
                said = self.private
            elif verb in ("EPSV", "PASV"):
                data = socket.create_server(("127.0.0.1", 0))
                port = data.getsockname()[1]
                line.sendall(f"227 here (127,0,0,1,{port >> 8},{port & 255})\r\n".encode())
            elif verb == "STOR" and data is not None:
                line.sendall(b"150 send\r\n")
                with self._context.wrap_socket(data.accept()[0], server_side=True) as channel:
                    self.files[rest] = _read_all(channel)
                    # The client waits for the end of TLS, too.
                    channel.unwrap().close()
                data.close()
                line.sendall(b"226 done\r\n")
            elif verb == "QUIT" or not text:
                line.sendall(b"221 bye\r\n")
                line.close()
                return
            else:
                line.sendall({"USER": b"331 password\r\n", "PASS": b"230 in\r\n"}.get(verb, b"200 well\r\n"))

    def close(self) -> None:
        self._listener.close()


def _read_line(line: socket.socket) -> str:
    text = b""
    while not text.endswith(b"\n") and (piece := line.recv(1)):
        text += piece
    return text.decode().strip()


def _read_all(channel: ssl.SSLSocket) -> bytes:
    data = b""
    while piece := channel.recv(1 << 16):
        data += piece
    return data


def _make_certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "library")])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=30))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    file = folder / "library.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


@contextmanager
def run_ftps(folder: Path) -> Iterator[FtpsServer]:
    """A running server, for one session."""
    server = FtpsServer(folder)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
        thread.join(900)
    finally:
        server.close()
