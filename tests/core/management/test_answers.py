"""What answers of services mean, whatever they say."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    BucketNotFoundError,
    CouchbaseError,
    HTTPError,
    InvalidNameError,
    InvalidSettingError,
)
from couchloop.http.service import FORM, JSON, Service, ServiceAnswer
from couchloop.management.answers import (
    Refusal,
    check,
    checked_name,
    delete,
    get,
    read_json,
    segment,
    send_form,
    send_json,
)

_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


def answer(status: int, body: bytes) -> ServiceAnswer:
    """Return an answer of some node."""
    return ServiceAnswer(status, {}, body, "node:8091")


@given(
    status=st.integers(300, 599),
    body=st.binary(max_size=60) | _DOCUMENTS.map(lambda document: json.dumps(document).encode()),
    service=st.sampled_from(Service),
)
def test_no_answer_is_too_odd(status: int, body: bytes, service: Service) -> None:
    """Whatever is no success is an error of ours that names the node, and is safe to show."""
    with pytest.raises(CouchbaseError) as caught:
        check(answer(status, body), service, bucket="b")
    context = caught.value.context
    assert context is not None
    assert (context.node, context.bucket) == ("node:8091", "b")
    assert str(caught.value).isprintable()
    assert f"HTTP {status}" in str(caught.value)


@pytest.mark.parametrize("name", ["", None, 5, b"a", ".", "..", "a\ud800"])
def test_names(name: Any) -> None:
    """No name leads to another path, and each can be said in one."""
    with pytest.raises(InvalidNameError):
        checked_name(name, "bucket")


def test_names_of_many_kinds() -> None:
    """Whatever else is in a name stays one part of the path."""

    class Odd(str):
        __slots__ = ()

        def __len__(self) -> int:
            return 0

    for name in ("...", ".a", "%2e%2e", "a/../b", "é", Odd("odd")):
        found = checked_name(name, "bucket")
        assert type(found) is str
        assert "/" not in segment(found)
        assert unquote(segment(found)) == found


@pytest.mark.parametrize("value", ["\ud800", b"a", 1.5, [], {}, object()])
def test_forms(value: Any) -> None:
    """A form has texts and numbers; what it cannot say is in no error, for it may be a secret."""
    with pytest.raises(InvalidSettingError) as caught:
        send_form(Service.MANAGEMENT, "POST", "/", {"password": value})
    assert (caught.value.__context__, caught.value.objextra) == (None, None)


def test_order() -> None:
    """The first refusal that fits counts, by status and words; then what holds everywhere."""
    refusals = (
        Refusal(BucketNotFoundError, 404, "resource", "there is no such bucket"),
        Refusal(HTTPError, None, "odd", "that is odd"),
    )
    for status, body, text in (
        (404, b"Requested RESOURCE not found", "there is no such bucket"),
        (500, b"how odd", "that is odd"),
        (500, b"resource", "HTTP 500"),
    ):
        with pytest.raises(CouchbaseError, match=text):
            check(answer(status, body), Service.MANAGEMENT, refusals)
    assert check(answer(204, b"odd"), Service.MANAGEMENT, refusals).status == 204


def test_requests() -> None:
    """Only questions may be repeated; a form leaves out what is None, and hides what it holds."""
    form = send_form(Service.SEARCH, "PUT", "/a", {"a b": "ü&=", "no": None, "on": True})
    assert (form.body, form.content_type) == (b"a+b=%C3%BC%26%3D&on=1", FORM)
    document = send_json(Service.EVENTING, "POST", "/b", {"a": [1, None]})
    assert (document.body, document.content_type) == (b'{"a":[1,null]}', JSON)
    assert get(Service.VIEWS, "/c").is_idempotent
    assert not any(each.is_idempotent for each in (form, document, delete(Service.QUERY, "/d")))
    assert "%C3" not in repr(form)
    assert read_json(answer(200, b"[1]")) == [1]


@given(st.text(max_size=20))
def test_segments(name: str) -> None:
    """A name stays within its part of the path."""
    assert not set(segment(name.encode("utf-8", "replace").decode())) & set("/?# \r\n")
