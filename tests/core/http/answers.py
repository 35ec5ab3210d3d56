"""What a web port answers, and what an error's causes hold."""

from __future__ import annotations


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """Return an answer with a length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + body


def frames_behind(error: BaseException) -> list[object]:
    """Return the tracebacks of what led to *error*, whose frames hold the login."""
    found: list[object] = []
    each = error.__cause__ or error.__context__
    while each is not None:
        found += [each.__traceback__] if each.__traceback__ is not None else []
        each = each.__cause__ or each.__context__
    return found
