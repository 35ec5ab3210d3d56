"""Certificates for the tests of TLS on both loops."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from couchloop.embedded.hosting import ServerCertificate

LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


class Certificates:
    """A CA of one test, and files of what it issues, in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)

    def server(
        self,
        *names: str,
        authority: trustme.CA | None = None,
        expires: dt.datetime | None = None,
        clients: bool = False,
    ) -> ServerCertificate:
        """Issue a server's certificate for *names*; *clients*: one may log in by certificate."""
        path = self.folder / "server.pem"
        issued = (authority or self.authority).issue_cert(
            *(names or ("127.0.0.1",)), not_after=expires
        )
        issued.private_key_and_cert_chain_pem.write_to_path(path)
        return ServerCertificate(path, path, self.ca if clients else None)

    def client(self, user: str = "user", authority: trustme.CA | None = None) -> tuple[str, str]:
        """Issue a client's certificate; give the paths of it and of its key."""
        issued = (authority or self.authority).issue_cert(f"{user}@example.com", common_name=user)
        cert, key = self.folder / f"{user}.pem", self.folder / f"{user}.key"
        cert.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return str(cert), str(key)

    def bundle(self) -> str:
        """Give the path of a file of several CAs, this one the last, with comments between."""
        path = self.folder / "bundle.pem"
        with path.open("wb") as file:
            for number in range(2):
                file.write(f"# CA number {number}, d'après la liste\n".encode())
                file.write(trustme.CA().cert_pem.bytes())
            file.write(self.authority.cert_pem.bytes())
        return str(path)

    @contextmanager
    def demanding(self) -> Iterator[int]:
        """Serve TLS to clients with a certificate alone, and nothing behind it; give the port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        path = self.server().certificate
        context.load_cert_chain(path)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        listening = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listening.accept()
                except OSError:
                    return
                accepted.settimeout(10)
                try:
                    with context.wrap_socket(accepted, server_side=True) as connection:
                        connection.recv(1)
                except OSError:
                    accepted.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            thread.join()
