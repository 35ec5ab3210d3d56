"""Why a program cannot reach its cluster, and what to do about it: `python -m couchloop doctor`.

What both loops need stands here, without I/O: the walk through all steps (`examination`), one way
to one address (`visit`), what both ask of the loop (`requests`), what failures mean (`advice`),
what was found (`report`) and how it is shown (`table`).
"""

from couchloop.doctor.examination import Examination, User
from couchloop.doctor.report import Part, Report, Step, Verdict
from couchloop.doctor.requests import (
    Answer,
    Close,
    Derive,
    Dial,
    Exchange,
    Listener,
    LookUpSrv,
    ReadTls,
    Request,
    Resolve,
    StartTls,
    Together,
    Walk,
)
from couchloop.doctor.table import Table

__all__ = [
    "Answer",
    "Close",
    "Derive",
    "Dial",
    "Examination",
    "Exchange",
    "Listener",
    "LookUpSrv",
    "Part",
    "ReadTls",
    "Report",
    "Request",
    "Resolve",
    "StartTls",
    "Step",
    "Table",
    "Together",
    "User",
    "Verdict",
    "Walk",
]
