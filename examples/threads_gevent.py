"""Files are read and hashed in threads, which store what they find through one Bucket.

    python examples/threads_gevent.py [couchbase://host,host…] [FOLDER]

Reading files blocks, so it is done in a pool of real threads. `bucket.threadsafe()` gives them a
handle: each call blocks its thread alone, the documents of all threads travel together, and the
greenlets of the hub go on. Without an argument the environment variable COUCHBASE says where the
cluster is, else it is couchbase://localhost. Bucket `default`, user `user`, password `password`.
"""

import os
import sys
from hashlib import sha256
from pathlib import Path

from gevent.threadpool import ThreadPool

from couchloop.client.threads import ThreadSafeBucket
from couchloop.exceptions import DocumentExistsError
from gcouchbase.cluster import Cluster, PasswordAuthenticator


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


def main(connection_string: str, paths: list[Path]) -> None:
    """Index these files, some at once."""
    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    threads = ThreadPool(8)

    with cluster.open_bucket("default") as bucket:
        # Made here, in the hub's thread; used in any other.
        handle = bucket.threadsafe()
        bucket.remove("files", quiet=True)
        news = threads.map(lambda path: index(path, handle), paths)
        print("files:", bucket.get("files").value, "- with new content:", sum(news))
        print("new at the second look:", threads.spawn(index, paths[0], handle).get())
    threads.kill()


if __name__ == "__main__":
    where = sys.argv[1] if sys.argv[1:] else os.environ.get("COUCHBASE", "couchbase://localhost")
    folder = Path(sys.argv[2]) if sys.argv[2:] else Path(__file__).parent
    main(where, sorted(folder.glob("*.py")))
