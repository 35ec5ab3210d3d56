"""The words that traces and metrics have in common."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module

import pytest

from couchloop import exceptions
from couchloop.contrib import naming
from couchloop.durability import DurabilityLevel
from couchloop.observation import Ended, Started

CALL = Started("get", "travel", None, None, 2.5, 0.0)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (exceptions.NotFoundError, "DocumentNotFound"),
        (exceptions.CasMismatchError, "CasMismatch"),
        (exceptions.DocumentExistsError, "DocumentExists"),
        (exceptions.AmbiguousTimeoutError, "AmbiguousTimeout"),
        (exceptions.UnambiguousTimeoutError, "UnambiguousTimeout"),
        (exceptions.SubdocPathNotFoundError, "PathNotFound"),
        (exceptions.AmbiguousRequestCanceledError, "RequestCanceled"),
        (exceptions.StoreLockedError, "DocumentLocked"),
        (exceptions.ConnectionLostError, "_OTHER"),
        (ZeroDivisionError, "_OTHER"),
    ],
)
def test_errors(kind: type[BaseException], name: str) -> None:
    """An error has the name of RFC 0058, that of the nearest base that has one, or none."""
    assert naming.error_type(kind) == name
    assert naming.failed(Ended(CALL, 0.0, kind)) == name


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("otel", "opentelemetry", "otel"), ("prometheus", "prometheus_client", "prometheus")],
)
def test_missing_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str, extra: str
) -> None:
    """Without its framework a module says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"couchloop.contrib.{module}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'couchloop\[{extra}\]'"):
        import_module(f"couchloop.contrib.{module}")


def test_success() -> None:
    """What succeeded has no kind of error."""
    assert not naming.failed(Ended(CALL, 0.0, None))


def test_operations() -> None:
    """A call is named as RFC 0067 does; several operations of a batch are so many of a kind."""
    assert naming.operation(CALL) == "get"
    assert naming.operation(replace(CALL, name="lock")) == "get_and_lock"
    sizes = {0: "BATCH get", 1: "get", 2: "BATCH get"}
    for size, name in sizes.items():
        assert naming.operation(replace(CALL, name="get_multi", batch_size=size)) == name


def test_places() -> None:
    """The default scope and collection are written out."""
    assert (naming.scope(CALL), naming.collection(CALL)) == ("_default", "_default")
    named = replace(CALL, scope="zoo", collection="birds")
    assert (naming.scope(named), naming.collection(named)) == ("zoo", "birds")


def test_levels() -> None:
    """Each durability level has RFC 0067's name."""
    found = [
        naming.durability(replace(CALL, durability=level.name.lower()))
        for level in DurabilityLevel
        if level
    ]
    assert found == ["majority", "majority_and_persist_active", "persist_majority"]
    assert naming.durability(CALL) is None
