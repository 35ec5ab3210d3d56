"""Store, read, change and delete a document with gevent.

    python examples/gevent_quickstart.py [couchbase://host,host…]

Without an argument the environment variable COUCHBASE says where, else it is couchbase://localhost.
Bucket `default`, user `user`, password `password`.
"""

import os
import sys

import gevent

from couchloop.exceptions import NotFoundError
from gcouchbase.cluster import Cluster, PasswordAuthenticator


def main(connection_string: str) -> None:
    """Do what the module's docstring says."""
    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))

    with cluster.open_bucket("default") as bucket:
        bucket.upsert("bird:robin", {"name": "Robin", "eggs": 5})
        robin = bucket.get("bird:robin")
        print("stored: ", robin.value)

        # With its CAS the document changes only if nobody else has changed it meanwhile.
        bucket.replace("bird:robin", {**robin.value, "eggs": 6}, cas=robin.cas)
        print("changed:", bucket.get("bird:robin").value)

        # Each call blocks its own greenlet alone, so calls overlap as greenlets do ...
        keys = [f"bird:{number}" for number in range(3)]
        gevent.joinall([gevent.spawn(bucket.upsert, key, {"key": key}) for key in keys])
        # ... and a batch does the same with one call.
        print("batch:  ", [result.value["key"] for result in bucket.get_multi(keys).values()])

        bucket.remove_multi([*keys, "bird:robin"])
        try:
            bucket.get("bird:robin")
        except NotFoundError:
            print("deleted")


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else os.environ.get("COUCHBASE", "couchbase://localhost"))
