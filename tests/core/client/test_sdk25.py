"""Properties that SDK 2.5's Bucket has, and names that come with a later version."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from couchloop import (
    COMPRESS_FORCE,
    COMPRESS_IN,
    COMPRESS_INOUT,
    COMPRESS_NONE,
    COMPRESS_OUT,
)
from couchloop.client.sdk25 import Sdk25Names, _NotYet
from couchloop.exceptions import (
    FeatureNotAvailableError,
    InvalidKeyError,
    InvalidOptionError,
    InvalidSettingError,
    PipelineError,
)
from couchloop.operations import document as ops
from couchloop.settings.values import Reports
from couchloop.transcoder import JSONTranscoder
from tests.core.client.loop import TEXT, WHO, Bucket, Loop, opened
from tests.extras import needs_snappy


def later(kind: type) -> list[str]:
    """Return the names of methods of *kind* that come later."""
    return [name for name, member in vars(kind).items() if isinstance(member, _NotYet)]


@pytest.mark.parametrize("name", later(Sdk25Names))
def test_methods_of_a_bucket(name: str) -> None:
    """Calling one says that it comes later, or why it does not come, whatever it is given."""
    method = getattr(opened(Loop()), name)
    why = "is not there: users" if name == "add_bucket_creds" else "comes with a later version"
    with pytest.raises(FeatureNotAvailableError, match=rf"^{name}\(\) {why}"):
        method("anything", at=["all"])
    assert method.__name__ == name
    assert "FeatureNotAvailableError" in (inspect.getdoc(method) or "")


def test_there_are_some() -> None:
    """The names that users look for are among them."""
    assert {"encrypt_fields", "decrypt_fields"} <= set(later(Sdk25Names))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("n1ql", "query_threshold"),
        ("view", "views_threshold"),
        ("fts", "search_threshold"),
        ("analytics", "analytics_threshold"),
    ],
)
def test_thresholds_of_services(name: str, field: str) -> None:
    """Each is an attribute of its own, and counts as soon as it is set."""
    bucket: Any = opened(Loop())
    name = f"tracing_threshold_{name}"
    assert getattr(bucket, name) == 1.0
    setattr(bucket, name, 5)
    reports = bucket._driver.session.settings.reports
    changed = {
        each for each in Reports.__slots__ if getattr(reports, each) != getattr(Reports(), each)
    }
    assert (changed, getattr(reports, field)) == ({field}, 5.0)
    with pytest.raises(InvalidOptionError):
        setattr(bucket, name, -1)
    assert dict(inspect.getmembers(bucket))[name] == 5.0


@pytest.mark.parametrize(
    ("option", "number"),
    [
        ("off", COMPRESS_NONE),
        ("inflate_only", COMPRESS_IN),
        ("deflate_only", COMPRESS_OUT),
        ("on", COMPRESS_INOUT),
        pytest.param("force", COMPRESS_FORCE, marks=needs_snappy),
    ],
)
def test_compression(option: str, number: int) -> None:
    """It tells what the option has decided, and can be set."""
    bucket = Bucket(f"{TEXT}/default?compression={option}", authenticator=WHO, loop=Loop())
    assert bucket.compression == number
    for each in (COMPRESS_NONE, COMPRESS_INOUT, number):
        bucket.compression = each
        assert bucket.compression == each


def test_force_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who forces what cannot be done is told what to install, as a connection string does it."""
    monkeypatch.setattr("couchloop.wire.snappy._AVAILABLE", False)
    bucket = opened(Loop())
    with pytest.raises(FeatureNotAvailableError, match=r"pip install 'couchloop\[snappy\]'"):
        bucket.compression = COMPRESS_FORCE
    assert bucket.compression == COMPRESS_INOUT
    bucket.compression = COMPRESS_IN


def test_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes whatever gets smaller while it is set, and leaves the ratio as it was."""
    monkeypatch.setattr("couchloop.wire.snappy._AVAILABLE", True)
    bucket = opened(Loop())
    bucket.compression = COMPRESS_FORCE
    assert bucket._driver.session.settings.wire.deflates_to == 1.0
    assert bucket.compression_min_ratio == 0.83
    bucket.compression = COMPRESS_INOUT
    assert bucket._driver.session.settings.wire.deflates_to == 0.83


@pytest.mark.parametrize("wrong", [5, -1, "on", None, True])
def test_no_compression(wrong: Any) -> None:
    """What is no mode is refused, and nothing changes."""
    bucket = opened(Loop())
    with pytest.raises(InvalidSettingError):
        bucket.compression = wrong
    assert bucket.compression == COMPRESS_INOUT


def test_data_passthrough() -> None:
    """Values are read as bytes while it is on, whatever the transcoder; it is written as before."""
    bucket = opened(Loop())
    assert bucket.data_passthrough is False
    bucket.data_passthrough = True
    own = JSONTranscoder()
    bucket.transcoder = own
    assert bucket.data_passthrough is True
    assert bucket.transcoder is own
    transcoder = bucket._defaults.transcoder
    assert transcoder.decode_value(b"[1]", 0x02000000) == b"[1]"
    assert ops.upsert(bucket._defaults, "k", [1]).value == b"[1]"
    assert ops.append(bucket._defaults, "k", "x").value == b"x"
    bucket.data_passthrough = False
    assert bucket._defaults.transcoder is own
    with pytest.raises(InvalidSettingError):
        bucket.data_passthrough = "yes"  # type: ignore[assignment]


def test_no_pipeline() -> None:
    """Where calls do not wait, there is no pipeline, and the error says what to do."""
    with pytest.raises(PipelineError, match="wait for all"):
        opened(Loop()).pipeline()


def test_vbmap() -> None:
    """The vbucket of a key, and who owns it, are told as soon as the bucket is open."""
    loop = Loop()
    bucket = opened(loop)
    with pytest.raises(FeatureNotAvailableError, match="not open"):
        bucket._vbmap("foo")
    loop.run()
    config = bucket._driver.session.config
    assert config is not None
    assert bucket._vbmap("foo") == (115, config.active[115])
    with pytest.raises(InvalidKeyError):
        bucket._vbmap(5)  # type: ignore[arg-type]
