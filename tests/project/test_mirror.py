"""Tests mirror the rooms: a file of the core has a test file of its name, or a subject's."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

import pytest

from tests.project.test_architecture import CORE
from tests.project.test_packaging import ROOT

TESTS: Final = ROOT / "tests"

UNTESTED: Final = {
    "connstr.py": "it passes on names of settings",
    "health.py": "it passes on names of session",
    "items.py": "it passes on names of operations",
    "kv_range_scan.py": "it passes on names of operations",
    "result.py": "it passes on names of hot",
    "subdocument.py": "it passes on names of operations",
    "observation.py": "values and a protocol, without logic",
    "session/events.py": "values, without logic",
    "wire/constants.py": "numbers; tests/embedded/test_fidelity.py compares them with a server's",
    "operations/mutation.py": "a base class of those that are tested",
    "operations/streams.py": "it lists what is tested",
    "management/arguments.py": "texts, without logic",
    "management/defaults.py": "a value, without logic",
}
"""What there is nothing of to test, and why."""

SUBJECTS: Final = {
    "analytics/analytics_queries.py": "core/analytics/test_queries.py",
    "analytics/asking.py": "core/analytics/test_queries.py",
    "analytics/bucket_analytics.py": "core/analytics/test_queries.py",
    "contrib/celery.py": "gcouchbase/test_recipes.py",
    "contrib/locust.py": "gcouchbase/test_recipes.py",
    "contrib/scrapy.py": "txcouchbase/test_recipes.py",
    "client/async_result.py": "txcouchbase/test_raw.py",
    "client/blocks.py": "conformance/test_durability.py",
    "client/collections.py": "conformance/test_collections.py",
    "client/crossing.py": "core/client/test_threads.py",
    "client/derivations.py": "core/client/test_driver.py",
    "client/managers.py": "conformance/test_management.py",
    "client/notices.py": "core/client/test_driver.py",
    "client/pool.py": "conformance/test_pool.py",
    "client/rows.py": "conformance/test_rows.py",
    "client/stream.py": "conformance/test_streams.py",
    "client/thread_management_methods.py": "project/test_methods.py",
    "client/thread_managers.py": "conformance/test_thread_management.py",
    "client/thread_methods.py": "project/test_methods.py",
    "client/thread_rows.py": "conformance/test_rows.py",
    "client/thread_pipeline.py": "conformance/test_threads.py",
    "client/thread_stream.py": "conformance/test_threads.py",
    "contrib/prometheus_twisted.py": "txcouchbase/test_metrics_resource.py",
    "observe/reporting.py": "core/observe/test_reports.py",
    "doctor/addresses.py": "core/doctor/test_nodes.py",
    "doctor/advice.py": "core/doctor/test_failures.py",
    "doctor/asked.py": "core/doctor/test_diagnosis.py",
    "doctor/certificates.py": "core/doctor/test_report.py",
    "doctor/context.py": "core/doctor/test_diagnosis.py",
    "doctor/names.py": "core/doctor/test_diagnosis.py",
    "doctor/probe.py": "core/doctor/test_nodes.py",
    "doctor/probed_connection.py": "core/doctor/test_failures.py",
    "doctor/requests.py": "core/doctor/test_diagnosis.py",
    "doctor/serving.py": "conformance/test_doctor.py",
    "doctor/table.py": "core/doctor/test_report.py",
    "http/json_value.py": "core/http/test_rows.py",
    "http/service.py": "conformance/test_http.py",
    "n1ql/asking.py": "core/n1ql/test_queries.py",
    "n1ql/n1ql_queries.py": "core/n1ql/test_queries.py",
    "management/collection_indexes.py": "core/management/test_query_indexes.py",
    "management/index_statements.py": "core/management/test_query_indexes.py",
    "management/n1ql_indexes.py": "core/management/test_query_indexes.py",
    "operations/arguments.py": "core/operations/test_document.py",
    "operations/concatenate.py": "core/operations/test_document.py",
    "operations/containers.py": "conformance/test_datastructures.py",
    "operations/copies.py": "core/operations/test_replicas.py",
    "operations/counter.py": "core/operations/test_document.py",
    "operations/endure.py": "core/session/test_durability.py",
    "operations/key_stream.py": "core/operations/test_streaming.py",
    "operations/lists.py": "core/session/test_structures.py",
    "operations/maps.py": "core/session/test_structures.py",
    "operations/old_names.py": "conformance/test_old_names.py",
    "operations/projection.py": "core/session/test_projection.py",
    "operations/queues.py": "core/session/test_structures.py",
    "operations/remove.py": "core/operations/test_document.py",
    "operations/scan_requests.py": "core/operations/test_scan.py",
    "operations/sets.py": "core/session/test_structures.py",
    "operations/stream.py": "core/operations/test_streaming.py",
    "operations/structures.py": "core/session/test_structures.py",
    "operations/subdocument_result.py": "core/operations/test_subdocument.py",
    "operations/touch.py": "core/operations/test_document.py",
    "pytest_plugin.py": "project/test_testing.py",
    "safety/printable.py": "core/test_texts.py",
    "command/completion.py": "project/test_command.py",
    "command/doctor.py": "project/test_doctor.py",
    "command/documents.py": "project/test_command.py",
    "command/embedded.py": "project/test_command.py",
    "command/loops.py": "project/test_command.py",
    "sentences.py": "project/test_sentences.py",
    "session/requests.py": "core/session/test_signs_of_life.py",
    "session/session.py": "core/session/test_session_machine.py",
    "session/shared.py": "core/session/test_close.py",
    "session/timers.py": "core/session/test_standstill.py",
    "session/unavailable.py": "core/session/test_memcached.py",
    "settings/from_options.py": "core/settings/test_effects.py",
    "settings/memcached.py": "core/session/test_memcached.py",
    "settings/seeds.py": "core/settings/test_many_strings.py",
    "settings/values.py": "core/settings/test_configure.py",
    "topology/plain.py": "core/topology/test_ketama.py",
    "topology/text.py": "core/topology/test_odd_configs.py",
}
"""Files that are tested where their subject is, which takes several files."""


def mirrored(path: str) -> str:
    """Return where the test file of that name belongs."""
    file = PurePosixPath(path)
    return f"core/{file.parent / f'test_{file.name}'}"


def files() -> list[str]:
    """Return the files of the core; tests of the embedded cluster go by what a client sees."""
    return sorted(
        path.relative_to(CORE).as_posix()
        for path in CORE.rglob("*.py")
        if path.name not in {"__init__.py", "__main__.py"}
        and not path.is_relative_to(CORE / "embedded")
    )


@pytest.mark.parametrize("path", files())
def test_a_file_of_its_name(path: str) -> None:
    """Who looks for the tests of a file opens the one of its name, or finds it in the table."""
    its_own = TESTS / mirrored(path)
    tables = [table for table in (UNTESTED, SUBJECTS) if path in table]
    if its_own.exists():
        assert not tables, f"{path} has a test file of its name: take it out of the table"
        return
    assert len(tables) == 1, f"{path} has no tests/{mirrored(path)}: write it, or say why not"
    if path in SUBJECTS:
        assert (TESTS / SUBJECTS[path]).is_file(), f"tests/{SUBJECTS[path]} is not there"


def test_the_tables() -> None:
    """They name files that are there, and of `hot` none: each of its files is tested alone."""
    named = {*UNTESTED, *SUBJECTS}
    assert named <= set(files())
    assert not [path for path in named if path.startswith("hot/")]
