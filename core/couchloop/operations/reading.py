"""What operations that fetch a document have in common: its flags say how it is read."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final, cast

from couchloop.arguments.exact import is_true
from couchloop.exceptions import ArgumentError, CouchbaseError, ProtocolError, ValueFormatError
from couchloop.formats import format_of, name_of
from couchloop.hot.encoding import Passthrough, not_encoded, value_transcoder_of
from couchloop.hot.frames import Fields
from couchloop.hot.operation import Defaults, Operation, inflated
from couchloop.hot.result import Result, ValueResult
from couchloop.transcoder import FMT_JSON, JSONTranscoder, OneWayTranscoder, Transcoder, decode_json
from couchloop.typed import TYPES, convert, decoder_of, is_about_type, misfit

_NOT_FOUND_RC: Final = 0x0D
_FLAGS = Struct(">I")
_unpack_flags = _FLAGS.unpack_from
_new = object.__new__


class Get(Operation[ValueResult]):
    """GET 0x00, or GAT 0x1d where a ttl is given."""

    __slots__ = ("transcoder",)
    name = "get"
    idempotent = True
    gives_value = True
    reads_fields = True
    transcoder: Transcoder | None
    """What reads the value; None: it is given as bytes."""

    def decode(self, answer: Fields) -> ValueResult:
        """Decode the value by its flags; a quiet miss has value None and rc 0x0d."""
        # One unpacking takes half as long as six attributes of a tuple.
        _, _, datatype, status, _, cas, _, extras, _, value = answer
        if status:
            return ValueResult(self.key, None, 0, 0, _NOT_FOUND_RC)
        if len(extras) < 4:
            raise ProtocolError(f"{self.name}: the answer has no flags", key=self.key)
        if datatype & 2:
            value = inflated(value)
        (flags,) = _unpack_flags(extras)
        transcoder = self.transcoder
        if transcoder is not None:
            try:
                value = transcoder.decode_value(value, flags)
            except Exception as error:  # noqa: BLE001 - a transcoder may be anybody's
                not_encoded(error, "decode_value", self.name, self.key, self.connection)
        # What its constructor does, without the call.
        result = _new(ValueResult)
        result.key = self.key
        result.value = value
        result.cas = cas
        result.flags = flags
        result.rc = 0
        result.token = None
        return result

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """See `Operation.missed`."""
        return ValueResult(key, None, 0, 0, rc)


_OF_JSON: Final = frozenset({Transcoder.decode_value, JSONTranscoder.decode_value})
"""What reads JSON as ours, if it was not given another function for that."""


class TypedReader:
    """Reads documents as values of one type: what *type* of an operation means.

    Bytes of JSON are decoded straight into it. Where a transcoder of the user's reads them, the
    value that it gives is converted.

    Args:
        kind: the type.
        behind: the Bucket's transcoder.

    Raises InvalidSettingError for what is no type, FeatureNotAvailableError without msgspec.
    """

    __slots__ = ("_behind", "_decode", "kind", "parts")

    def __init__(self, kind: Any, behind: Transcoder) -> None:
        self._decode = decoder_of(kind)
        self.kind = kind
        if isinstance(behind, Passthrough):
            # What is asked for by one call counts more than what is set for all.
            behind = behind.behind
        self.parts = behind
        """What reads parts of a document that are put together before they are converted."""
        method = getattr(type(behind), "decode_value", None)
        is_own = method in _OF_JSON or isinstance(behind, OneWayTranscoder)
        self._behind = None if is_own and behind.json_decode is None else behind

    def decode_value(self, value: Any, flags: int) -> Any:
        """Return the value; raise ValueFormatError if it does not fit the type, or is no JSON."""
        behind = self._behind
        if behind is not None:
            return convert(behind.decode_value(value, flags), self.kind)
        if flags != FMT_JSON and format_of(flags) != FMT_JSON:
            name = name_of(format_of(flags))
            raise ValueFormatError(
                f"type= reads JSON, and the document is {name}: without it the value is given in "
                "its own format"
            )
        try:
            return self._decode(value)
        except Exception as error:  # noqa: BLE001 - a type may have code of the user's
            if is_about_type(error):
                raise misfit(error, self.kind) from None
        # msgspec does not read all that is JSON: see `couchloop.transcoder`.
        return convert(decode_json(value), self.kind)


_readers: dict[Any, TypedReader] = {}
"""Those that read where the Bucket's transcoder is the usual one, for all that ask."""


def reader(
    transcoder: Transcoder | type[Transcoder] | None,
    defaults: Defaults,
    *,
    no_format: bool,
    type: Any,  # noqa: A002 - what users call it
    key: Any = None,
) -> Transcoder | None:
    """Return what is to read a value; None: it is given as bytes.

    Raises ArgumentError if *transcoder* is none, or *type* no type.
    """
    if no_format:
        no_format = is_true(no_format, "no_format", key)
    if type is not None:
        if no_format or transcoder is not None:
            text = "give type, or one of transcoder and no_format: each says how the value is read"
            raise ArgumentError(text, key=key)
        return cast("Transcoder", typed_reader(type, defaults.transcoder, key))
    if no_format:
        return None
    return defaults.transcoder if transcoder is None else value_transcoder_of(transcoder, key)


def typed_reader(given: Any, behind: Transcoder, key: Any = None) -> TypedReader:
    """Return what reads values of a type, or *given* itself if it is that already.

    Raises what `TypedReader` raises, with *key*.
    """
    if type(given) is TypedReader:
        return given
    is_usual = type(behind) is Transcoder and behind.json_decode is None
    try:
        # Less than half of what functools.lru_cache takes.
        if is_usual and (known := _readers.get(given)) is not None:
            return known
    except TypeError:
        # It cannot be hashed, and is made anew each time.
        is_usual = False
    try:
        made = TypedReader(given, behind)
    except CouchbaseError as error:
        error.key = key
        raise
    if is_usual:
        if len(_readers) >= TYPES:
            _readers.clear()
        _readers[given] = made
    return made
