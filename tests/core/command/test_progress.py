"""How far a command is."""

from __future__ import annotations

import io

import pytest

from couchloop.command.progress import Progress


class Terminal(io.StringIO):
    """A terminal, or a file."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._is_terminal


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar is drawn anew five times a second, and leaves the line clean."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    out, clock, share = Terminal(is_terminal=True), Clock(), 0.0
    with Progress("import", out, clock, lambda: share) as progress:
        progress(1)
        assert out.getvalue() == ""
        clock.now, share = 102.0, 0.5
        progress(20_000, 3)
        drawn = out.getvalue()
        assert drawn == (
            "\r\033[2Kimport: [############............]  50% 20,000 documents, 3 failed, "
            "10,000 a second"
        )
        clock.now = 102.1
        progress(20_001, 3)
        assert out.getvalue() == drawn
        clock.now, share = 103.0, 7.0
        progress(1)
        assert "] 100% 1 documents" in out.getvalue()
    assert out.getvalue().endswith("\r\033[2K")


def test_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never takes a second line."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    out, clock = Terminal(is_terminal=True), Clock()
    progress = Progress("export", out, clock)
    clock.now = 101.0
    progress(1234)
    assert out.getvalue() == "\r\033[2Kexport: 1,234 docum"


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_lines(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    """Elsewhere there is a line every five seconds, without a code of a terminal's."""
    monkeypatch.setenv("TERM", term)
    out, clock = Terminal(is_terminal=term == "dumb"), Clock()
    with Progress("export", out, clock) as progress:
        for _ in range(11):
            clock.now += 1.0
            progress(500)
    assert out.getvalue() == (
        "export: 500 documents, 100 a second\nexport: 500 documents, 50 a second\n"
    )


def test_nothing_to_show() -> None:
    """A command that ends at once shows nothing."""
    out = Terminal(is_terminal=True)
    with Progress("import", out, Clock()):
        pass
    assert out.getvalue() == ""
