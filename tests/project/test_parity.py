"""The lists of names in docs/api-parity.md are what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import parity
from tools.parity_names import GROUPS, Group

ROOT = Path(__file__).resolve().parent.parent.parent
BUCKET = ("gcouchbase.bucket.Bucket",)


def only(line: str, where: tuple[str, ...] = BUCKET) -> parity.Name:
    """Return what a table of one line says."""
    (name,) = parity.names_of(Group("2.5", "A test", where, line))
    return name


def test_the_page_is_up_to_date() -> None:
    """The page is exactly what the command writes."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "parity.py"), "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_a_stale_page_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that somebody has changed is named; the command mends it, and keeps what is above."""
    path = tmp_path / "page.md"
    path.write_text(f"# Above\n\n{parity.BEGIN}\nold\n", encoding="utf-8")
    monkeypatch.setattr(parity, "PAGE", path)
    assert parity.main(["--check"]) == 1
    assert "make parity" in capsys.readouterr().err
    assert parity.main([]) == 0
    assert parity.main(["--check"]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Above\n")
    assert "| `upsert(" in text


def test_states() -> None:
    """A name is the same, better, partly there, later, or left out."""
    assert only("remove(key, cas)")[2:] == ("same", "")
    assert only("remove(key) | nicer")[2:] == ("better", "nicer")
    assert only("remove(key, nosuch) | | it comes")[2:] == ("partly", "without `nosuch`: it comes")
    assert only("nosuch | | it comes")[2:] == ("later", "it comes")
    assert only("nosuch | | out: nobody needs it")[2:] == ("left out", "nobody needs it")
    assert only("Item | | | couchloop.items.Item").state == "same"


def test_what_comes_later_is_not_there() -> None:
    """A name that only says that it comes later does not count as there."""
    assert only("encrypt_fields | | soon").state == "later"
    assert only("tracing_threshold_view").state == "same"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nosuch", "nothing says why"),
        ("encrypt_fields", "nothing says why"),
        ("remove(key, nosuch)", "without `nosuch`"),
        ("re move", "what is"),
    ],
)
def test_no_reason(line: str, said: str) -> None:
    """What is not there without a reason stops the command."""
    with pytest.raises(parity.ParityError, match=said):
        only(line)


def test_both_loops_are_looked_at() -> None:
    """The names of a Bucket are looked for on both loops."""
    for group in GROUPS:
        if group.title.startswith("Bucket: operations"):
            assert {place.partition(".")[0] for place in group.where} == {
                "gcouchbase",
                "txcouchbase",
            }
