"""What the options of a connection string say, as settings."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any, Final

from couchloop.exceptions import ArgumentError, InvalidOptionError
from couchloop.retries import BestEffort, Policies, RetryStrategy, check_strategy
from couchloop.settings.options import OPTIONS, parse_bool
from couchloop.settings.values import (
    FILE_ONLY,
    Http,
    Reports,
    Rerouting,
    ServiceTimes,
    Settings,
    Sockets,
    Wire,
)
from couchloop.wire import snappy


def with_options(settings: Settings, options: dict[str, Any]) -> Settings:
    """Return *settings* with what *options* say, or with their defaults.

    Raises InvalidOptionError, ArgumentError, FeatureNotAvailableError.
    """
    bucket = settings.bucket
    return replace(
        settings,
        network=str(options.get("network") or "auto"),
        randomize_nodes=bool(options.get("randomize_nodes", False)),
        config_total_timeout=number(options, "config_total_timeout"),
        config_node_timeout=number(options, "config_node_timeout"),
        config_poll_interval=number(options, "config_poll_interval"),
        config_poll_floor=number(options, "config_poll_floor"),
        operation_timeout=number(options, "operation_timeout"),
        durable_timeout=number(options, "kv_durable_timeout"),
        watch_timeout=number(options, "durability_timeout"),
        watch_interval=number(options, "durability_interval"),
        watch_by_token=options.get("dur_mutation_tokens", True),
        resolve_timeout=number(options, "resolve_timeout"),
        circuit_breaker=int(number(options, "circuit_breaker")),
        log_redaction=bool(options.get("log_redaction", False)),
        reports=reports_of(options),
        bootstrap_on=bootstrap_on(options),
        ipv6=str(options.get("ipv6") or OPTIONS["ipv6"].default),
        sockets=_sockets(options),
        wire=_wire(options),
        rerouting=_rerouting(options),
        http=_http(options),
        service_times=service_times(options),
        config_cache=_config_cache(options, bucket) if bucket else "",
        config_cache_ro=parse_bool(str(options.get("config_cache_ro", "false"))) is not False,
        max_queued_operations=int(number(options, "max_queued_operations")),
        max_queued_bytes=int(number(options, "max_queued_bytes")),
        when_overloaded=str(options.get("when_overloaded") or "fail"),
        past_expiry=str(options.get("past_expiry") or "refuse"),
        gc_while_decoding=bool(options.get("gc_while_decoding", True)),
    )


def bootstrap_on(options: dict[str, Any]) -> str:
    """Return where the first configuration may come from: all, cccp, http or file_only."""
    return str(options.get("bootstrap_on") or "all")


def number(options: dict[str, Any], name: str) -> float:
    """Return what an option says, or its default; times in seconds."""
    value = options.get(name)
    return float(OPTIONS[name].default if value is None else value)  # type: ignore[arg-type]


def strategy(options: dict[str, Any], given: RetryStrategy | None) -> RetryStrategy:
    """Return the strategy for operations that name none."""
    if given is not None:
        return check_strategy(given)
    first = number(options, "retry_interval")
    pauses = BestEffort(first, max(first, BestEffort().longest), number(options, "retry_backoff"))
    policies = {"sockerr": "all", "missingnode": "all"}
    for each in options.get("retry_policy", ()):
        mode, _, policy = each.partition(":")
        policies.update(dict.fromkeys(policies if mode == "all" else (mode,), policy))
    policy = Policies(pauses, policies["sockerr"], policies["missingnode"])
    return pauses if policy == Policies(pauses) else policy


_LEAST_BY_FORCE: Final = 32
"""Bytes from which on everything is tried with compression=force."""


def _wire(options: dict[str, Any]) -> Wire:
    wire = Wire(
        compression=options.get("compression", "on"),
        compress_from=int(number(options, "compression_min_size")),
        compress_ratio=number(options, "compression_min_ratio"),
        error_map=options.get("enable_errmap", True),
        pushes=options.get("enable_clustermap_notification", True),
        tokens=options.get("fetch_mutation_tokens", False),
        unordered=options.get("enable_unordered_execution", False),
    )
    if wire.compression == "force":
        snappy.check_installed()
        if "compression_min_size" not in options:
            wire = replace(wire, compress_from=_LEAST_BY_FORCE)
    return wire


def _rerouting(options: dict[str, Any]) -> Rerouting:
    return Rerouting(
        at_once=options.get("retry_nmv_imm", True),
        delay=options.get("retry_nmv_delay"),
        waits=options.get("wait_for_config", False),
    )


def _http(options: dict[str, Any]) -> Http:
    size = options.get("http_poolsize")
    return Http(
        allow_plain=bool(options.get("http_allow_plain") or options.get("sasl_allow_plain")),
        pool_size=None if size is None else int(size),
        max_connections=int(number(options, "max_http_connections")),
        idle_timeout=number(options, "http_pool_timeout"),
        management_timeout=number(options, "http_timeout"),
    )


def service_times(options: dict[str, Any]) -> ServiceTimes:
    """Return how long requests to services may take."""
    return ServiceTimes(
        query=number(options, "n1ql_timeout"),
        grace=number(options, "n1ql_grace_period"),
        search=number(options, "search_timeout"),
        views=number(options, "views_timeout"),
        analytics=number(options, "analytics_timeout"),
    )


def _config_cache(options: dict[str, Any], bucket: str) -> str:
    """Return the path of the file that keeps the bucket's configuration; empty: there is none."""
    path, only_read = (str(options.get(n, "")) for n in ("config_cache", "config_cache_ro"))
    if parse_bool(only_read) is not None:
        # So SDK 2.5's documentation has it; its code takes a path.
        if not path:
            raise InvalidOptionError("config_cache_ro is the path of a file, or goes with one")
        only_read = ""
    if path and only_read and path != only_read:
        raise InvalidOptionError(
            "config_cache and config_cache_ro name different files: give one of them"
        )
    path = path or only_read
    if not path and options.get("bootstrap_on") == FILE_ONLY:
        raise InvalidOptionError(
            "bootstrap_on=file_only needs a file to start from: config_cache or config_cache_ro"
        )
    if path.endswith("/"):
        if "/" in bucket:
            raise ArgumentError(f"bucket {bucket!r} cannot be the name of a file in {path!r}")
        path += bucket
    return path


def _sockets(options: dict[str, Any]) -> Sockets:
    # Sockets take whole seconds.
    return Sockets(
        nodelay=bool(options.get("tcp_nodelay", True)),
        keepalive=bool(options.get("tcp_keepalive", True)),
        keepidle=ceil(number(options, "tcp_keepidle")),
        keepintvl=ceil(number(options, "tcp_keepintvl")),
        keepcnt=int(number(options, "tcp_keepcnt")),
    )


def reports_of(options: dict[str, Any]) -> Reports:
    """Return what is reported."""
    return Reports(
        tracing=bool(options.get("enable_tracing", False)),
        metrics=bool(options.get("metrics", False)),
        threshold=number(options, "tracing_threshold_kv"),
        query_threshold=number(options, "tracing_threshold_n1ql"),
        views_threshold=number(options, "tracing_threshold_view"),
        search_threshold=number(options, "tracing_threshold_fts"),
        analytics_threshold=number(options, "tracing_threshold_analytics"),
        statements=bool(options.get("show_queries", False)),
        threshold_interval=number(options, "tracing_threshold_queue_flush_interval"),
        threshold_size=int(number(options, "tracing_threshold_queue_size")),
        orphaned_interval=number(options, "tracing_orphaned_queue_flush_interval"),
        orphaned_size=int(number(options, "tracing_orphaned_queue_size")),
    )
