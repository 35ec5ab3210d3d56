"""Who connects, as a command line says it."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest

from couchloop.command.access import Parser, UsageError, add_connection, read_user, seconds


def options(*arguments: str) -> argparse.Namespace:
    """Read a command line."""
    parser = Parser(prog="x")
    add_connection(parser)
    found: argparse.Namespace = parser.parse_args(["couchbase://h/b", *arguments])
    return found


def test_ways(tmp_path: Path) -> None:
    """A password comes from a file, standard input, the environment, or the line itself."""
    file = tmp_path / "secret"
    file.write_text("s3cr3t\r\nmore")
    stdin = io.StringIO("piped\n")
    for arguments, wanted in (
        (("--password-file", str(file)), "s3cr3t"),
        (("--password-file", "-"), "piped"),
        (("--password-env", "P"), "of env"),
        (("--password", "plain"), "plain"),
    ):
        user = read_user(options("--username", "u", *arguments), {"P": "of env"}, stdin)
        assert user.username == "u"
        assert not isinstance(user.password, str | None)
        assert user.password.text() == wanted
        assert wanted not in repr(user)


def test_nobody() -> None:
    """Without a name nobody is asked for a password."""
    assert read_user(options(), {}, io.StringIO()) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--password-file", "/nosuch"), "cannot be read from /nosuch: No such file"),
        (("--password-env", "NOSUCH"), "no environment variable NOSUCH"),
        (("--username", "u"), "no terminal to ask"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], said: str) -> None:
    """What is missing is named."""
    with pytest.raises(UsageError, match=said):
        read_user(options(*arguments), {}, io.StringIO())


def test_unknown_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """Of an unknown argument only its name is repeated, and of others nothing."""
    with pytest.raises(SystemExit):
        options("--passwd=s3cr3t", "s3cr3t")
    said = capsys.readouterr().err
    assert "unknown arguments: --passwd" in said
    assert "s3cr3t" not in said


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "3601", "x", ""])
def test_seconds(text: str) -> None:
    """A time is more than nothing, and at most an hour."""
    with pytest.raises(argparse.ArgumentTypeError):
        seconds(text)
    assert seconds("2.5") == 2.5
