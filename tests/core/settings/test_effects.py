"""What options do: every option of the table has its effect, or says that it has none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from couchloop.auth import PasswordAuthenticator
from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    ArgumentError,
    FeatureNotAvailableError,
    InvalidOptionError,
    NodeNotAvailableError,
    UnambiguousTimeoutError,
)
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame
from couchloop.operations import document as ops
from couchloop.retries import BestEffort, FailFast, Policies, RetryReason, RetryRequest
from couchloop.settings.configure import make_settings
from couchloop.settings.options import OPTIONS, Option
from couchloop.settings.values import Rerouting, Settings, Wire
from couchloop.wire import Feature, Opcode, Status, snappy
from tests.core.world import World
from tests.extras import needs_snappy

ROOT = Path(__file__).resolve().parents[3]
WHO = PasswordAuthenticator("user", "password")

# A text that is not the default of each option that is heeded.
TEXTS = {
    "bootstrap_on": "cccp",
    "config_cache": "other",
    "config_cache_ro": "other",
    "dnssrv": "false",
    "resolve_timeout": "9",
    "network": "external",
    "ipv6": "allow",
    "randomize_nodes": "true",
    "config_total_timeout": "9",
    "config_node_timeout": "9",
    "config_poll_interval": "9",
    "config_poll_floor": "9",
    "enable_clustermap_notification": "false",
    "ssl": "no_verify",
    "tls_verify": "none",
    "truststorepath": "other.pem",
    "certpath": "other.pem",
    "tls_disable_v1_2": "true",
    "keypath": "key.pem",
    "username": "other",
    "password": "other",
    "sasl_mech_force": "PLAIN",
    "sasl_allow_plain": "true",
    "scram_min_iterations": "500",
    "operation_timeout": "9",
    "kv_durable_timeout": "9",
    "durability_timeout": "9",
    "durability_interval": "9",
    "fetch_mutation_tokens": "true",
    "dur_mutation_tokens": "false",
    "retry_policy": "all:none",
    "retry_interval": "9",
    "retry_backoff": "9",
    "retry_nmv_imm": "false",
    "retry_nmv_delay": "9",
    "wait_for_config": "true",
    "compression": "off",
    "compression_min_size": "99",
    "compression_min_ratio": "0.5",
    "enable_errmap": "false",
    "enable_unordered_execution": "true",
    "circuit_breaker": "9",
    "client_string": "other",
    "tcp_nodelay": "false",
    "tcp_keepalive": "false",
    "tcp_keepidle": "9",
    "tcp_keepintvl": "9",
    "tcp_keepcnt": "9",
    "max_queued_operations": "9",
    "max_queued_bytes": "9",
    "when_overloaded": "wait",
    "past_expiry": "send",
    "gc_while_decoding": "off",
    "http_allow_plain": "true",
    "n1ql_timeout": "9",
    "n1ql_grace_period": "9",
    "search_timeout": "9",
    "analytics_timeout": "9",
    "views_timeout": "9",
    "http_timeout": "9",
    "http_poolsize": "9",
    "max_http_connections": "9",
    "http_pool_timeout": "9",
    "log_redaction": "true",
    "metrics": "true",
    "enable_tracing": "true",
    "tracing_orphaned_queue_flush_interval": "9",
    "tracing_orphaned_queue_size": "9",
    "tracing_threshold_queue_flush_interval": "9",
    "tracing_threshold_queue_size": "9",
    "tracing_threshold_kv": "9",
    "tracing_threshold_n1ql": "9",
    "tracing_threshold_view": "9",
    "tracing_threshold_fts": "9",
    "tracing_threshold_analytics": "9",
    "show_queries": "true",
}

# What makes the text of one option legal.
BESIDE = {"keypath": "&certpath=c.pem"}


def made(options: str = "", scheme: str = "couchbases", **keywords: Any) -> Settings:
    """Open with these options, as it were."""
    return make_settings(f"{scheme}://host/b?{options}", **keywords)


def values_of(settings: object) -> Iterator[tuple[str, object]]:
    """Yield each field of *settings* with its value, those of nested ones included."""
    assert is_dataclass(settings)
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value) and field.name != "retry_strategy":
            for name, inner in values_of(value):
                yield f"{field.name}.{name}", inner
        else:
            yield field.name, value


def used() -> list[Option]:
    """Return the options that are heeded."""
    return [option for option in OPTIONS.values() if option.effect == "used"]


@pytest.mark.parametrize("option", used(), ids=lambda option: option.name)
def test_option_is_read(option: Option) -> None:
    """Each option that is heeded changes something in the settings."""
    beside = BESIDE.get(option.name, "&username=user&password=password")
    plain = dict(values_of(made("username=user&password=password")))
    changed = dict(values_of(made(f"{beside}&{option.name}={TEXTS[option.name]}")))
    assert [name for name, value in changed.items() if value != plain[name]]


def test_settings_are_read() -> None:
    """Each field of the settings is read by somebody who acts on it."""
    read: set[str] = set()
    makers = ROOT / "core/couchloop/settings"
    for folder in ("core/couchloop", "txcouchbase", "gcouchbase"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.is_relative_to(makers):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    read.add(node.attr)
    # These are read where they are defined, by methods that others call.
    # The user's TLS context is one of those things by which openings are told apart.
    read |= {
        "tls_context",
        "compression",
        "nodelay",
        "keepalive",
        "keepidle",
        "keepintvl",
        "keepcnt",
    }
    unread = {name for name, _ in values_of(made(authenticator=WHO))}
    assert {name for name in unread if name.rpartition(".")[2] not in read} == set()


@pytest.mark.parametrize(
    "option",
    [option for option in OPTIONS.values() if option.effect == "ignored"],
    ids=lambda option: option.name,
)
def test_without_effect(option: Option) -> None:
    """An option that is not heeded is accepted, changes nothing, and the log says why, once."""
    text = {"bool": "true", "text": "x", "path": "x"}.get(option.kind, "1")
    settings = made(f"{option.name}={text}", authenticator=WHO)
    assert settings == made(authenticator=WHO)
    (notice,) = settings.notices
    assert notice.text == f"the option {option.name} has no effect: {option.reason}"
    assert notice.once


def test_modes_without_effect() -> None:
    """The modes of retry_policy that mean nothing here are named in the log, the others are not."""
    policies = ("topochange:none", "sockerr:get", "maperr:safe", "all:all", "missingnode:none")
    text = "&".join(f"retry_policy={policy}" for policy in policies)
    notices = made(text, authenticator=WHO).notices
    assert [notice.text.partition(":")[0] for notice in notices] == [
        "retry_policy=topochange",
        "retry_policy=maperr",
    ]
    assert all("has no effect" in notice.text and notice.once for notice in notices)


@pytest.mark.parametrize(
    ("options", "doubted"),
    [
        ("resolve_timeout=1", "resolve_timeout=1"),
        ("resolve_timeout=2.5", "resolve_timeout=2.5"),
        ("bootstrap_timeout=10&config_node_timeout=2", "bootstrap_timeout=10"),
        ("kv_timeout=99.9", "kv_timeout=99.9"),
        ("config_poll_floor=5", "config_poll_floor=5"),
        ("resolve_timeout=100", ""),
        ("resolve_timeout=1s", ""),
        ("resolve_timeout=1ms", ""),
        ("config_poll_floor=50", ""),
        ("config_total_timeout=5&operation_timeout=0.5", ""),
    ],
)
def test_doubtful_milliseconds(options: str, doubted: str) -> None:
    """So few milliseconds, under a name of 4.x, that seconds may be meant are a warning."""
    notices = made(options, authenticator=WHO).notices
    assert [notice.text.partition(" ")[0] for notice in notices] == [doubted] * bool(doubted)
    assert all(notice.level == "warning" and notice.once for notice in notices)
    assert all(f"write {doubted}s for seconds" in notice.text for notice in notices)


@pytest.mark.parametrize(
    ("options", "doubted"),
    [
        ("operation_timeout=2500", "operation_timeout=2500"),
        ("timeout=2500.5", "timeout=2500.5"),
        ("http_timeout=75000", "http_timeout=75000"),
        ("config_total_timeout=5000&operation_timeout=2500ms", "config_total_timeout=5000"),
        ("operation_timeout=2500s", ""),
        ("operation_timeout=999", ""),
        ("kv_timeout=2500", ""),
        ("tcp_keepidle=7200", ""),
        ("n1ql_timeout=75", ""),
    ],
)
def test_doubtful_seconds(options: str, doubted: str) -> None:
    """So many seconds, under a name of 2.5, that milliseconds may be meant are a warning."""
    notices = made(options, authenticator=WHO).notices
    notices = tuple(each for each in notices if "has no effect" not in each.text)
    assert [notice.text.partition(" ")[0] for notice in notices] == [doubted] * bool(doubted)
    assert all(notice.level == "warning" and notice.once for notice in notices)
    assert all(f"write {doubted}ms for milliseconds" in notice.text for notice in notices)


@pytest.mark.parametrize(
    ("value", "doubted"), [(2500, True), (1000, True), (2500.0, False), (999, False), (2.5, False)]
)
def test_doubtful_numbers(value: float, *, doubted: bool) -> None:
    """So many whole seconds as an argument are a warning, too; who writes 2500.0 means them."""
    settings = make_settings("couchbase://h/b", authenticator=WHO, timeout=value)
    notices = [notice for notice in settings.notices if notice.level == "warning"]
    assert settings.operation_timeout == value
    assert [notice.text.partition(":")[0] for notice in notices] == [
        f"timeout={value} is {value} seconds, as in SDK 2.5"
    ] * doubted
    assert all(f"write timeout={value / 1000:g} if" in notice.text for notice in notices)


def test_doubtful_environment() -> None:
    """Times that the environment sets are looked at as those of the connection string are."""
    given = {"LCB_OPTIONS": "operation_timeout=2500&kv_durable_timeout=10"}
    settings = make_settings("couchbase://h/b", authenticator=WHO, environment=given)
    warnings = [notice for notice in settings.notices if notice.level == "warning"]
    assert [notice.text.partition(" is ")[0] for notice in warnings] == [
        "LCB_OPTIONS: operation_timeout=2500",
        "LCB_OPTIONS: kv_durable_timeout=10",
    ]


@pytest.mark.parametrize(
    ("string", "said"),
    [
        ("10.0.0.1", "has no scheme, which means http:// and web ports (8091)"),
        ("10.0.0.1:8091/b", "write couchbase:// for data ports (11210)"),
        ("couchbase://10.0.0.1:8091", "10.0.0.1:8091 was taken for the data port 11210"),
        ("couchbase://a,[::1]:8091", "[::1]:8091 was taken for the data port 11210"),
        ("couchbase://10.0.0.1:8091=http", ""),
        ("couchbase://10.0.0.1:11210", ""),
        ("couchbases://10.0.0.1:8091", "8091 names a port without TLS under couchbases://"),
        ("couchbases://10.0.0.1:11210", "11210 names a port without TLS under couchbases://"),
        ("couchbases://10.0.0.1:18091", "write :18091=https"),
        ("couchbases://10.0.0.1:18091=https", ""),
        ("couchbases://10.0.0.1:11207", ""),
        ("couchbase://10.0.0.1:11207", "write couchbases://, without a port"),
        ("couchbase://10.0.0.1:18091", "write couchbases://, without a port"),
        ("http://10.0.0.1:11210", "names a data port, and http:// begins at web ports"),
        ("http://10.0.0.1:8091", ""),
    ],
)
def test_read_as(string: str, said: str) -> None:
    """Ports that were read otherwise than people often mean are told in errors, and logged."""
    settings = make_settings(string, authenticator=WHO, is_cluster=True)
    assert said in settings.read_as
    assert bool(settings.read_as) is bool(said)
    texts = " ".join(notice.text for notice in settings.notices)
    assert bool(texts) is bool(said)


def test_oldest_tls() -> None:
    """tls_disable_v1_2 asks for TLS 1.3, as in SDK 4.x."""
    assert made("tls_disable_v1_2=true", authenticator=WHO).tls_files.minimum == "tlsv1.3"
    assert made("tls_disable_v1_2=false", authenticator=WHO).tls_files.minimum == "tlsv1.2"
    with pytest.raises(ArgumentError, match="for TLS"):
        made("tls_disable_v1_2=true", scheme="couchbase", authenticator=WHO)


@needs_snappy
def test_no_notice() -> None:
    """Nothing is said of options that are heeded."""
    assert made("operation_timeout=3&compression=on", authenticator=WHO).notices == ()


@pytest.mark.parametrize(
    ("documented", "in_the_code"),
    [
        ("bootstrap_on=both", "bootstrap_on=all"),
        ("ipv6=disable", "ipv6=disabled"),
        ("retry_nmv_interval=3", "retry_nmv_delay=3"),
        ("durabilty_timeout=3", "durability_timeout=3"),
        ("durabilty_interval=3", "durability_interval=3"),
        ("readj_wait_tmo=1", "readj_ts_wait=1"),
        ("enable_errmap=true", ""),
        ("config_cache=f&config_cache_ro=1", "config_cache_ro=f"),
        ("config_cache=f&config_cache_ro=0", "config_cache=f"),
        ("cert_path=a.pem", "certpath=a.pem"),
        ("config_poll_interval=2", "config_poll_interval=2000ms"),
        ("config_poll_floor=70", "config_poll_floor=0.07s"),
    ],
)
def test_documentation_and_code(documented: str, in_the_code: str) -> None:
    """Where SDK 2.5's documentation and code differ, both spellings mean the same."""
    one, other = (made(text, authenticator=WHO) for text in (documented, in_the_code))
    assert one == other
    assert one.notices == other.notices


def test_read_only_cache_without_a_path() -> None:
    """config_cache_ro=1 says nothing by itself."""
    with pytest.raises(InvalidOptionError, match="path of a file"):
        made("config_cache_ro=1", authenticator=WHO)


def test_srv_of_the_first_of_many() -> None:
    """No SRV look-up for several hosts, but dnssrv=1 asks for one of the first."""
    text = "couchbases://first.example,second.example/b"
    assert make_settings(text, authenticator=WHO).srv == ""
    settings = make_settings(f"{text}?dnssrv=1", authenticator=WHO)
    assert settings.srv == "_couchbases._tcp.first.example"


# Compression

LONG = "a" * 1000
RANDOM = Random(5).randbytes(1000).hex()
"""Hexadecimal digits shrink to about half."""


def stored(w: World, value: str) -> Frame:
    """Store *value*; give the request."""
    w.writes.clear()
    w.do(ops.upsert(w.defaults, "key", value))
    decoder = FrameDecoder(RequestFrame)
    (request,) = [
        frame
        for _, data in w.writes
        for frame in decoder.receive(data)
        if frame.opcode == Opcode.SET
    ]
    return request


def world(**wire: Any) -> World:
    """Open a world whose client speaks so."""
    w = World(wire=Wire(**wire))
    w.open()
    return w


def asked_features(w: World) -> set[int]:
    """Return what the client asked for in its last HELLO."""
    decoder = FrameDecoder(RequestFrame)
    hello = [
        frame
        for _, data in w.writes
        for frame in decoder.receive(data)
        if frame.opcode == Opcode.HELLO
    ][-1]
    return {int.from_bytes(hello.value[i : i + 2]) for i in range(0, len(hello.value), 2)}


@needs_snappy
@pytest.mark.parametrize("mode", ["on", "deflate_only", "force"])
def test_compression(mode: str) -> None:
    """What shrinks is sent compressed, from the least size on; it is read back as it was."""
    w = world(compression=mode)
    request = stored(w, LONG)
    assert request.datatype == 2
    assert snappy.decompress(request.value, 2000) == f'"{LONG}"'.encode()
    assert w.do(ops.get(w.defaults, "key")).value == LONG
    assert stored(w, "a" * 509).datatype == 0
    assert stored(w, "a" * 510).datatype == 2


@needs_snappy
def test_least_size() -> None:
    """compression_min_size is the size from which on documents are compressed; force has 32."""
    assert made("compression=force", authenticator=WHO).wire.compress_from == 32
    both = made("compression=force&compression_min_size=99", authenticator=WHO)
    assert both.wire.compress_from == 99
    w = world(compress_from=500)
    assert stored(w, "a" * 497).datatype == 0
    assert stored(w, "a" * 498).datatype == 2


@needs_snappy
def test_ratio() -> None:
    """What does not shrink to compression_min_ratio is sent as it is; force takes what it gets."""
    compressed = len(snappy.compress(f'"{RANDOM}"'.encode())) / (len(RANDOM) + 2)
    assert 0.83 < compressed <= 1.01
    assert stored(world(), RANDOM).datatype == 0
    assert stored(world(compress_ratio=1.02), RANDOM).datatype == 2
    assert made("compression=force", authenticator=WHO).wire.deflates_to == 1.0


@needs_snappy
def test_inflate_only() -> None:
    """inflate_only reads what comes compressed, and sends nothing so."""
    w = world(compression="inflate_only")
    assert stored(w, LONG).datatype == 0
    assert all(Feature.SNAPPY in each.features for each in w.session.connections)


def test_compression_off() -> None:
    """Off: no node is asked for Snappy, nothing is compressed."""
    w = world(compression="off")
    assert Feature.SNAPPY not in asked_features(w)
    assert stored(w, LONG).datatype == 0
    assert w.do(ops.get(w.defaults, "key")).value == LONG


def test_compression_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package nothing is compressed; who forces it is told what to install."""
    monkeypatch.setattr("couchloop.wire.snappy._AVAILABLE", False)
    (notice,) = made("compression=on", authenticator=WHO).notices
    assert "couchloop[snappy]" in notice.text
    assert made(authenticator=WHO).notices == ()
    with pytest.raises(FeatureNotAvailableError, match=re.escape("couchloop[snappy]")):
        made("compression=force", authenticator=WHO)


# HELLO


def test_error_map() -> None:
    """enable_errmap=false asks no node what its error codes mean."""
    for error_map in (True, False):
        w = world(error_map=error_map)
        assert w.cluster.operations["GET_ERROR_MAP"] == (3 if error_map else 0)
        assert w.do(ops.upsert(w.defaults, "key", 1)).success


def test_unordered() -> None:
    """enable_unordered_execution lets an operation overtake one that the node is slow with."""
    for unordered in (False, True):
        w = world(unordered=unordered)
        assert (Feature.UNORDERED in asked_features(w)) is unordered
        slow, quick = w.keys_of(next(iter(w.nodes)), 2)
        w.cluster.inject(key=slow, opcode=Opcode.SET, delay=1.0)
        first = w.submit(ops.upsert(w.defaults, slow, 1))
        second = w.submit(ops.upsert(w.defaults, quick, 2))
        w.advance(0.5)
        assert (first.done, second.done) == (False, unordered)
        w.advance(1.0)
        assert (first.result().success, second.result().success) == (True, True)


def test_pushes() -> None:
    """enable_clustermap_notification=false: configurations come only when they are asked for."""
    for pushes in (True, False):
        w = world(pushes=pushes)
        asked = asked_features(w)
        assert (Feature.CLUSTERMAP_CHANGE in asked) is pushes
        assert (Feature.DUPLEX in asked) is pushes
        w.advance(1.0)
        w.cluster.bump()
        w.advance(1.0)
        config = w.session.config
        assert config is not None
        assert (config.revision.rev == w.cluster.rev) is pushes


# Configurations


def test_poll_floor() -> None:
    """config_poll_floor is the least time between two requests for a configuration."""
    w = World(config_poll_interval=0.1, config_poll_floor=1.0)
    w.open()
    asked = w.cluster.operations["GET_CLUSTER_CONFIG"]
    w.advance(10.05)
    assert w.cluster.operations["GET_CLUSTER_CONFIG"] in range(asked + 9, asked + 11)


# Retries


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ("", BestEffort()),
        ("retry_interval=0.25", BestEffort(0.25)),
        ("retry_interval=2&retry_backoff=3", BestEffort(2.0, 2.0, 3.0)),
        ("retry_policy=all:all", BestEffort()),
        ("retry_policy=all:none", Policies(BestEffort(), "none", "none")),
        ("retry_policy=sockerr:get", Policies(BestEffort(), "get", "all")),
        (
            "retry_policy=all:safe&retry_policy=missingnode:none&retry_interval=0.2",
            Policies(BestEffort(0.2), "safe", "none"),
        ),
        ("retry_policy=topochange:none&retry_policy=maperr:none", BestEffort()),
    ],
)
def test_strategy(options: str, strategy: object) -> None:
    """retry_policy, retry_interval and retry_backoff make a strategy; one that is given wins."""
    assert made(options, authenticator=WHO).retry_strategy == strategy
    given = FailFast()
    assert made(options, authenticator=WHO, retry_strategy=given).retry_strategy is given


def test_growth() -> None:
    """retry_backoff is what pauses grow by."""
    strategy = BestEffort(0.01, 0.2, 3.0)
    pauses = [
        strategy.retry_after(
            RetryRequest("get", "key", True, attempts, ()), RetryReason.KV_TEMPORARY_FAILURE
        )
        for attempts in (1, 2, 3, 4, 5)
    ]
    assert pauses == pytest.approx([0.01, 0.03, 0.09, 0.2, 0.2])


@pytest.mark.parametrize(
    ("policy", "store", "read"),
    [("all", True, True), ("get", False, True), ("safe", False, True), ("none", False, False)],
)
def test_socket_errors(policy: str, store: bool, read: bool) -> None:
    """retry_policy=sockerr:…: who waits for a node that is not connected."""
    w = World(retry_strategy=Policies(socket_errors=policy))
    w.open()
    address = next(iter(w.nodes))
    (key,) = w.keys_of(address)
    w.unreachable.add(address)
    w.lose(w.link_to(address))
    for waits, build in ((store, ops.upsert(w.defaults, key, 1)), (read, ops.get(w.defaults, key))):
        op = w.submit(build)
        w.settle()
        assert op.done is not waits
        if not waits:
            with pytest.raises(NodeNotAvailableError):
                op.result()


@pytest.mark.parametrize(("policy", "waits"), [("all", True), ("none", False)])
def test_missing_node(policy: str, waits: bool) -> None:
    """retry_policy=missingnode:…: whether an operation waits for a node to own its key."""
    w = World(retry_strategy=Policies(missing_node=policy))
    w.session.start(w.now)
    op = w.submit(ops.upsert(w.defaults, "key", 1))
    assert op.done is not waits
    w.settle()
    if waits:
        assert op.result().success


def moved(w: World, *, push: bool = False) -> Any:
    """Move the vbucket of a key, tell the old owner alone, and store the key."""
    w.open()
    (key,) = w.keys_of(next(iter(w.nodes)))
    assert w.session.config is not None
    vbucket = w.session.config.vbucket(key.encode())
    w.advance(1.0)
    w.cluster.move_vbucket("default", vbucket, w.cluster.nodes[1], push=push)
    return w.submit(ops.upsert(w.defaults, key, 1))


def test_not_mine_at_once() -> None:
    """By default an operation follows its document without a pause."""
    w = World()
    op = moved(w)
    w.settle()
    assert op.result().success


def test_not_mine_later() -> None:
    """retry_nmv_imm=false and retry_nmv_delay: never without that pause."""
    w = World(rerouting=Rerouting(at_once=False, delay=0.3))
    op = moved(w)
    w.advance(0.29)
    assert not op.done
    w.advance(0.02)
    assert op.result().success


@pytest.mark.parametrize("waits", [True, False])
def test_wait_for_config(waits: bool) -> None:
    """wait_for_config: nothing is sent again before a newer configuration says where to."""
    w = World(rerouting=Rerouting(waits=waits))
    w.open()
    fault = w.cluster.inject(key="key", status=Status.NOT_MY_VBUCKET)
    op = w.submit(ops.upsert(w.defaults, "key", 1))
    w.advance(0.5)
    assert (fault.hits == 1) is waits
    fault.remove()
    w.cluster.bump()
    w.advance(0.5)
    assert op.result().success
    if waits:
        w.cluster.inject(key="key", status=Status.NOT_MY_VBUCKET)
        op = w.submit(ops.upsert(w.defaults, "key", 1))
        w.advance(3.0)
        with pytest.raises(UnambiguousTimeoutError, match="no newer configuration came"):
            op.result()


def test_circuit_breaker() -> None:
    """circuit_breaker is how many unanswered operations open a node's circuit."""
    for limit in (2, 5):
        w = World(EmbeddedCluster(1, clock=ManualClock()), circuit_breaker=limit)
        w.open()
        fault = w.cluster.inject(silent=True)
        for _ in range(4):
            w.submit(ops.upsert(w.defaults, "key", 1, timeout=1.5))
        w.advance(1.6)
        assert fault.hits == 4 + 1
        assert any("in a row, or more, were not answered" in line for line in w.logs) is (
            limit == 2
        )
