"""What answers mean that are no success, whatever they say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    AuthError,
    CouchbaseError,
    FeatureNotAvailableError,
    HTTPError,
    NotAuthorizedError,
    QuotaLimitedError,
    RateLimitedError,
    ServerInvalidArgumentError,
    ServiceNotAvailableError,
    TemporaryFailError,
)
from couchloop.http.refusals import is_success, refusal_of, said_by
from couchloop.http.service import Service, ServiceAnswer

_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


def answer(status: int, body: bytes = b"") -> ServiceAnswer:
    """Return an answer of some node."""
    return ServiceAnswer(status, {}, body, "node:8091")


MEANINGS: list[tuple[int, bytes, Service, type[CouchbaseError]]] = [
    (401, b"", Service.QUERY, AuthError),
    (403, b"", Service.SEARCH, NotAuthorizedError),
    (429, b"Limit(s) exceeded [num_concurrent_requests]", Service.QUERY, RateLimitedError),
    (429, b"Maximum number of collections has been reached", Service.QUERY, QuotaLimitedError),
    (503, b"", Service.QUERY, ServiceNotAvailableError),
    (503, b"<html>", Service.VIEWS, ServiceNotAvailableError),
    (503, b'{"errors":[]}', Service.QUERY, TemporaryFailError),
    (503, b"", Service.MANAGEMENT, TemporaryFailError),
    (404, b"Requested resource not found.", Service.MANAGEMENT, FeatureNotAvailableError),
    (404, b'{"error":"index \\"i\\" not found"}', Service.SEARCH, HTTPError),
    (400, b"Not allowed on this version of cluster", Service.VIEWS, FeatureNotAvailableError),
    (400, b'"x is wrong"', Service.ANALYTICS, ServerInvalidArgumentError),
    (422, b"", Service.EVENTING, ServerInvalidArgumentError),
    (500, b"<html>", Service.EVENTING, HTTPError),
    (302, b"", Service.VIEWS, HTTPError),
]


@pytest.mark.parametrize(("status", "body", "service", "kind"), MEANINGS)
def test_meanings(status: int, body: bytes, service: Service, kind: type[CouchbaseError]) -> None:
    """A class by status, service and words; the error has the answer, and where it is from."""
    given_answer = answer(status, body)
    assert not is_success(given_answer)
    error = refusal_of(given_answer, service, said_by(given_answer), "b")
    assert type(error) is kind
    assert error.objextra is given_answer
    assert error.context is not None
    assert (error.context.node, error.context.bucket) == ("node:8091", "b")
    assert f"(HTTP {status})" in str(error)


@given(
    status=st.integers(300, 599),
    body=st.binary(max_size=60) | _DOCUMENTS.map(lambda document: json.dumps(document).encode()),
    service=st.sampled_from(Service),
)
def test_no_answer_is_too_odd(status: int, body: bytes, service: Service) -> None:
    """Whatever is no success is an error of ours that is safe to show."""
    odd = answer(status, body)
    error = refusal_of(odd, service, said_by(odd))
    assert str(error).isprintable()
    assert f"HTTP {status}" in str(error)


def test_equal_failures_have_equal_texts() -> None:
    """Members are told in one order, and permissions too."""
    bodies = (
        b'{"message":"Forbidden","permissions":["b","a"]}',
        b'{"permissions":["a","b"],"message":"Forbidden"}',
    )
    assert {said_by(answer(403, body)) for body in bodies} == {"Forbidden: a, b"}


def test_what_is_long() -> None:
    """No more of a server's words is shown than a reader takes in, whatever form they have."""
    for body in (b"x " * 500_000, json.dumps({"error": "x " * 50_000}).encode(), b"[" * 100_000):
        assert 400 < len(said_by(answer(500, body))) <= 512


def test_what_is_a_success() -> None:
    """200 to 299."""
    assert [is_success(answer(status)) for status in (199, 200, 202, 299, 300)] == [
        *(False, True, True, True, False)
    ]
