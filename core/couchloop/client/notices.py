"""What a driver logs of its settings and of the cluster: some of it once in a process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from couchloop.kv.scram import ADVISED_ITERATIONS, KeyDerivation
from couchloop.session.events import LogRecord
from couchloop.settings.options import doubtful_seconds
from couchloop.settings.values import Settings

_said: Final[set[str]] = set()
"""Notices that this process has logged."""

_UNVERIFIED: Final = (
    "{subject}: the servers' certificates are not verified (ssl=no_verify, "
    "tls_verify=none or LCB_SSL_MODE), so anybody on the way can read the password and the data"
)

_FEW: Final = (
    "{subject}: the nodes ask for {count} SCRAM iterations, and {advised} are the "
    "least that RFC 7677 allows: raise scramShaIterations of the cluster"
)
_of_few: Final[set[object]] = set()
"""Salts and seeds of clusters that were said to ask for few iterations."""
_MOST_MARKS: Final = 10_000


def of_settings(settings: Settings) -> Iterator[LogRecord]:
    """Return what is to be said of *settings* when a bucket is opened by them."""
    if settings.tls and not settings.tls_files.verify:
        yield LogRecord("warning", _UNVERIFIED, {"subject": settings.subject})
    for notice in settings.notices:
        if notice.once:
            if notice.text in _said:
                continue
            _said.add(notice.text)
        yield LogRecord(notice.level, "{notice}", {"notice": notice.text})


def of_seconds(name: str, value: object) -> LogRecord | None:
    """Warn, once, of seconds that a program sets as *name* and that may be milliseconds."""
    text = doubtful_seconds(name, value)
    if not text or text in _said:
        return None
    _said.add(text)
    return LogRecord("warning", "{notice}", {"notice": text})


def of_few_iterations(derivation: KeyDerivation, settings: Settings) -> LogRecord | None:
    """Warn, once for each cluster, that it asks for fewer iterations than is advised."""
    if derivation.iterations >= ADVISED_ITERATIONS:
        return None
    # One user has one salt on all nodes of a cluster, whatever seeds led there.
    marks = {derivation.salt, *settings.places}
    record = None
    if _of_few.isdisjoint(marks):
        fields = {"subject": settings.subject, "count": derivation.iterations}
        record = LogRecord("warning", _FEW, {**fields, "advised": ADVISED_ITERATIONS})
    if len(_of_few) > _MOST_MARKS:
        _of_few.clear()
    _of_few.update(marks)
    return record
