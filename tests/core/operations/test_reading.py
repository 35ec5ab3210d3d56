"""What reads documents: transcoders, and types; what msgspec makes of values is in test_typed."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from couchloop.exceptions import ArgumentError, InvalidSettingError, ValueFormatError
from couchloop.hot.encoding import Passthrough
from couchloop.operations.reading import TypedReader, reader, typed_reader
from couchloop.transcoder import (
    FMT_BYTES,
    FMT_JSON,
    JSONTranscoder,
    RawJSONTranscoder,
    Transcoder,
)
from couchloop.typed import TYPES
from tests.core.world import defaults

pytest.importorskip("msgspec")

import msgspec

D = defaults()


def read(**said: Any) -> Any:
    """Return what reads a value where a call has *said* this."""
    return reader(said.pop("transcoder", None), D, **{"no_format": False, "type": None, **said})


def test_transcoders() -> None:
    """Without a word it is the Bucket's; a call may have its own, or want bytes."""
    own = RawJSONTranscoder()
    assert read() is D.transcoder
    assert read(transcoder=own) is own
    assert isinstance(read(transcoder=RawJSONTranscoder), RawJSONTranscoder)
    assert read(no_format=True, transcoder=own) is None
    with pytest.raises(InvalidSettingError, match="no_format"):
        read(no_format="yes", key="k")
    for other in ({"transcoder": own}, {"no_format": True}):
        with pytest.raises(ArgumentError, match="give type, or one") as raised:
            read(type=int, key="k", **other)
        assert raised.value.key == "k"


def test_types_are_kept() -> None:
    """A type has one reader where the transcoder is the usual one; a reader is one already."""
    made = read(type=list[int])
    assert isinstance(made, TypedReader)
    assert read(type=list[int]) is made
    assert read(type=made) is made
    assert typed_reader(list[int], Transcoder(json_decode=msgspec.json.decode)) is not made
    for number in range(TYPES + 1):
        typed_reader(Annotated[int, number], D.transcoder)
    assert read(type=list[int]) is not made, "more types than are kept have gone by"


def test_unusual_types() -> None:
    """A type that cannot be hashed is read by, too; what is no type is refused with the key."""
    kind = Annotated[int, []]
    assert read(type=kind).decode_value(b"5", FMT_JSON) == 5
    assert read(type=kind) is not read(type=kind)
    with pytest.raises(InvalidSettingError) as raised:
        read(type=5, key="k")
    assert raised.value.key == "k"


def test_typed_values() -> None:
    """JSON alone is read into a type, by the Bucket's transcoder where that is the user's."""
    usual = TypedReader(dict[str, int], JSONTranscoder())
    assert usual.decode_value(b'{"a":1}', FMT_JSON) == {"a": 1}
    assert usual.decode_value(b'{"a":1}', 0) == {"a": 1}
    with pytest.raises(ValueFormatError, match="the document is FMT_BYTES"):
        usual.decode_value(b"1", FMT_BYTES)
    with pytest.raises(ValueFormatError):
        usual.decode_value(b'{"a":"x"}', FMT_JSON)
    with pytest.raises(ValueFormatError):
        usual.decode_value(b"no json", FMT_JSON)
    # With a byte order mark it is JSON to `json`, and none to msgspec.
    assert usual.decode_value(b'\xef\xbb\xbf{"a":1}', FMT_JSON) == {"a": 1}
    theirs = Transcoder(json_decode=lambda text: {text: 1})
    own = TypedReader(dict[str, int], Passthrough(theirs))  # type: ignore[arg-type]
    assert own.parts is theirs
    assert own.decode_value(b"x", FMT_JSON) == {"x": 1}
