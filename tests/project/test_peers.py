"""Official SDKs are installed once, and apart from the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import peers


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache."""
    monkeypatch.setattr(peers, "CACHE", tmp_path / "peers")
    return tmp_path / "peers"


def make(folder: Path, packages: list[str]) -> bool:
    """Make *folder* if need be; tell whether there was need."""
    with peers._made_once(folder, packages, folder / "product") as missing:
        if missing:
            (folder / "product").touch()
    return missing


def test_made_once(cache: Path) -> None:
    """What is there is not made again, until other packages are wanted or it is broken."""
    folder = cache / "x"
    assert [make(folder, ["a==1"]), make(folder, ["a==1"])] == [True, False]
    assert [make(folder, ["a==2"]), make(folder, ["a==2"])] == [True, False]
    (folder / "product").unlink()
    assert [make(folder, ["a==2"]), make(folder, ["a==2"])] == [True, False]


def test_an_interrupted_installation_is_made_again(cache: Path) -> None:
    """What failed half way is not taken for whole."""
    folder = cache / "x"

    def fail() -> None:
        with peers._made_once(folder, ["a==1"], folder / "product"):
            (folder / "product").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert make(folder, ["a==1"])


def test_without_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Node.js is not installed, there is no Node.js SDK, and no error."""
    monkeypatch.setenv("PATH", "")
    assert peers.node_sdk() is None


def test_unknown_peer(capsys: pytest.CaptureFixture[str]) -> None:
    """A peer that does not exist is named, with those that do."""
    with pytest.raises(SystemExit):
        peers.main(["ruby"])
    assert "no peer is called ruby; there are: python, node" in capsys.readouterr().err
