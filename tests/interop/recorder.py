"""An embedded cluster that writes down what it is asked by HTTP.

    python -m tests.interop.recorder FILE ARGUMENTS

Runs the embedded cluster's program, and appends to FILE a JSON line for each request, before it is
answered: who asks may append lines of its own in between.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h11

from couchloop.embedded import __main__ as program
from couchloop.embedded.http.connection import HttpConnection


def record(file: Path) -> None:
    """Have each request written down."""
    answer = HttpConnection._asked

    def asked(self: HttpConnection, request: h11.Request) -> None:
        headers = dict(request.headers)
        line: dict[str, Any] = {
            "service": self._service,
            "method": request.method.decode(),
            "target": request.target.decode(),
            "type": headers.get(b"content-type", b"").decode(),
            "body": bytes(self._body).decode(),
        }
        with file.open("a", encoding="utf-8") as record:
            record.write(json.dumps(line) + "\n")
        answer(self, request)

    HttpConnection._asked = asked  # type: ignore[method-assign]


if __name__ == "__main__":
    record(Path(sys.argv[1]))
    sys.exit(program.main(sys.argv[2:]))
