"""The table of options."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import InvalidOptionError
from couchloop.kv.scram import MECHANISMS
from couchloop.settings.options import (
    OPTIONS,
    SECRET_NAMES,
    Option,
    OptionValue,
    find_option,
    parse_bool,
    parse_options,
)

ALL_NAMES = [name for option in OPTIONS.values() for name in option.names]

# Every key of SDK 2.5, and of 4.x where it says something, that this client must accept.
PROMISED = re.findall(
    r"\w+",
    """
    bootstrap_on username user password pass ssl truststorepath certpath keypath console_log_level
    log_redaction dnssrv ipv6 operation_timeout timeout config_total_timeout config_node_timeout
    views_timeout n1ql_timeout http_timeout n1ql_grace_period durability_timeout
    durability_interval randomize_nodes sasl_mech_force error_thresh_count error_thresh_delay
    config_poll_interval compression compression_min_size compression_min_ratio config_cache
    config_cache_ro detailed_errcodes retry_policy retry_interval retry_backoff retry_nmv_imm
    retry_nmv_delay vb_noremap vbguess_persist http_poolsize http_pool_timeout http_urlmode
    fetch_mutation_tokens dur_mutation_tokens tcp_nodelay tcp_keepalive tcp_keepidle tcp_keepintvl
    tcp_keepcnt readj_ts_wait client_string bucket_cred read_chunk_size enable_errmap
    select_bucket send_hello network wait_for_config metrics enable_tracing
    tracing_orphaned_queue_flush_interval tracing_orphaned_queue_size
    tracing_threshold_queue_flush_interval tracing_threshold_queue_size tracing_threshold_kv
    tracing_threshold_n1ql tracing_threshold_view tracing_threshold_fts
    tracing_threshold_analytics console_log_file unsafe_optimize sync_dtor _reinit_connstr
    kv_timeout key_value_timeout kv_durable_timeout kv_connect_timeout view_timeout query_timeout
    analytics_timeout search_timeout management_timeout trust_certificate tls_verify
    enable_mutation_tokens enable_tcp_keep_alive tcp_keep_alive_interval force_ipv4 ip_protocol
    config_poll_floor enable_dns_srv user_agent_extra dump_configuration
    enable_clustermap_notification max_http_connections idle_http_connection_timeout
    bootstrap_timeout resolve_timeout enable_unordered_execution enable_compression server_group
    enable_app_telemetry preserve_bootstrap_nodes_order enable_lazy_connections sasl_allow_plain
    scram_min_iterations
    durabilty_timeout durabilty_interval retry_nmv_interval readj_wait_tmo cert_path
    key_value_durable_timeout disable_mozilla_ca_certificates tls_disable_deprecated_protocols
    tls_disable_v1_2 show_queries app_telemetry_endpoint app_telemetry_backoff
    app_telemetry_ping_interval app_telemetry_ping_timeout enable_metrics
    """,
)


def one(name: str, text: str) -> OptionValue:
    """What one option's text means."""
    (value,) = parse_options([(name, text)]).values()
    return value


class TestTable:
    """The table itself."""

    @pytest.mark.parametrize("name", PROMISED)
    def test_promised_names(self, name: str) -> None:
        """Every option of the two SDKs, and every spelling of the docs, is accepted."""
        assert name in find_option(name).names

    def test_names_are_unique(self) -> None:
        """No name belongs to two options."""
        assert len(ALL_NAMES) == len(set(ALL_NAMES))

    @pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.name)
    def test_rows(self, option: Option) -> None:
        """Each row explains itself, and its default is a legal value of its kind."""
        assert option.meaning.endswith(".")
        assert option.effect == ("ignored" if option.reason else "used")
        assert not option.reason.endswith(".")
        assert option.unit == ("seconds" if option.kind == "seconds" else "")
        if option.default is not None:
            value = option.parse(f"{option.default}{'s' if option.unit else ''}")
            assert value == option.default
            assert type(value) is type(option.default)

    @pytest.mark.parametrize(
        ("name", "default"),
        [
            ("operation_timeout", 2.5),
            ("config_total_timeout", 5.0),
            ("config_node_timeout", 2.0),
            ("views_timeout", 75.0),
            ("n1ql_timeout", 75.0),
            ("durability_timeout", 5.0),
            ("config_poll_interval", 2.5),
            ("compression", "on"),
            ("ipv6", "disabled"),
            ("bootstrap_on", "all"),
            ("fetch_mutation_tokens", False),
            ("tracing_threshold_kv", 0.5),
            ("tracing_threshold_n1ql", 1.0),
            ("sasl_allow_plain", False),
        ],
    )
    def test_defaults(self, name: str, default: object) -> None:
        """Defaults are 2.5's."""
        assert OPTIONS[name].default == default

    def test_secrets(self) -> None:
        """The names whose values must not be shown."""
        assert {"password", "pass", "bucket_cred"} == SECRET_NAMES


class TestValues:
    """What values mean."""

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("operation_timeout", "2.75", 2.75),
            ("timeout", "3", 3.0),
            ("operation_timeout", "2500ms", 2.5),
            ("kv_timeout", "2500", 2.5),
            ("kv_timeout", "2500ms", 2.5),
            ("kv_timeout", "2.5s", 2.5),
            ("key_value_timeout", "700", 0.7),
            ("query_timeout", "1m15s", 75.0),
            ("query_timeout", "1h", 3600.0),
            ("kv_durable_timeout", "10000", 10.0),
            ("config_poll_interval", "2.5", 2.5),
            ("config_poll_interval", "2500ms", 2.5),
            ("config_poll_interval", "0", 0.0),
            ("config_poll_floor", "50", 0.05),
            ("tcp_keep_alive_interval", "60000", 60.0),
            ("durabilty_interval", "0.0001", 0.0001),
            ("compression_min_size", "64", 64),
            ("compression_min_ratio", "0.5", 0.5),
            ("bootstrap_on", "both", "all"),
            ("bootstrap_on", "file_only", "file_only"),
            ("ipv6", "disable", "disabled"),
            ("ipv6", "allow", "allow"),
            ("ip_protocol", "force_ipv6", "only"),
            ("force_ipv4", "true", "disabled"),
            ("force_ipv4", "no", "allow"),
            ("preserve_bootstrap_nodes_order", "true", False),
            ("enable_compression", "off", "off"),
            ("ssl", "no_verify", "no_verify"),
            ("retry_policy", "topochange:get", ("topochange:get",)),
            (
                "sasl_mech_force",
                "SCRAM-SHA512,SCRAM-SHA1 PLAIN",
                ("SCRAM-SHA512", "SCRAM-SHA1", "PLAIN"),
            ),
            ("sasl_mech_force", "scram-sha1", ("SCRAM-SHA1",)),
            ("config_cache_ro", "1", "1"),
            ("network", "external", "external"),
        ],
    )
    def test_meaning(self, name: str, text: str, value: object) -> None:
        """2.5's names take seconds, 4.x's milliseconds, both units; spellings have one meaning."""
        parsed = one(name, text)
        assert parsed == value
        assert type(parsed) is type(value)

    @pytest.mark.parametrize("text", ["true", "on", "yes", "1", "True"])
    def test_true(self, text: str) -> None:
        """All the words for yes."""
        assert parse_bool(text) is True
        assert one("randomize_nodes", text) is True

    @pytest.mark.parametrize("text", ["false", "off", "no", "0", "FALSE"])
    def test_false(self, text: str) -> None:
        """All the words for no."""
        assert parse_bool(text) is False
        assert one("randomize_nodes", text) is False

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("operation_timeout", "0"),
            ("operation_timeout", "-1"),
            ("operation_timeout", "nan"),
            ("operation_timeout", "inf"),
            ("operation_timeout", "1e300"),
            ("operation_timeout", "2.5 s"),
            ("operation_timeout", "2.5x"),
            ("operation_timeout", "s"),
            ("kv_timeout", "0ms"),
            ("compression_min_size", "31"),
            ("compression_min_size", "64.0"),
            ("compression_min_ratio", "1.1"),
            ("compression_min_ratio", "nan"),
            ("randomize_nodes", "maybe"),
            ("randomize_nodes", "2"),
            ("bootstrap_on", "dns"),
            ("ip_protocol", "allow"),
            ("sasl_mech_force", "SCRAM-SHA1,CRAM-MD5"),
            ("sasl_mech_force", ","),
            ("retry_policy", "topochange"),
            ("tcp_keepcnt", "9" * 30),
        ],
    )
    def test_refused(self, name: str, text: str) -> None:
        """What is no legal value is refused, with the name, the value, and what would be legal."""
        with pytest.raises(InvalidOptionError) as info:
            one(name, text)
        assert name in str(info.value)
        assert repr(text) in str(info.value)
        assert " must be " in str(info.value)

    def test_mechanisms(self) -> None:
        """Every mechanism that there is can be forced."""
        assert {*find_option("sasl_mech_force").choices.values()} == {*MECHANISMS, "PLAIN"}

    def test_messages(self) -> None:
        """Messages name the unit that the name has, and the limits."""
        with pytest.raises(
            InvalidOptionError, match=r"^Option kv_timeout must be a time in millis"
        ):
            one("kv_timeout", "x")
        with pytest.raises(InvalidOptionError, match="at least 32; '8' is not"):
            one("compression_min_size", "8")
        with pytest.raises(InvalidOptionError, match="at least 0 and at most 1; '8' is not"):
            one("compression_min_ratio", "8")

    @given(st.sampled_from(ALL_NAMES), st.text())
    def test_any_text(self, name: str, text: str) -> None:
        """Any text is a legal value of the right type and within bounds, or is refused."""
        option = find_option(name)
        with contextlib.suppress(InvalidOptionError):
            value = option.parse(text, name)
            if option.kind in {"int", "float", "seconds"}:
                assert isinstance(value, int | float)
                assert option.minimum is None or value >= option.minimum
                assert option.maximum is None or value <= option.maximum
            if option.kind == "choice":
                assert value in option.choices.values()

    @given(st.integers(1, 86_400_000))
    def test_units_agree(self, milliseconds: int) -> None:
        """A time means the same in either unit, under either name."""
        expected = milliseconds / 1000
        assert one("kv_timeout", str(milliseconds)) == expected
        assert one("kv_timeout", f"{milliseconds}ms") == expected
        assert one("operation_timeout", f"{milliseconds}ms") == expected
        assert one("operation_timeout", repr(expected)) == expected


class TestNames:
    """Finding options."""

    @pytest.mark.parametrize(
        ("wrong", "right"),
        [
            ("operation_timout", "operation_timeout"),
            ("Network", "network"),
            ("cert_pth", "cert_path"),
            ("kvtimeout", "kv_timeout"),
        ],
    )
    def test_suggestion(self, wrong: str, right: str) -> None:
        """An unknown option is an error that suggests the nearest."""
        with pytest.raises(InvalidOptionError, match=f"'{wrong}'; did you mean {right}\\?"):
            parse_options([(wrong, "1")])

    def test_no_suggestion(self) -> None:
        """Nothing is suggested for what is like nothing."""
        with pytest.raises(InvalidOptionError) as info:
            parse_options([("zzzzqqqq", "1")])
        assert str(info.value) == "There is no option 'zzzzqqqq'"

    def test_aliases_and_order(self) -> None:
        """Aliases mean the same option, and the last one counts."""
        assert parse_options([("timeout", "1"), ("user", "u"), ("kv_timeout", "2000")]) == {
            "operation_timeout": 2.0,
            "username": "u",
        }
