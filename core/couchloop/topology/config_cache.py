"""The file that keeps a bucket's configuration for the next start (options `config_cache`, `_ro`).

Its format is libcouchbase's, so that either reads what the other wrote: the configuration as JSON,
then a magic text that tells a whole file. `dump` and `load` know the format and touch nothing;
`read` and `write` are the only functions of the core that touch the disk: they may block, and are
called in a thread (`Driver.in_thread`).
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from errno import EINVAL
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from couchloop.exceptions import ProtocolError
from couchloop.later import Module, import_now
from couchloop.safety.printable import printable
from couchloop.settings.values import DEFAULT_NETWORK
from couchloop.topology.configuration import ClusterConfig, Network, Node, parse_config
from couchloop.topology.text import MAX_CONFIG

if TYPE_CHECKING:
    import tempfile
else:
    tempfile = Module("tempfile", globals())

MAGIC: Final = "{{{fb85b563d0a8f65fa8d3d58f1b3a0708}}}"

_LARGEST: Final = MAX_CONFIG + len(MAGIC)
_ROOT: Final = 0
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_NO_NODE: Final = -1
_MGMT: Final = 8091


def prepare() -> None:
    """Import what `write` needs, in the loop's thread: it runs in another (`couchloop.later`)."""
    import_now(tempfile)


class Cached(NamedTuple):
    """What a file holds, and when it was written (st_mtime_ns)."""

    config: ClusterConfig
    mtime: int


def dump(config: ClusterConfig) -> str:
    """Return the text of the file that keeps *config*."""
    data_nodes = config.nodes[: config.data_nodes]
    server_map: dict[str, Any] = {
        "hashAlgorithm": "CRC",
        "numReplicas": config.replicas,
        "serverList": [f"{_bracketed(node)}:{_port(node, 'kv', 0)}" for node in data_nodes],
        "vBucketMap": list(map(list, zip(config.active, *config.chains, strict=True))),
    }
    if config.forward is not None:
        nobody = [_NO_NODE] * config.replicas
        server_map["vBucketMapForward"] = [[index, *nobody] for index in config.forward]
    document = {
        "name": config.bucket,
        "uuid": config.uuid,
        "clusterUUID": config.cluster_uuid,
        "rev": config.revision.rev,
        "revEpoch": config.revision.epoch,
        "nodeLocator": config.locator,
        "nodesExt": [_node(node) for node in config.nodes],
        "nodes": [
            {
                "hostname": f"{_bracketed(node)}:{_port(node, 'mgmt', _MGMT)}",
                "ports": {"direct": _port(node, "kv", 0)},
            }
            for node in data_nodes
        ],
        "vBucketServerMap": server_map,
    }
    known = {name: value for name, value in document.items() if value is not None}
    return json.dumps(known, separators=(",", ":")) + MAGIC


def _node(node: Node) -> dict[str, Any]:
    own = node.networks[DEFAULT_NETWORK]
    entry: dict[str, Any] = {"hostname": own.host, "services": dict(own.services)}
    alternates = {
        name: {"hostname": way.host, "ports": dict(way.services)}
        for name, way in node.networks.items()
        if name != DEFAULT_NETWORK
    }
    if alternates:
        entry["alternateAddresses"] = alternates
    return entry


def _own(node: Node) -> Network:
    return node.networks[DEFAULT_NETWORK]


def _bracketed(node: Node) -> str:
    host = _own(node).host
    return f"[{host}]" if ":" in host else host


def _port(node: Node, service: str, otherwise: int) -> int:
    return _own(node).services.get(service, otherwise)


def load(text: bytes, bucket: str, origin: str) -> ClusterConfig:
    """Return the configuration that a file keeps; *origin* is the host where none is named.

    Raises ProtocolError if the file is damaged, or keeps that of another bucket.
    """
    document, magic, _ = text.partition(MAGIC.encode())
    if not magic:
        raise ProtocolError("not whole: the magic text at the end is missing")
    config = parse_config(document, origin)
    if config.bucket != bucket:
        raise ProtocolError(
            f"it is that of bucket {printable(str(config.bucket))!r}, not of {bucket!r}"
        )
    if config.locator not in {None, "vbucket"} or not config.is_ready:
        raise ProtocolError("it has no vbucket map")
    return config


def _place(path: str) -> Path:
    """Return the file's place, where there may be nothing yet but a file.

    Raises OSError: to open a device can do something, and to replace one would end it.
    """
    place = Path(path)
    if place.exists() and not place.is_file():
        raise _not_a_file(path)
    return place


def _not_a_file(path: str) -> OSError:
    return OSError(EINVAL, "not a file", path)


def _open(path: str) -> int:
    """Open the file, whatever has taken its place meanwhile; to open a pipe could take for ever."""
    flags = os.O_RDONLY
    for name in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.open(_place(path), flags)


def _check_trust(status: os.stat_result) -> None:
    """Raise ProtocolError if somebody else can have written the file.

    It names the hosts that get the password, so that whoever writes it can have that. (Where there
    are access control lists the bits of the group are their mask: who may write shows in them.)
    """
    if not hasattr(os, "geteuid"):
        # Where files have no such owners and bits.
        return
    user = os.geteuid()
    if status.st_uid not in {user, _ROOT}:
        raise ProtocolError(
            f"it belongs to another user (uid {status.st_uid}), who could name any host in it: "
            f"only a file of the user of this process (uid {user}) or of root is used"
        )
    if status.st_mode & _OTHERS_WRITE:
        raise ProtocolError(
            f"others can write to it (mode {stat.S_IMODE(status.st_mode):04o}), and so name any "
            "host in it: chmod go-w"
        )


def read(path: str, bucket: str, origin: str, seen: int | None = None) -> Cached | None:
    """Return what the file keeps, or None if it is as it was at *seen* (st_mtime_ns).

    Raises OSError if it cannot be read, ProtocolError if it is not to be trusted, and as `load`.
    """
    descriptor = _open(path)
    try:
        # The file itself, and no longer its name, which may mean another by now.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(path)
        _check_trust(status)
        if status.st_mtime_ns == seen:
            return None
        with open(descriptor, "rb", closefd=False) as file:
            # There are files that give nothing without waiting.
            text = file.read(_LARGEST + 1) or b""
    finally:
        os.close(descriptor)
    if len(text) > _LARGEST:
        raise ProtocolError("it is too large for a configuration")
    return Cached(load(text, bucket, origin), status.st_mtime_ns)


def write(path: str, config: ClusterConfig, useless: int | None = None) -> int | None:
    """Write *config* to the file; return its st_mtime_ns, None if a newer one stays there.

    A file that was written at *useless* (st_mtime_ns) does not stay, however new.
    Whoever reads meanwhile finds the old file or the new one, whole. Only its owner can read it.
    Folders must exist. Raises OSError.
    """
    place = _place(path)
    # Another process may know more.
    with suppress(OSError, ProtocolError):
        found = read(path, config.bucket or "", "")
        if (
            found is not None
            and found.config.uuid == config.uuid
            and found.config.revision > config.revision
            and found.mtime != useless
        ):
            return None
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(dump(config))
            file.flush()
            # Whatever the umask has left of it.
            os.chmod(descriptor if os.chmod in os.supports_fd else temporary, 0o600)  # noqa: PTH101
            mtime = os.fstat(descriptor).st_mtime_ns
        temporary.replace(place)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return mtime
