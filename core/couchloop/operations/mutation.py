"""What operations that change a document have in common: the answer is its new CAS."""

from __future__ import annotations

from typing import Final

from couchloop.hot.durable import token_of
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Operation
from couchloop.hot.result import OperationResult

_NOT_FOUND_RC: Final = 0x0D


class Mutation(Operation[OperationResult]):
    """Anything whose answer is a CAS."""

    __slots__ = ()

    def decode(self, answer: Frame) -> OperationResult:
        """Read the CAS, and the mutation token if there is one."""
        if answer.status:
            return OperationResult(self.key, 0, rc=_NOT_FOUND_RC)
        if answer.extras:
            return OperationResult(
                self.key, answer.cas, token_of(self, self.defaults.durable.tokens, answer)
            )
        return OperationResult(self.key, answer.cas)
