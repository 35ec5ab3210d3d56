"""What looks random in the embedded cluster: ids and nonces, the same for the same seed."""

from __future__ import annotations

from hashlib import sha256


class Generator:
    """Bytes that look random and are the same for the same seed (for ids, never for secrets)."""

    def __init__(self, seed: int | str = 0) -> None:
        self._seed = str(seed).encode()
        self._count = 0

    def randbytes(self, count: int) -> bytes:
        """Return the next *count* bytes."""
        out = b""
        while len(out) < count:
            self._count += 1
            out += sha256(self._seed + self._count.to_bytes(8)).digest()
        return out[:count]

    def uuid(self) -> str:
        """Return an id written as a UUID is."""
        text = self.randbytes(16).hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
