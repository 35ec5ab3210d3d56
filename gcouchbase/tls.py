"""TLS between memory buffers: no socket, so that one pump serves plain and TLS connections.

Any `SSLContext` will do, the standard library's, gevent's or another's: only `wrap_bio` is used.
"""

from __future__ import annotations

from typing import Final

from gevent import ssl

from couchloop.exceptions import TlsError

_CHUNK: Final = 65536


class TlsStream:
    """One connection's TLS, client side.

    Args:
        context: decides what is trusted.
        host: the name or address that was dialled; the certificate must be for it.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._host = host
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.established = False

    def start(self) -> None:
        """Make the first message of the handshake."""
        self._shake_hands()

    def receive(self, data: bytes) -> tuple[bytes, bool]:
        """Take what the network brought; give the plain bytes in it, and whether the peer goes on.

        Raises TlsError if the handshake fails, the certificate is not trusted, or a record is bad.
        """
        self._incoming.write(data)
        if not self.established:
            self._shake_hands()
            if not self.established:
                return b"", True
        plain: list[bytes] = []
        try:
            while True:
                read = self._object.read(_CHUNK)
                if not read:
                    return b"".join(plain), False
                plain.append(read)
        except ssl.SSLWantReadError:
            return b"".join(plain), True
        except ssl.SSLZeroReturnError:
            return b"".join(plain), False
        except ssl.SSLError as error:
            raise self._translated(error) from error

    def send(self, data: bytes) -> None:
        """Encrypt *data*; `take_output` gives it. Only once the handshake is done."""
        self._object.write(data)

    def finish(self) -> None:
        """Say goodbye, without waiting for the peer's."""
        try:
            self._object.unwrap()
        except (ssl.SSLError, ValueError):
            # It wants the peer's goodbye, or there never was a session.
            return

    def take_output(self) -> bytes:
        """Give what is to be written to the network now."""
        return self._outgoing.read()

    def cut_off(self) -> TlsError:
        """Say what a peer means that closes before the handshake is done."""
        return TlsError(
            f"{self._host} closed the connection during the TLS handshake: the port may not speak "
            "TLS (TLS data ports are 11207 by default)"
        )

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise self._translated(error) from error
        self.established = True

    def _translated(self, error: Exception) -> TlsError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return TlsError(
                f"the certificate of {self._host} is not trusted: {error.verify_message}"
            )
        reason = getattr(error, "reason", None) or str(error)
        hint = ""
        if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}:
            hint = ": the port does not speak TLS; TLS data ports are 11207 by default"
        return TlsError(f"TLS with {self._host} failed ({reason}){hint}")
