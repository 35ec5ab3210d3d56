"""What operations that fetch a document have in common: its flags say how it is read."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from couchloop.exceptions import ProtocolError
from couchloop.hot.encoding import not_encoded, value_transcoder_of
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Operation, body
from couchloop.hot.result import Result, ValueResult
from couchloop.transcoder import Transcoder

_NOT_FOUND_RC: Final = 0x0D
_FLAGS = Struct(">I")
_unpack_flags = _FLAGS.unpack_from


class Get(Operation[ValueResult]):
    """GET 0x00, or GAT 0x1d where a ttl is given."""

    __slots__ = ("transcoder",)
    name = "get"
    idempotent = True
    gives_value = True
    transcoder: Transcoder | None
    """What reads the value; None: it is given as bytes."""

    def decode(self, answer: Frame) -> ValueResult:
        """Decode the value by its flags; a quiet miss has value None and rc 0x0d."""
        # One unpacking takes half as long as six attributes of a tuple.
        _, _, datatype, status, _, cas, _, extras, _, value = answer
        if status:
            return ValueResult(self.key, None, 0, 0, _NOT_FOUND_RC)
        if len(extras) < 4:
            raise ProtocolError(f"{self.name}: the answer has no flags", key=self.key)
        if datatype & 2:
            value = body(answer)
        (flags,) = _unpack_flags(extras)
        transcoder = self.transcoder
        if transcoder is not None:
            try:
                value = transcoder.decode_value(value, flags)
            except Exception as error:  # noqa: BLE001 - a transcoder may be anybody's
                not_encoded(error, "decode_value", self.name, self.key, self.connection)
        return ValueResult(self.key, value, cas, flags)

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """See `Operation.missed`."""
        return ValueResult(key, None, 0, 0, rc)


def reader(
    transcoder: Transcoder | type[Transcoder] | None,
    defaults: Defaults,
    *,
    no_format: bool,
    key: Any = None,
) -> Transcoder | None:
    """Return what is to read a value; None: it is given as bytes.

    Raises ArgumentError if *transcoder* is none.
    """
    if no_format:
        return None
    return defaults.transcoder if transcoder is None else value_transcoder_of(transcoder, key)
