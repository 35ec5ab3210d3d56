"""The cluster manager's endpoints about buckets.

GET    /pools/default/buckets                              all that the user sees
POST   /pools/default/buckets                              create one
GET    /pools/default/buckets/BUCKET
POST   /pools/default/buckets/BUCKET                       change settings
DELETE /pools/default/buckets/BUCKET
POST   /pools/default/buckets/BUCKET/controller/doFlush    delete all documents
"""

from __future__ import annotations

from typing import Any, Final

from couchloop.embedded.http.bucket_settings import changed, created
from couchloop.embedded.http.pools import nodes
from couchloop.embedded.http.router import (
    NOT_FOUND,
    HttpRequest,
    RefusedError,
    Response,
    Route,
    answer_json,
)
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.storage.properties import LEVELS

_MIB: Final = 1 << 20


def all_buckets(request: HttpRequest) -> Response:
    """Return the buckets that the user sees."""
    seen = [each for each in request.cluster.buckets.values() if request.user.sees(each.name)]
    return answer_json([_document(request, bucket) for bucket in seen])


def one_bucket(request: HttpRequest) -> Response:
    """Return one bucket."""
    return answer_json(_document(request, _found(request)))


def create(request: HttpRequest) -> Response:
    """Create a bucket: it takes documents at once."""
    request.need("cluster.buckets!create", allowed=request.user.is_admin)
    cluster = request.cluster
    settings, properties = created(request.form(), list(cluster.buckets))
    bucket = cluster.add_bucket(settings)
    bucket.properties = properties
    where = f"/pools/default/buckets/{bucket.name}"
    return Response(202, b"", (("Location", where),))


def change(request: HttpRequest) -> Response:
    """Change what can be changed of a bucket."""
    bucket = _found(request)
    _need(request, bucket, "settings!write")
    replicas = changed(request.form(), bucket)
    if replicas != bucket.replicas:
        bucket.replicas = replicas
        request.cluster.rebalance()
    return Response(200)


def drop(request: HttpRequest) -> Response:
    """Delete a bucket."""
    name = request.path["bucket"]
    bucket = request.cluster.buckets.get(name)
    if bucket is None:
        raise RefusedError(Response(404, b"The bucket to be deleted was not found.\r\n"))
    _need(request, bucket, "!delete")
    request.cluster.remove_bucket(name)
    return Response(200)


def flush(request: HttpRequest) -> Response:
    """Delete every document of a bucket."""
    bucket = _found(request)
    _need(request, bucket, "!flush")
    if not bucket.properties.flush_enabled:
        return answer_json({"_": "Flush is disabled for the bucket"}, 400)
    request.cluster.flush_bucket(bucket.name)
    return Response(200)


def _found(request: HttpRequest) -> Bucket:
    name = request.path["bucket"]
    bucket = request.cluster.buckets.get(name)
    if bucket is None:
        raise RefusedError(Response(404, NOT_FOUND))
    if not request.user.sees(name):
        request.need(f"cluster.bucket[{name}].settings!read", allowed=False)
    return bucket


def _need(request: HttpRequest, bucket: Bucket, permission: str) -> None:
    dot = "" if permission.startswith("!") else "."
    allowed = request.user.has_role("bucket_admin", bucket.name)
    request.need(f"cluster.bucket[{bucket.name}]{dot}{permission}", allowed=allowed)


def _document(request: HttpRequest, bucket: Bucket) -> dict[str, Any]:
    """Return a bucket as the cluster manager describes it."""
    properties = bucket.properties
    uri = f"/pools/default/buckets/{bucket.name}"
    configuration = request.cluster.nodes[0].configurations[bucket.name].document()
    controllers = {"compactAll": f"{uri}/controller/compactBucket"}
    if properties.flush_enabled:
        controllers["flush"] = f"{uri}/controller/doFlush"
    used = bucket.used()
    quota = properties.ram_quota * _MIB
    document: dict[str, Any] = {
        "name": bucket.name,
        "nodeLocator": configuration["nodeLocator"],
        "bucketType": configuration["bucketType"],
        "uuid": bucket.uuid,
        "uri": configuration["uri"],
        "streamingUri": configuration["streamingUri"],
        "localRandomKeyUri": f"{uri}/localRandomKey",
        "authType": "sasl",
        "autoCompactionSettings": False,
        "bucketCapabilitiesVer": "",
        "bucketCapabilities": configuration["bucketCapabilities"],
        "controllers": controllers,
        "ddocs": {"uri": f"{uri}/ddocs"},
        "stats": {"uri": f"{uri}/stats"},
        "nodes": nodes(request),
        "replicaIndex": properties.replica_index,
        "replicaNumber": bucket.replicas,
        "threadsNumber": 3,
        "quota": {"ram": quota * len(request.cluster.nodes), "rawRAM": quota},
        "basicStats": {
            "quotaPercentUsed": 100 * used / quota,
            "opsPerSec": 0,
            "diskFetches": 0,
            "itemCount": bucket.documents,
            "diskUsed": used,
            "dataUsed": used,
            "memUsed": used,
        },
        "evictionPolicy": properties.eviction_policy,
        "storageBackend": properties.backend,
        "durabilityMinLevel": LEVELS[properties.min_durability],
        "conflictResolutionType": properties.conflict_resolution,
        "maxTTL": properties.max_ttl,
        "compressionMode": properties.compression_mode,
    }
    if not bucket.memcached:
        document |= {
            "collectionsManifestUid": configuration["collectionsManifestUid"],
            "vBucketServerMap": configuration["vBucketServerMap"],
            "numVBuckets": len(bucket.partitions),
        }
    if properties.backend == "magma":
        document |= {
            "historyRetentionCollectionDefault": properties.keeps_history,
            "historyRetentionBytes": properties.history_bytes,
            "historyRetentionSeconds": properties.history_seconds,
        }
    return document


_BUCKET: Final = "/pools/default/buckets/{bucket}"

ROUTES: Final = (
    Route("GET", "/pools/default/buckets", all_buckets),
    Route("POST", "/pools/default/buckets", create),
    Route("GET", _BUCKET, one_bucket),
    Route("POST", _BUCKET, change),
    Route("DELETE", _BUCKET, drop),
    Route("POST", f"{_BUCKET}/controller/doFlush", flush),
)
