"""Store and read documents through the official Python SDK: `python mapped.py CONNECTION_STRING`.

It writes how many came back. Run by the Python of an environment that has the SDK.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.options import ClusterOptions

cluster = Cluster.connect(sys.argv[1], ClusterOptions(PasswordAuthenticator("user", "password")))
bucket = cluster.bucket("default")
cluster.wait_until_ready(timedelta(seconds=20))
collection = bucket.default_collection()
documents = {f"key-{number}": number for number in range(50)}
for key, value in documents.items():
    collection.upsert(key, value)
kept = [collection.get(key).content_as[int] == value for key, value in documents.items()]
sys.stdout.write(f"{sum(kept)}\n")
cluster.close()
