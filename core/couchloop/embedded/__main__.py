"""Serve an embedded cluster as a program.

    python -m couchloop.embedded --nodes 3 --bucket default --user user:password --port 0

prints one JSON line, {"connection_string": …, "pid": …}, then serves until SIGTERM or SIGINT.
With --tls-cert and --tls-key the line has "connection_string_tls" too.
A program is where a loop may be picked: whichever of Twisted and gevent is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import count, pairwise

from couchloop.embedded import (
    DATA_READER,
    FULL_ACCESS,
    BucketSettings,
    Clock,
    EmbeddedCluster,
    Grant,
    User,
    administrator,
)
from couchloop.embedded.hosting import (
    PLAIN_SERVICES,
    Hosting,
    Outside,
    ServerCertificate,
    ports_of,
)
from couchloop.neighbours import missing_loop
from couchloop.settings.values import Address

MEANING = "An in-memory Couchbase cluster for tests and demonstrations: no database."
LOOPS = ("twisted", "gevent")
_PORTS = 65536


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m couchloop.embedded", description=MEANING)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    wrong = contradiction(options)
    if wrong:
        parser.error(wrong)
    return options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what may be said of the cluster to *parser*."""
    parser.add_argument("--nodes", type=int, default=3, help="how many nodes (3)")
    parser.add_argument("--bucket", action="append", help="a bucket's name; repeatable (default)")
    parser.add_argument(
        "--memcached-bucket",
        action="append",
        default=[],
        metavar="NAME",
        help="likewise a bucket of type memcached; repeatable",
    )
    parser.add_argument(
        "--user",
        action="append",
        type=_user,
        metavar="NAME:PASSWORD",
        help="a user who may read and write; repeatable (user:password)",
    )
    parser.add_argument(
        "--reader",
        action="append",
        type=_user,
        metavar="NAME:PASSWORD",
        help="a user who may only read; repeatable",
    )
    parser.add_argument(
        "--administrator",
        action="append",
        type=_user,
        metavar="NAME:PASSWORD",
        help="a user who may do everything; repeatable",
    )
    parser.add_argument(
        "--collection",
        action="append",
        type=_collection,
        metavar="SCOPE.NAME",
        help="a collection to have in every bucket; repeatable",
    )
    parser.add_argument("--vbuckets", type=int, default=1024, help="vbuckets of a bucket (1024)")
    parser.add_argument("--replicas", type=int, default=1, help="copies of each document (1)")
    parser.add_argument(
        "--replication-delay",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long changes are on their way to the replicas; inf: for ever (0)",
    )
    parser.add_argument(
        "--persistence-delay",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="likewise, to the disks",
    )
    _add_places(parser)
    _add_tls(parser)
    parser.add_argument(
        "--report",
        action="store_true",
        help='after that print {"connections": N} whenever that number changes',
    )
    parser.add_argument("--loop", choices=LOOPS, help="the loop to run on (what is installed)")


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Add what says where the nodes listen, and where clients find them."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=int, default=0, help="the first node's data port; 0: whatever is free (0)"
    )
    parser.add_argument(
        "--tls-port", type=int, default=0, help="likewise, the first node's data port with TLS"
    )
    parser.add_argument("--web-port", type=int, default=0, help="likewise, its web port")
    parser.add_argument(
        "--web-tls-port", type=int, default=0, help="likewise, its web port with TLS"
    )
    parser.add_argument(
        "--advertise", metavar="HOST", help="the host that configurations name (that of --host)"
    )
    parser.add_argument(
        "--alternate",
        action="append",
        type=_alternate,
        metavar="NETWORK=HOST:PORT",
        help="another network on which the nodes are reached, as behind port mapping; repeatable. "
        "The ports follow from PORT on: the first node's, in the order of --services (and with TLS "
        "again), then the next node's",
    )
    parser.add_argument(
        "--services",
        type=_services,
        metavar="NAME,…",
        help=f"what each node runs, as configurations name it ({','.join(PLAIN_SERVICES)})",
    )


def _add_tls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tls-cert", metavar="FILE", help="listen for TLS too, with this certificate (PEM)"
    )
    parser.add_argument("--tls-key", metavar="FILE", help="its private key (PEM)")
    parser.add_argument(
        "--tls-client-ca",
        metavar="FILE",
        help="let clients log in by certificates that these CAs signed (PEM); the CN is the user",
    )


def contradiction(options: argparse.Namespace) -> str:
    """Return what is wrong with the options together; empty: nothing."""
    if not 1 <= options.nodes <= 100:
        return "--nodes must be from 1 to 100"
    if not 1 <= options.vbuckets <= 1024:
        return "--vbuckets must be from 1 to 1024"
    if not 0 <= options.replicas <= 3:
        return "--replicas must be from 0 to 3"
    ports = first_ports(options)
    if not all(0 <= port <= 65535 - options.nodes for port in ports.values()):
        return "--port and its like must leave room for every node below 65536"
    taken = sorted(port for port in ports.values() if port)
    if any(after - before < options.nodes for before, after in pairwise(taken)):
        return "--port and its like must leave room for every node between them"
    if options.tls_cert is None and (options.tls_port or options.web_tls_port):
        return "--tls-port and --web-tls-port need --tls-cert"
    if (options.tls_cert is None) is not (options.tls_key is None):
        return "--tls-cert and --tls-key go together"
    if options.tls_client_ca is not None and options.tls_cert is None:
        return "--tls-client-ca needs --tls-cert"
    return ""


def _user(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not name or not colon:
        raise argparse.ArgumentTypeError("give NAME:PASSWORD")
    return name, password


def _collection(text: str) -> tuple[str, str]:
    scope, dot, name = text.partition(".")
    if not scope or not dot or not name:
        raise argparse.ArgumentTypeError("give SCOPE.NAME")
    return scope, name


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise argparse.ArgumentTypeError("give seconds from 0, or inf")
    return seconds


def _alternate(text: str) -> tuple[str, Address]:
    network, equals, address = text.partition("=")
    host, colon, port = address.rpartition(":")
    if not (network and equals and host and colon and port.isdecimal() and int(port) < _PORTS):
        raise argparse.ArgumentTypeError("give NETWORK=HOST:PORT")
    return network, Address(host.removeprefix("[").removesuffix("]"), int(port))


def _services(text: str) -> tuple[str, ...]:
    try:
        return ports_of(text.split(","), None)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _counting(first: Address) -> Outside:
    """Return a network whose ports follow each other in the order in which nodes open theirs."""
    following = count(first.port)
    return lambda _: Address(first.host, next(following))


def first_ports(options: argparse.Namespace) -> dict[str, int]:
    """Return the ports of the first node that the command line names; 0: whatever is free."""
    ports = {"kv": options.port, "mgmt": options.web_port}
    tls = {"kvSSL": options.tls_port, "mgmtSSL": options.web_tls_port}
    return {**ports, **{service: port for service, port in tls.items() if port}}


def alternates(options: argparse.Namespace) -> dict[str, Outside]:
    """Return the other networks that the command line names."""
    return {network: _counting(first) for network, first in options.alternate or []}


def make_cluster(options: argparse.Namespace, clock: Clock) -> EmbeddedCluster:
    """Make the cluster that the command line asks for."""
    buckets = [BucketSettings(name) for name in options.bucket or ["default"]]
    buckets += [BucketSettings(name, memcached=True) for name in options.memcached_bucket]

    def users(privileges: frozenset[str], logins: Sequence[tuple[str, str]]) -> list[User]:
        # Bucket by bucket: who has rights on all buckets is told that an unknown one does not
        # exist, and official SDKs take that for a bucket that is still being made.
        grants = tuple(Grant(privileges, bucket.name) for bucket in buckets)
        return [User(name, password, grants) for name, password in logins]

    cluster = EmbeddedCluster(
        nodes=options.nodes,
        buckets=buckets,
        users=users(FULL_ACCESS, options.user or [("user", "password")])
        + users(DATA_READER, options.reader or [])
        + [administrator(*login) for login in options.administrator or []],
        vbuckets=options.vbuckets,
        replicas=min(options.replicas, options.nodes - 1),
        clock=clock,
        host=options.advertise or options.host,
    )
    manifest = _manifest(options.collection) if options.collection else None
    for name, bucket in cluster.buckets.items():
        if manifest is not None and not bucket.memcached:
            cluster.set_manifest(name, manifest)
        cluster.delay_replication(name, options.replication_delay)
        cluster.delay_persistence(name, options.persistence_delay)
    return cluster


def _manifest(collections: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Return a manifest as a server prints it; ids below 8 are the server's own."""
    scopes: dict[str, dict[str, str]] = {"_default": {"_default": "0"}}
    for uid, (scope, name) in enumerate(dict.fromkeys(collections), 8):
        scopes.setdefault(scope, {}).setdefault(name, f"{uid:x}")
    return {
        "uid": "1",
        "scopes": [
            {
                "name": scope,
                "uid": f"{7 + number:x}" if number else "0",
                "collections": [{"name": name, "uid": uid} for name, uid in names.items()],
            }
            for number, (scope, names) in enumerate(scopes.items())
        ],
    }


def server_certificate(options: argparse.Namespace) -> ServerCertificate | None:
    """Return the certificate that the command line names, if any."""
    if options.tls_cert is None:
        return None
    return ServerCertificate(options.tls_cert, options.tls_key, options.tls_client_ca)


def announce(served: Hosting, *, tls: bool, report: bool) -> None:
    """Print the one line that whoever started the program waits for, and begin to report."""
    line: dict[str, object] = {"connection_string": served.connection_string}
    if tls:
        line["connection_string_tls"] = served.connection_string_tls
    _print(**line, pid=os.getpid())
    cluster = served.cluster
    if report:
        cluster.on_connections_change = lambda: _print(connections=len(cluster.connections()))


def _print(**members: object) -> None:
    print(json.dumps(members), flush=True)


def serve_on_twisted(options: argparse.Namespace) -> None:
    """Serve on the default reactor until a signal ends it."""
    from twisted.internet import reactor  # noqa: PLC0415 - only if Twisted was picked

    from txcouchbase.testing import ReactorClock, serve  # noqa: PLC0415

    tls = server_certificate(options)
    served = serve(
        make_cluster(options, ReactorClock(reactor)),
        reactor=reactor,
        host=options.host,
        first_port=first_ports(options),
        tls=tls,
        alternates=alternates(options),
        services=options.services,
    )
    reactor.addSystemEventTrigger("before", "shutdown", served.stop)
    reactor.callWhenRunning(lambda: announce(served, tls=tls is not None, report=options.report))
    reactor.run()


def serve_on_gevent(options: argparse.Namespace) -> None:
    """Serve on this thread's hub until a signal ends it."""
    import gevent  # noqa: PLC0415 - only if gevent was picked
    from gevent.event import Event  # noqa: PLC0415

    from gcouchbase.testing import SystemClock, serve  # noqa: PLC0415

    ended = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, ended.set)
    tls = server_certificate(options)
    cluster = make_cluster(options, SystemClock())
    with serve(
        cluster,
        host=options.host,
        first_port=first_ports(options),
        tls=tls,
        alternates=alternates(options),
        services=options.services,
    ) as served:
        announce(served, tls=tls is not None, report=options.report)
        ended.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    return run(parse_arguments(sys.argv[1:] if arguments is None else arguments))


def run(options: argparse.Namespace) -> int:
    """Serve what the command line asks for; return the exit status."""
    loop = options.loop or next((name for name in LOOPS if find_spec(name)), None)
    if loop is None or find_spec(loop) is None:
        print(f"{loop or 'a loop'} is not installed: {missing_loop(loop)}", file=sys.stderr)
        return 1
    try:
        {"twisted": serve_on_twisted, "gevent": serve_on_gevent}[loop](options)
    except OSError as error:
        print(f"cannot listen on {options.host}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
