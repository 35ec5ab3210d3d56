"""Files are read and hashed in threads, which store what they find through one Bucket.

python threads_twisted.py [couchbase://HOST] [FOLDER]

Reading files blocks, so it is done in threads of the reactor's pool. `bucket.threadsafe()` gives
them a handle: each call blocks its thread alone, and the documents of all threads travel together.
The cluster (or else the one named in the environment as COUCHBASE, or else localhost) has a bucket
`default` and a user `user` with the password `password`, as `python -m couchloop.embedded` does.
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from couchloop.client.threads import ThreadSafeBucket
from couchloop.exceptions import DocumentExistsError
from txcouchbase.cluster import Cluster, PasswordAuthenticator


def index(path: Path, handle: ThreadSafeBucket) -> bool:
    """Store a file's hash and size, in a thread; give whether its content is new."""
    content = path.read_bytes()
    key = f"file:{sha256(content).hexdigest()}"
    try:
        handle.insert(key, {"size": len(content), "name": path.name}, ttl=3600)
    except DocumentExistsError:
        return False
    finally:
        handle.counter("files", initial=1)
    return True


async def main(reactor: Any, connection_string: str, paths: list[Path]) -> None:
    """Index these files, some at once."""
    cluster = Cluster(connection_string, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))

    async with cluster.open_bucket("default") as bucket:
        # Made here, in the reactor's thread; used in any other.
        handle = bucket.threadsafe()
        await bucket.remove("files", quiet=True)
        news = await gatherResults([deferToThread(index, path, handle) for path in paths])
        print("files:", (await bucket.get("files")).value, "- with new content:", sum(news))
        again = await deferToThread(index, paths[0], handle)
        print("new at the second look:", again)


if __name__ == "__main__":
    where = sys.argv[1] if sys.argv[1:] else os.environ.get("COUCHBASE", "couchbase://localhost")
    folder = Path(sys.argv[2]) if sys.argv[2:] else Path(__file__).parent
    react(main, [where, sorted(folder.glob("*.py"))])
