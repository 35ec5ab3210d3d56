"""The options of a connection string: one table, from which they are parsed, checked, documented.

Names and units are those of SDK 2.5 (libcouchbase 2.10): a bare number of a time is seconds. Names
that only SDK 4.x knows are accepted too; there a bare number is milliseconds. Under either name a
time may carry its unit: `2.5s`, `2500ms`, `1m30s`. Where 2.5's documentation and code spell
something differently, both spellings work.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from couchloop.arguments.times import LONGEST
from couchloop.exceptions import InvalidOptionError
from couchloop.later import Module, pattern
from couchloop.records import record
from couchloop.safety.printable import printable
from couchloop.safety.secret import sealed

if TYPE_CHECKING:
    import difflib
else:
    difflib = Module("difflib", globals())

Kind = Literal["bool", "int", "float", "seconds", "text", "path", "choice", "list"]
OptionValue = bool | int | float | str | tuple[str, ...]

_TICK: Final = 0.001
"""The shortest timeout, in seconds."""

_BOOLEANS: Final = {
    **dict.fromkeys(("true", "on", "yes", "1"), True),
    **dict.fromkeys(("false", "off", "no", "0"), False),
}
# What to multiply by and divide by: 700 / 1000 is 0.7, 700 * 0.001 is not.
_UNITS: Final = {
    "ns": (1.0, 1e9),
    "us": (1.0, 1e6),
    "µs": (1.0, 1e6),
    "ms": (1.0, 1e3),
    "s": (1.0, 1.0),
    "m": (60.0, 1.0),
    "h": (3600.0, 1.0),
}
_NUMBER: Final = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_BARE_NUMBER: Final = pattern(_NUMBER)
SECRET_WORD: Final = pattern(
    "pass(?:word|wort|wd|phrase)?|pwd?|secret|token|cred(?:ential)?s?|kennwort", re.IGNORECASE
)
"""What people call that which must not be shown."""
_SHOWN_NAME: Final = pattern(r"[\w.-]*")
_WORD: Final = pattern(r"[^,\s]+")
_SHOWN_VALUE: Final = pattern(r"[^,;:&?#=\s%]*(?:[,\s]+(?:[nuµm]s|[smh])?\Z)?")
_LONGEST_NAME: Final = 80
"""Characters of an option's name that are shown."""
_WITH_UNIT: Final = pattern(rf"({_NUMBER})({'|'.join(_UNITS)})")
_WITH_UNITS: Final = pattern(rf"(?:{_WITH_UNIT.pattern})+")
_DOUBTFUL: Final = {"config_poll_floor": 10.0}
"""Milliseconds that are less than anybody means, where it is not 100."""
_VERY_LONG: Final = 1000.0
"""So many seconds of a timeout are more than most mean."""
_INTEGER: Final = pattern(r"[+-]?[0-9]{1,18}")


@record(frozen=True, slots=True, kw_only=True)
class Option:
    """One row of the table.

    Attributes:
        name: The canonical name.
        kind: What the value is; `seconds` is a time, `list` is words parted by blanks or commas.
        default: What applies when it is not given; None: nothing, or decided at run time.
        meaning: For the reference page; of an ignored option also why.
        aliases: Other names, with the same units.
        modern: Names under which a bare number is milliseconds (the name itself may be one).
        minimum: The least legal number (of times: seconds).
        maximum: The greatest.
        choices: Each accepted word with the one it stands for.
        translated: Other names whose values mean something else: {name: {value: our value}}.
        secret: The value must never be shown.
        repeats: It may be given several times, and every value counts.
        reason: Why it has no effect; empty: it has one. Options without effect are accepted; the
            client says once that they have none.

    """

    name: str
    kind: Kind
    meaning: str
    default: OptionValue | None = None
    aliases: tuple[str, ...] = ()
    modern: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    translated: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secret: bool = False
    repeats: bool = False
    reason: str = ""

    @property
    def effect(self) -> Literal["used", "ignored"]:
        """Whether it is heeded."""
        return "ignored" if self.reason else "used"

    @property
    def unit(self) -> str:
        """The unit of parsed values and of bare numbers under 2.5's names."""
        return "seconds" if self.kind == "seconds" else ""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it can be given under, the canonical one first."""
        return tuple(dict.fromkeys((self.name, *self.aliases, *self.modern, *self.translated)))

    def parse(self, text: str, name: str | None = None) -> OptionValue:
        """Return the value that `text` means under this name (by default the canonical one).

        Raises:
            InvalidOptionError: The text is no legal value; the message says what would be.

        """
        name = name or self.name
        translation = self.translated.get(name)
        if translation is not None:
            translated = translation.get(text.lower())
            if translated is None:
                raise self._refused(name, text, f"one of {', '.join(translation)}")
            text = translated
        match self.kind:
            case "bool":
                value = parse_bool(text)
                if value is None:
                    raise self._refused(name, text, "true or false (or on, off, yes, no, 1, 0)")
                return value
            case "choice":
                word = self.choices.get(text.lower())
                if word is None:
                    raise self._refused(name, text, f"one of {', '.join(self.choices)}")
                return word
            case "list":
                words = [self.choices.get(word) for word in text.lower().replace(",", " ").split()]
                known = tuple(word for word in words if word is not None)
                if not known or len(known) < len(words):
                    wanted = f"one or several of {', '.join(self.choices.values())}"
                    raise self._refused(name, text, wanted)
                return known
            case "text" | "path":
                return text
        return self._number(name, text)

    def _number(self, name: str, text: str) -> float:
        number: float | None = None
        if self.kind == "int":
            wanted = "an integer"
            number = int(text) if _INTEGER.fullmatch(text) else None
        elif self.kind == "float":
            wanted = "a number"
            number = float(text) if _BARE_NUMBER.fullmatch(text) else None
            number = None if number == math.inf else number
        else:
            unit = "ms" if name in self.modern else "s"
            word = "milliseconds" if unit == "ms" else "seconds"
            wanted = f"a time in {word}, or with a unit such as 2.5s or 2500ms,"
            number = _duration(text, unit)
        low, high = self._bounds()
        if number is None or not low <= number <= high:
            limits = [f"at least {low:g}"] if low > -math.inf else []
            limits += [f"at most {high:g}"] if high < math.inf else []
            if self.kind == "seconds" and limits:
                limits[-1] += " seconds"
            raise self._refused(name, text, " ".join([wanted, " and ".join(limits)]).rstrip(" ,"))
        return number

    def _bounds(self) -> tuple[float, float]:
        timed = self.kind == "seconds"
        low = self.minimum if self.minimum is not None else 0.0 if timed else -math.inf
        high = self.maximum if self.maximum is not None else LONGEST if timed else math.inf
        return low, high

    def shown_part(self, text: str) -> int:
        """Return how many characters of *text*, which is refused, may be shown."""
        begin = self._known_part(text)
        return begin + _shown_part(text[begin:], _SHOWN_VALUE)

    def _known_part(self, text: str) -> int:
        """Return how many characters at the begin of a refused value are words of this option."""
        mode, colon, _ = text.partition(":")
        if colon and any(choice.startswith(f"{mode.lower()}:") for choice in self.choices):
            return len(mode) + 1
        if self.kind == "list":
            for word in _WORD.finditer(text):
                if word[0].lower() not in self.choices:
                    return word.start()
        return 0

    def _refused(self, name: str, text: str, wanted: str) -> InvalidOptionError:
        shown = "its value"
        if not self.secret:
            # A text that goes on may hold another option, or a login: what begins it tells enough.
            end = self.shown_part(text)
            shown = repr(text if end == len(text) else f"{text[:end]}***")
        return InvalidOptionError(f"Option {name} must be {wanted}; {shown} is not")


def parse_bool(text: str) -> bool | None:
    """Return the truth value that a text means, None if it means none."""
    return _BOOLEANS.get(text.lower())


def _duration(text: str, bare_unit: str) -> float | None:
    if _BARE_NUMBER.fullmatch(text):
        text += bare_unit
    if not _WITH_UNITS.fullmatch(text):
        return None
    parts = ((float(number), *_UNITS[unit]) for number, unit in _WITH_UNIT.findall(text))
    return sum(number * times / by for number, times, by in parts)


def _words(*words: str, **others: str) -> Mapping[str, str]:
    return MappingProxyType({**{word: word for word in words}, **others})


_IPV4_ONLY: Final = {word: "disabled" if yes else "allow" for word, yes in _BOOLEANS.items()}
_INVERTED: Final = {word: "false" if yes else "true" for word, yes in _BOOLEANS.items()}
_ON_OFF: Final = {word: "on" if yes else "off" for word, yes in _BOOLEANS.items()}
_RETRY_POLICIES: Final = _words(
    *(
        f"{mode}:{policy}"
        for mode in ("all", "topochange", "sockerr", "maperr", "missingnode")
        for policy in ("all", "get", "safe", "none")
    )
)

_NO_TELEMETRY: Final = "nothing uses it yet: measurements stay in the process"

_TABLE: Final = (
    # Finding the cluster
    Option(
        name="bootstrap_on",
        kind="choice",
        default="all",
        choices=_words("all", "cccp", "http", "file_only", both="all"),
        meaning="Where a cluster config may come from: the data service (cccp), HTTP streaming "
        "(http), both and the config cache (all), or the config cache alone (file_only).",
    ),
    Option(
        name="network",
        kind="text",
        default="auto",
        meaning="Which addresses of the nodes to use: default (internal), external, another name "
        "of alternate addresses, or auto: decided by the address that was dialled.",
    ),
    Option(
        name="dnssrv",
        kind="bool",
        modern=("enable_dns_srv",),
        meaning="Look up the first host's DNS SRV record; by default only when it is the only "
        "host and has no port.",
    ),
    Option(
        name="max_queued_operations",
        kind="int",
        default=250_000,
        minimum=1,
        meaning="How many operations of a Bucket may wait to be sent: for a connection, or because "
        "the network or a node is slow. More than the default would not be sent in time anyway.",
    ),
    Option(
        name="max_queued_bytes",
        kind="int",
        default=128 << 20,
        minimum=1,
        meaning="How many bytes of keys and values may wait likewise.",
    ),
    Option(
        name="when_overloaded",
        kind="choice",
        default="fail",
        choices=_words("fail", "wait"),
        meaning="What becomes of operations that would have to wait beyond these limits: "
        "OverloadedError at once (fail), or they wait as well (wait).",
    ),
    Option(
        name="ipv6",
        kind="choice",
        default="disabled",
        choices=_words("disabled", "allow", "only", disable="disabled"),
        translated={
            "ip_protocol": {"any": "allow", "force_ipv4": "disabled", "force_ipv6": "only"},
            "force_ipv4": _IPV4_ONLY,
        },
        meaning="Which addresses of a name to use: IPv4 (disabled), both (allow), IPv6 (only).",
    ),
    Option(
        name="randomize_nodes",
        kind="bool",
        default=False,
        translated={"preserve_bootstrap_nodes_order": _INVERTED},
        meaning="Try the seeds in random order.",
    ),
    Option(
        name="config_total_timeout",
        kind="seconds",
        default=5.0,
        minimum=_TICK,
        modern=("bootstrap_timeout",),
        meaning="For opening the bucket, all seeds together.",
    ),
    Option(
        name="config_node_timeout",
        kind="seconds",
        default=2.0,
        minimum=_TICK,
        modern=("kv_connect_timeout",),
        meaning="For one node to connect and finish the handshake.",
    ),
    Option(
        name="resolve_timeout",
        kind="seconds",
        default=2.0,
        minimum=_TICK,
        modern=("resolve_timeout",),
        meaning="For the lookup of a DNS SRV record.",
    ),
    Option(
        name="config_poll_interval",
        kind="seconds",
        default=2.5,
        minimum=0.0,
        meaning="Between two looks for a newer cluster config; 0: never look.",
    ),
    Option(
        name="config_poll_floor",
        kind="seconds",
        default=0.05,
        modern=("config_poll_floor",),
        meaning="The least time between two looks for a newer cluster config.",
    ),
    Option(
        name="config_cache",
        kind="path",
        meaning="A file that keeps the cluster config for the next start; with a / at its end, a "
        "folder that holds one file per bucket.",
    ),
    Option(
        name="config_cache_ro",
        kind="path",
        meaning="As config_cache, but the file is never written or removed. Or true, beside "
        "config_cache.",
    ),
    Option(
        name="http_urlmode",
        kind="int",
        default=3,
        minimum=0,
        maximum=3,
        meaning="Which addresses to ask for HTTP streaming configs: 1 terse, 2 compatible, 3 both.",
        reason="the terse address is asked, which every supported server has",
    ),
    Option(
        name="enable_clustermap_notification",
        kind="bool",
        default=True,
        meaning="Let nodes push new cluster configs.",
    ),
    Option(
        name="server_group",
        kind="text",
        meaning="Prefer replicas in this server group where a read allows it.",
        reason="nothing uses it yet: a read of any replica asks all copies at once",
    ),
    Option(
        name="enable_lazy_connections",
        kind="bool",
        default=False,
        meaning="Connect to a node when the first operation needs it.",
        reason="a Bucket connects to every data node at once, with one connection each",
    ),
    # TLS and credentials
    Option(
        name="ssl",
        kind="choice",
        choices=_words("on", "off", "no_verify", no_global_init="on"),
        meaning="TLS: by default the scheme decides; no_verify checks no certificate.",
    ),
    Option(
        name="tls_verify",
        kind="choice",
        default="peer",
        choices=_words("peer", "none"),
        meaning="Whether to check the server's certificate (peer) or not (none).",
    ),
    Option(
        name="tls_disable_v1_2",
        kind="bool",
        default=False,
        meaning="Whether to speak nothing older than TLS 1.3.",
    ),
    Option(
        name="tls_disable_deprecated_protocols",
        kind="bool",
        default=True,
        meaning="Whether to speak nothing older than TLS 1.2.",
        reason="nothing older than TLS 1.2 is ever spoken",
    ),
    Option(
        name="disable_mozilla_ca_certificates",
        kind="bool",
        default=False,
        meaning="Whether to distrust the CA certificates of Mozilla that the client brings.",
        reason="the client brings none: those of the system are trusted, or your own",
    ),
    Option(
        name="truststorepath",
        kind="path",
        aliases=("trust_store_path", "trust_certificate"),
        meaning="PEM file with the CA certificates to trust; by default those of the system.",
    ),
    Option(
        name="certpath",
        kind="path",
        aliases=("cert_path",),
        meaning="PEM file with the CA certificates to trust; with keypath, the client's own "
        "certificate.",
    ),
    Option(
        name="keypath",
        kind="path",
        aliases=("key_path",),
        meaning="PEM file with the key of the client's certificate.",
    ),
    Option(
        name="username",
        kind="text",
        aliases=("user",),
        meaning="The user's name, when no authenticator is given.",
    ),
    Option(
        name="password",
        kind="text",
        aliases=("pass",),
        secret=True,
        meaning="The user's password, when no authenticator is given.",
    ),
    Option(
        name="bucket_cred",
        kind="text",
        secret=True,
        meaning="A bucket and its password, as a JSON array, for queries over several buckets.",
        reason="users and their roles have replaced passwords of buckets",
    ),
    Option(
        name="sasl_mech_force",
        kind="list",
        choices={
            name.lower(): name for name in ("SCRAM-SHA512", "SCRAM-SHA256", "SCRAM-SHA1", "PLAIN")
        },
        meaning="The authentication mechanisms to choose from, best first.",
    ),
    Option(
        name="sasl_allow_plain",
        kind="bool",
        default=False,
        meaning="Allow PLAIN, which shows the password to the network, without TLS; and "
        "http_allow_plain.",
    ),
    Option(
        name="http_allow_plain",
        kind="bool",
        default=False,
        meaning="Ask HTTP services, and web ports for cluster configs, without TLS, which shows "
        "the password to the network. Services of this machine (localhost) are asked anyway.",
    ),
    Option(
        name="scram_min_iterations",
        kind="int",
        default=1000,
        minimum=1,
        maximum=1_000_000,
        meaning="Fewer iterations of SCRAM than these are refused: from a login with few, whoever "
        "listens can guess the password quickly. Below 4096 the log says so once.",
    ),
    # Times of operations
    Option(
        name="operation_timeout",
        kind="seconds",
        default=2.5,
        minimum=_TICK,
        aliases=("timeout",),
        modern=("kv_timeout", "key_value_timeout"),
        meaning="For an operation on a document.",
    ),
    Option(
        name="kv_durable_timeout",
        kind="seconds",
        default=10.0,
        minimum=_TICK,
        modern=("kv_durable_timeout", "key_value_durable_timeout"),
        meaning="For a change with a durability level.",
    ),
    Option(
        name="durability_timeout",
        kind="seconds",
        default=5.0,
        minimum=_TICK,
        aliases=("durabilty_timeout",),
        meaning="For waiting until a write is persisted or replicated (persist_to, replicate_to).",
    ),
    Option(
        name="durability_interval",
        kind="seconds",
        default=0.1,
        aliases=("durabilty_interval",),
        meaning="Longest pause between two looks whether a write is persisted or replicated.",
    ),
    Option(
        name="views_timeout",
        kind="seconds",
        default=75.0,
        minimum=_TICK,
        modern=("view_timeout",),
        meaning="For a query of a view.",
    ),
    Option(
        name="n1ql_timeout",
        kind="seconds",
        default=75.0,
        minimum=_TICK,
        modern=("query_timeout",),
        meaning="For a query.",
    ),
    Option(
        name="n1ql_grace_period",
        kind="seconds",
        default=0.0,
        meaning="How much longer than n1ql_timeout to wait for the server's own timeout.",
    ),
    Option(
        name="search_timeout",
        kind="seconds",
        default=75.0,
        minimum=_TICK,
        modern=("search_timeout",),
        meaning="For a search.",
    ),
    Option(
        name="analytics_timeout",
        kind="seconds",
        default=75.0,
        minimum=_TICK,
        modern=("analytics_timeout",),
        meaning="For an analytics query.",
    ),
    Option(
        name="http_timeout",
        kind="seconds",
        default=75.0,
        minimum=_TICK,
        modern=("management_timeout",),
        meaning="For other HTTP requests, management among them.",
    ),
    Option(
        name="past_expiry",
        kind="choice",
        default="refuse",
        choices=_words("refuse", "send"),
        meaning="What becomes of a ttl above 30 days, which counts from 1970, that is in the past, "
        "as 40 days in seconds are: InvalidTtlError (refuse), or it is sent, and the document is "
        "gone at once (send), as in SDK 2.5.",
    ),
    Option(
        name="gc_while_decoding",
        kind="bool",
        default=True,
        meaning="off pauses Python's garbage collector while a slice of a batch is decoded (a "
        "thousand documents at most, some milliseconds), if it is on: see performance.md.",
    ),
    # Retries
    Option(
        name="error_thresh_count",
        kind="int",
        default=100,
        minimum=1,
        meaning="After how many network errors to look for a newer cluster config.",
        reason="the first error is enough: a newer cluster config is asked for at once",
    ),
    Option(
        name="error_thresh_delay",
        kind="seconds",
        default=0.01,
        meaning="The least time between two such looks.",
        reason="config_poll_floor is the least time between two looks",
    ),
    Option(
        name="retry_policy",
        kind="choice",
        choices=_RETRY_POLICIES,
        repeats=True,
        meaning="Which operations to try again after what, as mode:policy. Of the modes sockerr "
        "(the node is not connected) and missingnode (no node owns the key) count here, and all "
        "for both: operations always follow documents that move. Policies: all, none, and get or "
        "safe, which both mean operations that change nothing. A retry_strategy= given in the "
        "program, to a Cluster, a Bucket or a call, wins.",
    ),
    Option(
        name="retry_interval",
        kind="seconds",
        default=0.001,
        minimum=_TICK,
        meaning="Before the first retry; later pauses grow up to half a second.",
    ),
    Option(
        name="retry_backoff",
        kind="float",
        default=2.0,
        minimum=1.0,
        maximum=1000.0,
        meaning="By how much the interval grows with each retry.",
    ),
    Option(
        name="retry_nmv_imm",
        kind="bool",
        default=True,
        meaning="Try again at once when a node refuses a document as not its own and the new node "
        "is known.",
    ),
    Option(
        name="retry_nmv_delay",
        kind="seconds",
        aliases=("retry_nmv_interval",),
        meaning="Before such a retry otherwise; by default 1 ms at first, growing to 1 s.",
    ),
    Option(
        name="wait_for_config",
        kind="bool",
        default=False,
        meaning="Wait for a newer cluster config before such a retry, whatever the pauses.",
    ),
    Option(
        name="vb_noremap",
        kind="bool",
        default=False,
        meaning="Never look for a document where a rebalance is about to move it.",
        reason="the client never guesses which node has a document",
    ),
    # What is said on the wire
    Option(
        name="compression",
        kind="choice",
        default="on",
        choices=_words("on", "off", "inflate_only", "deflate_only", "force"),
        translated={"enable_compression": _ON_OFF},
        meaning="Snappy compression of documents, where the package cramjam is installed (extra "
        "snappy): in both directions, received ones alone (inflate_only), or none (off). What "
        "comes compressed is always inflated, so that deflate_only means on. force needs the "
        "package, and compresses whatever gets smaller by it.",
    ),
    Option(
        name="compression_min_size",
        kind="int",
        default=512,
        minimum=32,
        meaning="Documents with fewer bytes are sent as they are: they hardly shrink.",
    ),
    Option(
        name="compression_min_ratio",
        kind="float",
        default=0.83,
        minimum=0.0,
        maximum=1.0,
        meaning="Documents that would not shrink to this part of their size are sent as they are.",
    ),
    Option(
        name="fetch_mutation_tokens",
        kind="bool",
        default=False,
        aliases=("enable_mutation_tokens",),
        meaning="Ask for a mutation token with each change, as consistent queries need them.",
    ),
    Option(
        name="dur_mutation_tokens",
        kind="bool",
        default=True,
        meaning="Use mutation tokens, if fetched, to watch persistence and replication.",
    ),
    Option(
        name="enable_errmap",
        kind="bool",
        default=True,
        meaning="Ask each node what its error codes mean, for those that the client does not know.",
    ),
    Option(
        name="enable_unordered_execution",
        kind="bool",
        default=False,
        meaning="Let nodes answer out of order, so that a slow operation holds up no other; even "
        "operations on one key may then overtake each other.",
    ),
    Option(
        name="circuit_breaker",
        kind="int",
        default=20,
        minimum=0,
        meaning="How many operations in a row a node leaves unanswered before no more are sent to "
        "it until it shows a sign of life; 0: any number.",
    ),
    Option(
        name="client_string",
        kind="text",
        aliases=("user_agent_extra",),
        meaning="Appended to the name under which the client shows in the server's logs.",
    ),
    # Sockets
    Option(
        name="tcp_nodelay",
        kind="bool",
        default=True,
        meaning="Send small packets at once.",
    ),
    Option(
        name="tcp_keepalive",
        kind="bool",
        default=True,
        aliases=("enable_tcp_keep_alive",),
        meaning="Let the system probe idle connections.",
    ),
    Option(
        name="tcp_keepidle",
        kind="seconds",
        default=0.0,
        maximum=32767.0,
        modern=("tcp_keep_alive_interval",),
        meaning="Idle time before the first probe; 0: the system's.",
    ),
    Option(
        name="tcp_keepintvl",
        kind="seconds",
        default=0.0,
        maximum=32767.0,
        meaning="Between two probes; 0: the system's.",
    ),
    Option(
        name="tcp_keepcnt",
        kind="int",
        default=0,
        minimum=0,
        maximum=127,
        meaning="Probes without an answer before the connection counts as lost; 0: the system's.",
    ),
    Option(
        name="http_poolsize",
        kind="int",
        minimum=0,
        meaning="Idle HTTP connections to keep per service of a node; 0: none. By default all are "
        "kept, for as long as http_pool_timeout says.",
    ),
    Option(
        name="max_http_connections",
        kind="int",
        default=0,
        minimum=0,
        meaning="HTTP connections per service of a node at most, those of running streams among "
        "them: more requests wait. 0: no limit.",
    ),
    Option(
        name="http_pool_timeout",
        kind="seconds",
        default=1.0,
        modern=("idle_http_connection_timeout",),
        meaning="How long to keep an idle HTTP connection. Servers close theirs after about 5 "
        "seconds: above 4.5 requests get lost on what is closed meanwhile, and the log says so.",
    ),
    # Observation
    Option(
        name="log_redaction",
        kind="bool",
        default=False,
        meaning="Wrap users' data in log messages in <ud> and </ud>.",
    ),
    Option(
        name="metrics",
        kind="bool",
        default=False,
        aliases=("enable_metrics",),
        meaning="Log how long operations take, as percentiles for each operation and node.",
    ),
    Option(
        name="enable_tracing",
        kind="bool",
        default=False,
        meaning="Log slow operations, and answers that came after their operation had ended.",
    ),
    *(
        Option(
            name=f"tracing_{queue}_queue_flush_interval",
            kind="seconds",
            default=10.0,
            minimum=_TICK,
            meaning=f"Between two reports of {what}.",
        )
        for queue, what in (("orphaned", "late answers"), ("threshold", "slow operations"))
    ),
    *(
        Option(
            name=f"tracing_{queue}_queue_size",
            kind="int",
            default=10,
            minimum=1,
            meaning=f"How many {what} one report holds at most.",
        )
        for queue, what in (("orphaned", "late answers"), ("threshold", "slow operations"))
    ),
    *(
        Option(
            name=f"tracing_threshold_{service}",
            kind="seconds",
            default=threshold,
            meaning=f"From when on {what} is slow.",
        )
        for service, threshold, what in (
            ("kv", 0.5, "an operation on a document"),
            ("n1ql", 1.0, "a query"),
            ("view", 1.0, "a view query"),
            ("fts", 1.0, "a search"),
            ("analytics", 1.0, "an analytics query"),
        )
    ),
    Option(
        name="enable_app_telemetry",
        kind="bool",
        default=False,
        meaning="Report measurements of the client to the cluster.",
        reason=_NO_TELEMETRY,
    ),
    Option(
        name="app_telemetry_endpoint",
        kind="text",
        meaning="Where to report them, as a URL; by default to the nodes.",
        reason=_NO_TELEMETRY,
    ),
    *(
        Option(
            name=f"app_telemetry_{name}",
            kind="seconds",
            default=default,
            minimum=_TICK,
            modern=(f"app_telemetry_{name}",),
            meaning=meaning,
            reason=_NO_TELEMETRY,
        )
        for name, default, meaning in (
            ("backoff", 3600.0, "The longest pause before it connects again to report them."),
            ("ping_interval", 30.0, "Between two signs of life on that connection."),
            ("ping_timeout", 2.0, "For an answer to one."),
        )
    ),
    Option(
        name="show_queries",
        kind="bool",
        default=False,
        meaning="Show what queries say in reports of slow ones, and to observers.",
    ),
    # Without a meaning here
    Option(
        name="console_log_level",
        kind="int",
        minimum=0,
        maximum=5,
        meaning="How much to log to the console.",
        reason="the logging of the program decides what is logged",
    ),
    Option(
        name="console_log_file",
        kind="path",
        meaning="Where to log to.",
        reason="the logging of the program decides where to",
    ),
    Option(
        name="dump_configuration",
        kind="bool",
        meaning="Log each cluster config.",
        reason="log lines tell the revision of a config, not all of it",
    ),
    Option(
        name="detailed_errcodes",
        kind="bool",
        meaning="Give errors in detail.",
        reason="errors are always detailed",
    ),
    Option(
        name="vbguess_persist",
        kind="bool",
        meaning="Keep to a node that was guessed to have a document.",
        reason="the client never guesses which node has a document",
    ),
    Option(
        name="readj_ts_wait",
        kind="bool",
        aliases=("readj_wait_tmo",),
        meaning="Let an operation's time begin when it is waited for.",
        reason="an operation's time runs from its call on",
    ),
    Option(
        name="read_chunk_size",
        kind="int",
        minimum=0,
        meaning="How many bytes to read at once.",
        reason="the event loop decides how much it reads at once",
    ),
    Option(
        name="select_bucket",
        kind="bool",
        meaning="Select the bucket on each connection.",
        reason="a connection always selects its bucket",
    ),
    Option(
        name="send_hello",
        kind="bool",
        meaning="Begin each connection with HELLO.",
        reason="a connection always begins with HELLO, on which all else depends",
    ),
    *(
        Option(
            name=name,
            kind="text",
            meaning="Of the C library alone.",
            reason="it tunes the C library, which is not used here",
        )
        for name in ("unsafe_optimize", "sync_dtor", "_reinit_connstr")
    ),
)

OPTIONS: Final[Mapping[str, Option]] = MappingProxyType({option.name: option for option in _TABLE})
"""Every option by its canonical name, in the order of the reference page."""

_BY_ANY_NAME: Final = {name: option for option in _TABLE for name in option.names}

OPTION_NAMES: Final = frozenset(_BY_ANY_NAME)
"""Every name that an option can be given under."""

SECRET_NAMES: Final = frozenset(name for name, option in _BY_ANY_NAME.items() if option.secret)
"""Names of options whose values must never be shown."""


def shown_name(name: object) -> str:
    """Return an option's name for a message: a password may be part of a mistyped one."""
    said = str.__str__(name) if isinstance(name, str) else type(name).__name__
    text = printable(said, _LONGEST_NAME)
    return repr(text if text in _BY_ANY_NAME else _until_secret(text, _SHOWN_NAME))


def _until_secret(text: str, shown: re.Pattern[str]) -> str:
    """Return what *shown* matches of *text*, and less where that names a secret; then ***."""
    end = _shown_part(text, shown)
    return text if end == len(text) else f"{text[:end]}***"


def _shown_part(text: str, shown: re.Pattern[str]) -> int:
    first = shown.match(text)
    end = 0 if first is None else first.end()
    word = SECRET_WORD.search(text, 0, end)
    return end if word is None else word.end()


@sealed
def find_option(name: str) -> Option:
    """Return the option of this name or alias.

    Raises:
        InvalidOptionError: There is none; the message suggests the nearest.

    """
    option = _BY_ANY_NAME.get(name)
    if option is None:
        near = difflib.get_close_matches(name.lower(), _BY_ANY_NAME, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InvalidOptionError(f"There is no option {shown_name(name)}{hint}")
    return option


def doubtful_unit(name: str, text: str) -> str:
    """Return what to write if *text* is a time whose unit may be another than was meant.

    It is empty if none is.

    Under a name of SDK 4.x a bare number is milliseconds, under one of 2.5 it is seconds.
    """
    option = find_option(name)
    if option.reason or option.kind != "seconds" or not _BARE_NUMBER.fullmatch(text):
        return ""
    number = float(text)
    if name not in option.modern:
        if number < _VERY_LONG or not option.name.endswith("timeout"):
            return ""
        return (
            f"{name}={text} is {number:g} seconds, as in SDK 2.5: write {name}={text}ms for "
            f"milliseconds, or {name}={text}s to read no more of this"
        )
    if not 0 < number < _DOUBTFUL.get(name, 100.0):
        return ""
    return (
        f"{name}={text} is {text} milliseconds, as in SDK 4.x, which alone has this name: write "
        f"{name}={text}s for seconds, or {name}={text}ms to read no more of this"
    )


def doubtful_seconds(name: str, value: object) -> str:
    """Return likewise what to write if *value*, seconds that a program gives, may be milliseconds.

    So is a whole number alone: who writes 2500.0 means seconds.
    """
    if not isinstance(value, int) or value < _VERY_LONG:
        return ""
    return (
        f"{name}={value} is {value} seconds, as in SDK 2.5: write {name}={value / 1000:g} if they "
        f"are milliseconds, or {name}={value}.0 to read no more of this"
    )


@sealed
def parse_options(pairs: Iterable[tuple[str, str]]) -> dict[str, OptionValue]:
    """Return what the (name, text) pairs mean, by canonical name; of repeated ones the last counts.

    Of those that may be repeated all count, and their value is a tuple.

    Options that are not given are absent: their defaults stand in `OPTIONS`.

    Raises:
        InvalidOptionError: A name is unknown, or a text is no legal value of its option.

    """
    values: dict[str, OptionValue] = {}
    for name, text in pairs:
        option = find_option(name)
        value = option.parse(text, name)
        if option.repeats:
            before = values.get(option.name, ())
            assert isinstance(before, tuple)
            value = (*before, str(value))
        values[option.name] = value
    return values
