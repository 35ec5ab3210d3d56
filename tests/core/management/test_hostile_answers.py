"""What services may answer, whatever it is, is read or told as unreadable."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import CouchbaseError, HTTPError, ProtocolError
from couchloop.management import bucket_manager, design_documents, eventing_functions
from couchloop.management import search_indexes as search
from couchloop.management.design_documents import DesignDocumentNamespace
from tests.core.management.manager import DEFAULTS, answered, of_bucket

_MEMBERS = st.sampled_from(
    [
        *("views", "v", "map", "reduce", "rows", "doc", "meta", "json", "id", "rev"),
        *("status", "indexDef", "indexDefs", "name", "type", "uuid", "params", "planParams"),
        *("appname", "appcode", "depcfg", "settings", "buckets", "curl", "constants", "value"),
        *("source_bucket", "metadata_bucket", "execution_timeout", "log_level", "literal"),
        *("num_eventing_nodes", "apps", "composite_status", "function_scope", "bucket"),
    ]
)
_SIMPLE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "ok", "a", "{", "[5]", "deployed", "_design/dev_d", "{}"])
)
_JSON = st.recursive(
    _SIMPLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_MEMBERS, inner, max_size=6),
    max_leaves=20,
)


def builds() -> list[Any]:
    """Return what reads an answer."""
    bucket, namespace = of_bucket("b"), DesignDocumentNamespace.DEVELOPMENT
    return [
        design_documents.get_design_document(bucket, "d", namespace),
        design_documents.get_all_design_documents(bucket, namespace),
        bucket_manager.design_get(bucket, "d"),
        bucket_manager.design_list(bucket),
        search.get_index(DEFAULTS, "i"),
        search.get_all_indexes(DEFAULTS),
        search.get_indexed_documents_count(DEFAULTS, "i"),
        search.analyze_document(DEFAULTS, "i", {}),
        search.get_index_stats(DEFAULTS, "i"),
        eventing_functions.get_function(DEFAULTS, "f"),
        eventing_functions.get_all_functions(DEFAULTS),
        eventing_functions.functions_status(DEFAULTS),
    ]


@given(st.dictionaries(_MEMBERS, _JSON, max_size=8) | _JSON)
def test_successes(document: Any) -> None:
    """An answer is read, or is a ProtocolError (an HTTPError if it says that it is a failure)."""
    body = json.dumps(document).encode()
    for build in builds():
        with contextlib.suppress(ProtocolError, HTTPError):
            answered(build, [(200, body)])


@given(st.sampled_from([400, 404, 406, 422, 423, 500, 503]), _JSON | st.binary())
def test_refusals(status: int, said: Any) -> None:
    """A refusal is an error of ours, whatever it says."""
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    for build in builds():
        with pytest.raises(CouchbaseError):
            answered(build, [(status, body)])
