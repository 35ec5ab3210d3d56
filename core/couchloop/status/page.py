"""The status as one HTML page, which is complete in itself: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from couchloop.status.markup import Markup, element, empty, joined
from couchloop.status.style import STYLE

_SIGNS: Final = {"pass": "✓", "warn": "!", "fail": "✗"}
_WORDS: Final = {
    "pass": "All well",
    "warn": "Not all is well",
    "fail": "Not ready for work",
}
_WELL: Final = {"connected": "pass", "disconnecting": "warn"}
"""What the state of a connection means."""
_NOTHING: Final = "-"
_FEW: Final = 2
"""Columns that a phone has room for beside each other."""


class _Column(NamedTuple):
    """One column of a table."""

    title: str
    kind: str = ""
    """`number`: it is one. `whole`: it takes the whole width on a phone."""


def page(status: Mapping[str, Any], refresh: int | None = None) -> str:
    """Return the page of a *status*, as `couchloop.status.gathering` has it.

    Args:
        status: all that is shown.
        refresh: seconds after which browsers ask again; None: never.
    """
    verdict = status["status"]
    head = element(
        "head",
        empty("meta", charset="utf-8"),
        empty("meta", name_="viewport", content_="width=device-width, initial-scale=1"),
        empty("meta", name_="color-scheme", content_="light dark"),
        empty("meta", name_="robots", content_="noindex"),
        "" if refresh is None else empty("meta", http_equiv="refresh", content_=refresh),
        element("title", f"{_SIGNS[verdict]} couchloop"),
        # Ours: to escape it would change it, and its hash.
        element("style", Markup(STYLE)),
    )
    main = element(
        "main",
        element("h1", "couchloop"),
        _verdict(verdict, _WORDS[verdict], class_=f"banner {verdict}", role="status"),
        _paragraph(f"{status['time']} · process {status['process']} · {status['sdk']}"),
        *(_bucket(bucket, status["latencies"]) for bucket in status["buckets"]),
        "" if status["buckets"] else element("p", "No Bucket is open."),
        _latencies(status["latencies"]),
        _services(status["services"]),
        _connections(status["connections"]),
        element(
            "footer",
            _paragraph("Beside this page: ", *_codes("status.json", "ready", "live")),
        ),
    )
    return f"<!doctype html>\n{element('html', head, element('body', main), lang='en')}\n"


def _codes(*names: str) -> list[Markup]:
    return [
        joined("" if not number else ", ", element("code", name))
        for number, name in enumerate(names)
    ]


def _verdict(verdict: str, words: str, **attributes: object) -> Markup:
    sign = element("span", _SIGNS[verdict], class_="sign", aria_hidden="true")
    attributes.setdefault("class_", verdict)
    return element("p", sign, " ", words, **attributes)


def _paragraph(*content: object) -> Markup:
    return element("p", *content, class_="dim")


# One Bucket


def _bucket(bucket: Mapping[str, Any], latencies: Mapping[str, Any] | None) -> Markup:
    connected = sum(node["state"] == "connected" for node in bucket["nodes"])
    retries = bucket["retries"]
    ways = ["TLS" if bucket["tls"] else "without TLS"]
    if bucket["network"]:
        ways.append(f"network {bucket['network']}")
    if "config_rev" in bucket:
        ways.append("configuration {}:{}".format(*bucket["config_rev"]))
    words = f"{bucket['state']}: {connected} of {len(bucket['nodes'])} nodes connected"
    if bucket["session"] != "open":
        words = f"{bucket['state']}: {bucket['session']}"
    return element(
        "section",
        element("h2", "Bucket ", element("code", bucket["bucket"])),
        _verdict(bucket["status"], words),
        _paragraph(bucket["details"]) if "details" in bucket else "",
        _paragraph(" · ".join(ways)),
        _tiles(
            ("Under way", _count(bucket["in_flight"])),
            ("Queued", _count(bucket["queued"])),
            ("Queued bytes", _size(bucket["queued_bytes"])),
            ("Retries", _count(sum(retries.values()))),
            ("Late answers", _count(bucket["late_answers"])),
        ),
        _nodes(bucket["nodes"], {} if latencies is None else latencies["nodes"]),
        _retries(retries),
        _oldest(bucket["oldest"]),
    )


def _nodes(nodes: Sequence[Mapping[str, Any]], latencies: Mapping[str, Any]) -> Markup:
    columns = [
        _Column("Node"),
        _Column("State"),
        _Column("Under way", "number"),
        _Column("Queued", "number"),
        _Column("Last heard", "number"),
    ]
    if latencies:
        columns += [_Column("Median", "number"), _Column("99 %", "number")]
    columns.append(_Column("Details", "whole"))
    rows = []
    for node in nodes:
        seen = latencies.get(node["remote"], {})
        row: list[object] = [
            element("code", node["remote"]),
            _state(node),
            _count(node.get("in_flight")),
            _count(node.get("queued")),
            _ago(node.get("last_activity_us")),
        ]
        if latencies:
            row += [_duration(seen.get("p50_us")), _duration(seen.get("p99_us"))]
        row.append(_details(node))
        rows.append(row)
    return _table("Nodes", columns, rows)


def _state(node: Mapping[str, Any]) -> Markup:
    state, words = node["state"], [node["state"]]
    verdict = _WELL.get(state, "fail")
    if node.get("circuit") == "open":
        verdict, words = "fail", [*words, "circuit breaker open"]
    elif node.get("slow"):
        verdict, words = "warn", [*words, "slow"]
    sign = element("span", _SIGNS[verdict], class_="sign", aria_hidden="true")
    return element("span", sign, " ", ", ".join(words), class_=f"state {verdict}")


def _details(node: Mapping[str, Any]) -> object:
    said = [node["details"]] if "details" in node else []
    if "local" in node:
        said.append(f"from {node['local']}")
    if node.get("failures"):
        said.append(f"failed in a row: {_count(node['failures'])}")
    return element("span", " · ".join(said), class_="dim") if said else ""


def _retries(retries: Mapping[str, int]) -> Markup | str:
    if not retries:
        return ""
    rows = [
        (element("code", reason), _count(count))
        for reason, count in sorted(retries.items(), key=lambda each: (-each[1], each[0]))
    ]
    columns = (_Column("Reason"), _Column("Times", "number"))
    return _table("Tried again, or waited, since it was opened", columns, rows)


def _oldest(operations: Sequence[Mapping[str, Any]]) -> Markup | str:
    if not operations:
        return ""
    columns = [
        _Column("Operation"),
        _Column("Since", "number"),
        _Column("Timeout", "number"),
        _Column("Sent", "number"),
        _Column("Where", "whole"),
    ]
    rows = []
    for operation in operations:
        name = [element("code", operation["name"])]
        if "key" in operation:
            name += [Markup(" "), element("code", operation["key"])]
        where = [f"sent to {operation['node']}" if operation["node"] else "waits to be sent"]
        if operation["collection"]:
            where.append(operation["collection"])
        where += operation["reasons"]
        rows.append(
            (
                joined(*name),
                _duration(operation["age_us"]),
                _duration(operation["timeout_us"]),
                _count(operation["attempts"]),
                element("span", " · ".join(where), class_="dim"),
            )
        )
    return _table("Under way for longest", columns, rows)


# The program


def _latencies(latencies: Mapping[str, Any] | None) -> Markup:
    title = element("h2", "Latencies")
    if latencies is None:
        text = "They are not measured: give the Buckets, and this page, an observer of the class "
        return element("section", title, _paragraph(text, *_codes("couchloop.status.Latencies")))
    columns = (
        _Column("Operation"),
        *(_Column(name, "number") for name in ("Count", "Median", "99 %", "Longest")),
        *(_Column(name, "number") for name in ("Errors", "Retries")),
    )
    rows = [
        (
            element("code", name),
            _count(each["count"]),
            _duration(each["p50_us"]),
            _duration(each["p99_us"]),
            _duration(each["longest_us"]),
            _count(each["errors"]),
            _count(each["retries"]),
        )
        for name, each in latencies["operations"].items()
    ]
    since = latencies["since"]
    when = "Since the Buckets were opened." if since is None else f"Since {since}."
    table = _table("Operations that are over", columns, rows) if rows else _paragraph("None yet.")
    return element("section", title, _paragraph(when), table)


def _services(services: Sequence[Mapping[str, Any]]) -> Markup | str:
    if not services:
        return ""
    columns = (
        _Column("Service"),
        _Column("Node", "whole"),
        *(_Column(name, "number") for name in ("In use", "Idle", "Waiting")),
    )
    rows = [
        (
            each["service"],
            element("code", each["remote"]),
            _count(each["busy"]),
            _count(each["idle"]),
            _count(each["waiting"]),
        )
        for each in services
    ]
    return element("section", element("h2", "Services"), _table("Connections", columns, rows))


def _connections(budgets: Sequence[Mapping[str, Any]]) -> Markup | str:
    if not budgets:
        return ""
    return element(
        "section", element("h2", "Connection budget"), *(_budget(each) for each in budgets)
    )


def _budget(budget: Mapping[str, Any]) -> Markup:
    verdict, words = "pass", "Each node takes so many connections."
    if not budget["fits"]:
        verdict, words = "fail", "These are more connections than a node takes."
    return joined(
        _verdict(verdict, words),
        _tiles(
            ("Data nodes", _count(budget["data_nodes"])),
            ("Processes", _count(budget["processes"])),
            ("Buckets in each", _count(budget["buckets"])),
            ("Of a process", _count(budget["per_process"])),
            ("To each node", _count(budget["per_node"])),
            ("A node takes", _count(budget["limit"])),
        ),
    )


# What everything is made of


def _tiles(*pairs: tuple[str, str]) -> Markup:
    tiles = [element("div", element("dt", name), element("dd", shown)) for name, shown in pairs]
    return element("dl", *tiles, class_="tiles")


def _table(caption: str, columns: Sequence[_Column], rows: Iterable[Sequence[object]]) -> Markup:
    """Return a table. Its roles are written: a phone shows rows as blocks, and forgets them."""
    heads = [
        element("th", each.title, scope="col", role="columnheader", class_=_class(each))
        for each in columns
    ]
    body = [
        element("tr", *(_cell(*pair) for pair in zip(columns, row, strict=True)), role="row")
        for row in rows
    ]
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *heads, role="row"), role="rowgroup"),
        element("tbody", *body, role="rowgroup"),
        role="table",
        class_="wide" if len(columns) > _FEW else None,
    )


def _class(column: _Column) -> str | None:
    return "number" if column.kind == "number" else None


def _cell(column: _Column, content: object) -> Markup:
    if column.title in {"Node", "Operation", "Service", "Reason"} and not column.kind:
        return element("th", content, scope="row", role="rowheader")
    kind = column.kind if content else "none"
    return element("td", content, role="cell", data_label=column.title, class_=kind or None)


def _count(number: int | None) -> str:
    return _NOTHING if number is None else f"{number:,}"


def _size(count: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return str(count)


def _duration(microseconds: int | None) -> str:
    if microseconds is None:
        return _NOTHING
    if microseconds < 1_000:
        return f"{microseconds} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1e3:.3g} ms"
    seconds = microseconds / 1e6
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:,.0f} min"


def _ago(microseconds: int | None) -> str:
    return _NOTHING if microseconds is None else f"{_duration(microseconds)} ago"
