"""An examination of the doctor's, for the tests of what serves it on either loop."""

from __future__ import annotations

from couchloop.doctor import Examination, Report, Step, User


class Nobody:
    """A listener that does not listen."""

    def begins(self, name: str, subject: str) -> None:
        """Do nothing."""

    def ends(self, step: Step) -> None:
        """Do nothing."""


def examination(text: str, *, limit: float = 20.0) -> Examination:
    """Give one that has not begun, for the user of embedded clusters."""
    return Examination(
        text,
        User("user", "password"),
        limit=limit,
        report=Report(connection_string="", loop="", version=""),
        listener=Nobody(),
        nonce=lambda: "0123456789abcdef",
        wall=1_800_000_000.0,
    )


def found(examined: Examination, name: str) -> Step:
    """Give the last step of that name."""
    return [step for step in examined.report if step.name == name][-1]
