"""Why a program cannot reach its cluster, and what to do about it: `python -m couchloop doctor`.

What both loops need stands here, without I/O: all steps in their order (`diagnosis`), a probe of
one address (`probe`), what both ask of the loop (`requests`) and what serves that there
(`serving`), what failures mean (`advice`), what was found (`report`) and how it is shown (`table`).
"""

from couchloop.doctor.asked import User
from couchloop.doctor.diagnosis import Diagnosis
from couchloop.doctor.report import Part, Report, Step, Verdict
from couchloop.doctor.requests import (
    Answer,
    Close,
    Derive,
    Dial,
    Exchange,
    Gather,
    Listener,
    LookUpSrv,
    ReadTls,
    Request,
    Resolve,
    StartTls,
    Task,
)
from couchloop.doctor.serving import Service
from couchloop.doctor.table import Table

__all__ = [
    "Answer",
    "Close",
    "Derive",
    "Diagnosis",
    "Dial",
    "Exchange",
    "Gather",
    "Listener",
    "LookUpSrv",
    "Part",
    "ReadTls",
    "Report",
    "Request",
    "Resolve",
    "Service",
    "StartTls",
    "Step",
    "Table",
    "Task",
    "User",
    "Verdict",
]
