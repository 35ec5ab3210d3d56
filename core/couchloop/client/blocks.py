"""What a Bucket, and its handle for threads, has for durability beside its operations."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from couchloop.hot.durable import MutationToken
from couchloop.hot.operation import Defaults
from couchloop.later import Module

if TYPE_CHECKING:
    from couchloop.operations import durable
else:
    # Who makes no such context and changes nothing need not load it.
    durable = Module("couchloop.operations.durable", globals())


class _Target(Protocol):
    _defaults: Defaults


class DurabilityBlocks:
    """`durability()` of a Bucket, or of what stands for one."""

    def durability(
        self, persist_to: int = -1, replicate_to: int = -1, timeout: float = 0.0
    ) -> AbstractContextManager[None]:
        """Return a context in which changes through this Bucket wait for their copies.

        It counts for what is called within, in this task (greenlet, coroutine or thread) and no
        other, in all collections; what a call says itself comes first. It may be used again.

        Args:
            persist_to: on how many disks a change must be, the active copy's among them; -1: all.
            replicate_to: on how many replicas, in memory; -1: all.
            timeout: seconds for that, from when it is stored; 0: as `durability_timeout` says.

        Raises InvalidDurabilityError, TooFewReplicasError (ArgumentErrors), InvalidTimeoutError.
        """
        need = durable.need_of_block(persist_to, replicate_to, timeout)
        return durable.Block(self._durable_target()._defaults.durable, need)  # noqa: SLF001 - ours

    def _mutinfo(self) -> list[MutationToken]:
        """Return the last mutation token of each vbucket that was changed (SDK 2.5)."""
        return self._durable_target()._defaults.durable.tokens.all()  # noqa: SLF001 - ours

    def _durable_target(self) -> _Target:
        """Return the Bucket."""
        raise NotImplementedError
