"""What operations that change a document have in common: the answer is its new CAS."""

from __future__ import annotations

from typing import Final

from couchloop.hot.durable import token_of
from couchloop.hot.frames import Fields
from couchloop.hot.operation import Operation
from couchloop.hot.result import OperationResult

_NOT_FOUND_RC: Final = 0x0D
_new = object.__new__


class Mutation(Operation[OperationResult]):
    """Anything whose answer is a CAS."""

    __slots__ = ()
    reads_fields = True

    def decode(self, answer: Fields) -> OperationResult:
        """Read the CAS, and the mutation token if there is one."""
        _, _, _, status, _, cas, _, extras, _, _ = answer
        if status:
            return OperationResult(self.key, 0, rc=_NOT_FOUND_RC)
        # What its constructor does, without the call.
        result = _new(OperationResult)
        result.key = self.key
        result.cas = cas
        result.token = token_of(self, self.defaults.durable.tokens, extras) if extras else None
        result.rc = 0
        return result
