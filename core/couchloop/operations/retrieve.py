"""Fetching documents: get, and get with a new expiry."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from couchloop.arguments.exact import is_quiet
from couchloop.arguments.expiry import exact_ttl
from couchloop.exceptions import ProtocolError
from couchloop.hot.encoding import not_encoded
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Key, Operation, body
from couchloop.hot.result import Result, ValueResult
from couchloop.operations.multi import TTL, Multi
from couchloop.retries import RetryStrategy
from couchloop.wire import Opcode

_NOT_FOUND_RC: Final = 0x0D
_FLAGS = Struct(">I")
_unpack_flags = _FLAGS.unpack_from


class Get(Operation[ValueResult]):
    """GET 0x00, or GAT 0x1d where a ttl is given."""

    __slots__ = ("format_value",)
    name = "get"
    idempotent = True
    gives_value = True
    format_value: bool

    def decode(self, answer: Frame) -> ValueResult:
        """Decode the value by its flags; a quiet miss has value None and rc 0x0d."""
        # One unpacking takes half as long as six attributes of a tuple.
        _, _, datatype, status, _, cas, _, extras, _, value = answer
        if status:
            return ValueResult(self.key, None, 0, 0, _NOT_FOUND_RC)
        if len(extras) < 4:
            raise ProtocolError("get: the answer has no flags", key=self.key)
        if datatype & 2:
            value = body(answer)
        (flags,) = _unpack_flags(extras)
        if self.format_value:
            try:
                value = self.defaults.transcoder.decode_value(value, flags)
            except Exception as error:  # noqa: BLE001 - a transcoder may be anybody's
                not_encoded(error, "decode_value", self.name, self.key, self.connection)
        return ValueResult(self.key, value, cas, flags)

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """See `Operation.missed`."""
        return ValueResult(key, None, 0, 0, rc)


class GetAndTouch(Get):
    """GAT 0x1d: changes the expiry, so it is not idempotent (RFC 0049)."""

    __slots__ = ()
    name = "get_and_touch"
    idempotent = False


def get(
    defaults: Defaults,
    key: Key,
    ttl: int = 0,
    quiet: bool | None = None,
    *,
    no_format: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Get:
    """Fetch a document.

    Args:
        ttl: if not 0, also set the expiry to so many seconds (over 30 days: an absolute time).
        no_format: give the value as bytes, whatever its format.

    Raises NotFoundError, and ValueFormatError if the value does not fit its flags.
    """
    quietly = defaults.quiet if quiet is None else is_quiet(quiet)
    if ttl != 0 and ttl is not None:
        op: Get = GetAndTouch(
            Opcode.GAT,
            defaults,
            key,
            timeout,
            _FLAGS.pack(exact_ttl(ttl)),
            b"",
            0,
            retry_strategy,
            quiet=quietly,
        )
    else:
        op = Get(0, defaults, key, timeout, b"", b"", 0, retry_strategy, quiet=quietly)
    op.format_value = not no_format
    return op


get_multi = Multi(Get, get, TTL, "Fetch many documents.", own_kind=GetAndTouch)
