"""Eventing functions as values, and in JSON."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import InvalidSettingError
from couchloop.management.eventing_values import (
    EventingFunction,
    EventingFunctionDcpBoundary,
    EventingFunctionKeyspace,
    EventingFunctionLanguageCompatibility,
    EventingFunctionLogLevel,
    EventingFunctionQueryConsistency,
    EventingFunctionSettings,
    EventingFunctionUrlAuthBasic,
    EventingFunctionUrlAuthBearer,
    EventingFunctionUrlAuthDigest,
    EventingFunctionUrlBinding,
    function_document,
    read_settings,
    settings_document,
)
from couchloop.safety.secret import Secret

EVERY_SETTING = EventingFunctionSettings(
    cpp_worker_thread_count=1,
    dcp_stream_boundary=EventingFunctionDcpBoundary.FromNow,
    description="d",
    log_level=EventingFunctionLogLevel.Trace,
    language_compatibility=EventingFunctionLanguageCompatibility.Version_6_6_2,
    execution_timeout=timedelta(seconds=5),
    lcb_inst_capacity=2,
    lcb_retry_count=3,
    lcb_timeout=timedelta(minutes=1),
    query_consistency=EventingFunctionQueryConsistency.RequestPlus,
    num_timer_partitions=4,
    sock_batch_size=5,
    tick_duration=timedelta(milliseconds=7),
    timer_context_size=8,
    user_prefix="p",
    bucket_cache_size=9,
    bucket_cache_age=timedelta(milliseconds=10),
    curl_max_allowed_resp_size=11,
    query_prepare_all=True,
    worker_count=12,
    handler_headers=("a", "b"),
    handler_footers=(),
    enable_applog_rotation=False,
    app_log_dir="/d",
    app_log_max_size=13,
    app_log_max_files=14,
    checkpoint_interval=timedelta(seconds=15),
    other={"cursor_aware": True},
)


def test_settings_are_complete() -> None:
    """Each setting has its name in JSON, and comes back as it was."""
    document = settings_document(EVERY_SETTING)
    assert len(document) == len(fields(EventingFunctionSettings))
    assert document["n1ql_consistency"] == "request"
    assert document["bucket_cache_age"] == 10
    assert document["lcb_timeout"] == 60
    assert read_settings(document) == EVERY_SETTING
    newer = read_settings({"log_level": "CHATTY", "worker_count": 1})
    assert newer == EventingFunctionSettings(worker_count=1, other={"log_level": "CHATTY"})


@given(
    st.builds(
        EventingFunctionSettings,
        worker_count=st.none() | st.integers(0),
        tick_duration=st.none() | st.integers(0, 10**9).map(lambda n: timedelta(milliseconds=n)),
        handler_headers=st.none() | st.lists(st.text()).map(tuple),
        log_level=st.none() | st.sampled_from(EventingFunctionLogLevel),
        query_prepare_all=st.none() | st.booleans(),
        description=st.none() | st.text(),
    )
)
def test_settings_come_back(settings: EventingFunctionSettings) -> None:
    """Whatever settings say, they are read as they were written."""
    assert read_settings(settings_document(settings)) == settings


@pytest.mark.parametrize("given", [5, None, [], object()])
def test_no_secrets(given: Any) -> None:
    """What is no text is no password and no token: that is said at once."""
    for make in (
        lambda: EventingFunctionUrlAuthBasic("u", given),
        lambda: EventingFunctionUrlAuthDigest("u", given),
        lambda: EventingFunctionUrlAuthBearer(given),
    ):
        with pytest.raises(InvalidSettingError):
            make()


@pytest.mark.parametrize(
    "auth",
    [
        EventingFunctionUrlAuthBasic("u", Secret(b"hidden\xff")),
        EventingFunctionUrlAuthBearer("hidden\ud800"),
        EventingFunctionUrlAuthBasic(5, "p"),  # type: ignore[arg-type]
    ],
)
def test_logins_that_no_json_has(auth: Any) -> None:
    """They are refused, and what is raised does not hold them."""
    place = EventingFunctionKeyspace("b")
    binding = EventingFunctionUrlBinding("h", "a", auth=auth)
    function = EventingFunction(
        "f", "code", metadata_keyspace=place, source_keyspace=place, url_bindings=(binding,)
    )
    with pytest.raises(InvalidSettingError) as caught:
        function_document(function)
    assert "hidden" not in f"{caught.value!r} {caught.value.__context__!r}"
