"""Import and export any number of documents with gevent, in flat memory and with a progress bar.

    python examples/gevent_bulk.py import FILE [couchbase://host,host…]
    python examples/gevent_bulk.py export FILE [couchbase://host,host…]

FILE has one JSON document a line, with its key as `_id`. Without a cluster on the command line the
environment variable COUCHBASE says where, else it is couchbase://localhost. Bucket `default`, user
`user`, password `password`. Exporting needs servers from 7.6 on.
"""

import gc
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bulk_progress import ProgressBar  # type: ignore[import-not-found]  # of this folder

from couchloop.kv_range_scan import RangeScan
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator


def documents_of(path: str) -> Iterator[tuple[str, Any]]:
    """Yield each line's key and document; the stream reads no faster than the cluster takes."""
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            yield document.pop("_id"), document


def bring_in(bucket: Bucket, path: str) -> None:
    """Store the documents of a file; a document that fails stops no other."""
    with ProgressBar("import") as progress:
        summary = bucket.upsert_stream(documents_of(path), progress=progress).run()
    for result in summary.failures[:10]:
        print(result.key, result.error, file=sys.stderr)
    print(f"imported {summary.done - summary.failed} documents, {summary.failed} failed")


def bring_out(bucket: Bucket, path: str) -> None:
    """Write all documents of the bucket to a file."""
    with (
        Path(path).open("w", encoding="utf-8") as file,
        ProgressBar("export") as progress,
        bucket.scan(RangeScan(), concurrency=8, batch_byte_limit=20_000) as found,
    ):
        for result in found:
            if result.success:
                file.write(json.dumps({"_id": result.key, **result.value}) + "\n")
            progress(found.done, 0, None)
        print(f"exported {found.done} documents")


def main(command: str, path: str, connection_string: str) -> None:
    """Do what the module's docstring says."""
    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    with cluster.open_bucket("default") as bucket:
        # What is there by now stays: a full garbage collection need not look at it (30 ms).
        if hasattr(gc, "freeze"):  # PyPy's collector has none
            gc.freeze()
        {"import": bring_in, "export": bring_out}[command](bucket, path)


if __name__ == "__main__":
    main(
        sys.argv[1],
        sys.argv[2],
        sys.argv[3] if sys.argv[3:] else os.environ.get("COUCHBASE", "couchbase://localhost"),
    )
