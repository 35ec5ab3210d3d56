"""The embedded cluster as a process of its own, and how many connections it has."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from tests.soak.left import sockets

PATIENCE = "operation_timeout=60&config_node_timeout=30&config_total_timeout=60"
"""What is to be seen is what is left, not how busy the machine is."""


class Server:
    """A running cluster.

    Attributes:
        connection_string: Where it listens.
        connections: How many clients it has now, by its own count.
        sockets: How many sockets this process has without any client.

    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.connections = 0
        self.sockets = sockets()
        assert process.stdout is not None
        self._lines = process.stdout
        nodes = json.loads(self._lines.readline())["connection_string"]
        self.connection_string = f"{nodes}?{PATIENCE}"
        # A plain thread: the loop under test shall not have to carry this as well.
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._lines:
            self.connections = json.loads(line)["connections"]

    def join(self) -> None:
        """Wait for the last line of a server that was told to end."""
        self._reader.join()


@contextmanager
def serving(nodes: int) -> Iterator[Server]:
    """Run a cluster of so many nodes as long as the context lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "couchloop.embedded", "--report", "--nodes", str(nodes)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        server = Server(process)
        yield server
        process.terminate()
        server.join()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
