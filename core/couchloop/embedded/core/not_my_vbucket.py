"""Configurations as clients are told them: with not-my-vbucket, when they ask, and by push."""

from __future__ import annotations

from couchloop.embedded.core.answers import Answer, Refusal
from couchloop.embedded.topology.connections import ServerConnection
from couchloop.embedded.topology.node import Node
from couchloop.hot.frames import Frame
from couchloop.wire.constants import Datatype, Feature, Magic, ServerOpcode, Status


def not_my_vbucket(node: Node, connection: ServerConnection) -> Refusal:
    """Return the answer for a vbucket that *node* does not have."""
    if Feature.DEDUPE_NMVB in connection.features and connection.bucket is not None:
        configuration = node.configurations.get(connection.bucket.name)
        known = connection.told.get(connection.bucket.name)
        if configuration and known and not configuration.newer_than(*known):
            return Refusal(Status.NOT_MY_VBUCKET)
    answer = configuration_answer(node, connection)
    if answer is None:
        return Refusal(Status.NOT_MY_VBUCKET)
    return Refusal(Status.NOT_MY_VBUCKET, value=answer.value, datatype=answer.datatype)


def configuration_answer(node: Node, connection: ServerConnection) -> Answer | None:
    """Return the present configuration of the bucket (or the global one), None if unknown."""
    name = connection.bucket.name if connection.bucket else None
    configuration = node.configurations.get(name)
    if configuration is None or configuration.memcached:
        # Of memcached buckets a data node knows nothing: clients ask the cluster manager.
        return None
    node.cluster.configuration_seen()
    connection.told[name] = (configuration.epoch, configuration.rev)
    compressed = Feature.SNAPPY_EVERYWHERE in connection.features
    text = configuration.text(node.node_id, compressed=compressed)
    return Answer(value=text, datatype=_datatype(connection))


def pushes(node: Node, connection: ServerConnection) -> list[bytes]:
    """Return frames that push new configurations, if the client asked to be told."""
    brief = Feature.CLUSTERMAP_BRIEF in connection.features
    if not brief and Feature.CLUSTERMAP_CHANGE not in connection.features:
        return []
    names: list[str | None] = [None]
    if connection.bucket is not None:
        names.append(connection.bucket.name)
    frames = []
    for name in names:
        configuration = node.configurations.get(name)
        if configuration is None or configuration.memcached:
            continue
        known = connection.told.get(name)
        if known and not configuration.newer_than(*known):
            continue
        node.cluster.configuration_seen()
        connection.told[name] = (configuration.epoch, configuration.rev)
        value, datatype = b"", int(Datatype.RAW)
        if not brief:
            compressed = Feature.SNAPPY_EVERYWHERE in connection.features
            value = configuration.text(node.node_id, compressed=compressed)
            datatype = _datatype(connection)
        frames.append(
            Frame(
                Magic.SERVER_REQUEST,
                ServerOpcode.CLUSTERMAP_CHANGE,
                datatype,
                0,
                0,
                0,
                b"",
                configuration.epoch.to_bytes(8) + configuration.rev.to_bytes(8),
                (name or "").encode(),
                value,
            ).encode()
        )
    return frames


def _datatype(connection: ServerConnection) -> int:
    datatype = Datatype.JSON if Feature.JSON in connection.features else Datatype.RAW
    if Feature.SNAPPY_EVERYWHERE in connection.features:
        datatype |= Datatype.SNAPPY
    return datatype
