"""The command `couchloop` as a program, on both loops, beside an embedded cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from couchloop.__main__ import make_parser
from tests.interop.served import environment, served
from tests.share import BRIEF

LOOPS: Final = ("twisted", "gevent")
SECRET: Final = "geheim-4711"
LOGIN: Final = ("--username", "user", "--password-env", "THE_PASSWORD")
THE_KEY: Final = """\
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
function_of() { while [ $# -gt 1 ]; do [ "$1" = -F ] && echo $2; shift; done; }
$(function_of $(complete -p couchloop)) couchloop "${!#}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""What bash does at the key that completes: with the words, and which of them it is about."""
COMMANDS: Final = ("doctor", "ping", "get", "put", "import", "export", "embedded")


def couchloop(
    *arguments: str, given: str | bytes = b"", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the program; the password is in nothing that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "couchloop", *arguments],
        input=given.encode() if isinstance(given, str) else given,
        capture_output=True,
        timeout=60,
        check=False,
        env=environment() | {"THE_PASSWORD": SECRET} | variables,
    )
    assert SECRET.encode() not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Serve a cluster; give what leads to its bucket."""
    with served("--user", f"user:{SECRET}") as said:
        yield f"{said['connection_string']}/default"


@pytest.fixture(params=LOOPS[:1] if BRIEF else LOOPS)
def login(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return who connects, and on which loop."""
    return (*LOGIN, "--loop", request.param)


@pytest.mark.timeout(300)
def test_documents(cluster: str, login: tuple[str, ...], tmp_path: Path) -> None:
    """What is put is got, exported and imported again, whatever it is."""
    assert couchloop("put", cluster, "a", '{"n": [1, "é"]}', *login).returncode == 0
    assert couchloop("put", cluster, "b", "--text", *login, given="hello").returncode == 0
    assert couchloop("put", cluster, "c", "--bytes", *login, given=b"\0\xff").returncode == 0
    assert couchloop("put", cluster, "d", "4", "--expiry", "3000000", *login).returncode == 0

    done = couchloop("get", cluster, "a", "b", *login)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == '{\n  "n": [\n    1,\n    "é"\n  ]\n}\nhello\n'
    assert couchloop("get", cluster, "c", "--raw", *login).stdout == b"\0\xff"

    file = tmp_path / "documents.jsonl"
    assert couchloop("export", cluster, str(file), *login).returncode == 0
    assert list(tmp_path.iterdir()) == [file]
    lines = {line["id"]: line for line in map(json.loads, file.read_text().splitlines())}
    assert lines["a"] == {"id": "a", "value": {"n": [1, "é"]}}
    # Longer than the 30 days above which a number is a moment.
    assert abs(lines["d"].pop("expiry") - time.time() - 3_000_000) < 100
    assert lines["c"]["base64"] == "AP8="

    one = couchloop("export", cluster, "-", "--prefix", "b", *login)
    assert [json.loads(line)["id"] for line in one.stdout.splitlines()] == ["b"]
    assert b"wrote 1 documents, 0 failed" in one.stderr

    done = couchloop("import", cluster, "-", *login, given=file.read_bytes())
    assert (done.returncode, done.stdout) == (0, b"")
    assert f"stored {len(lines)} documents, 0 failed".encode() in done.stderr
    again = couchloop("import", cluster, str(file), "--insert", *login)
    assert again.returncode == 1
    assert f"stored 0 documents, {len(lines)} failed".encode() in again.stderr
    assert b"The document exists already" in again.stderr
    assert couchloop("get", cluster, "c", "--raw", *login).stdout == b"\0\xff"


def test_lines_of_ones_own(cluster: str, login: tuple[str, ...]) -> None:
    """A member may be the key; a line that has none ends the import, and is named."""
    lines = '{"_id": "x", "v": 1}\n\n{"_id": "y", "v": 2}\n{"v": 3}\n{"_id": "z"}\n'
    done = couchloop("import", cluster, "-", "--id", "_id", *login, given=lines)
    assert done.returncode == 1
    assert b"line 4: its member '_id' is missing" in done.stderr
    assert b"stored 2 documents, 0 failed" in done.stderr
    assert couchloop("get", cluster, "z", *login).returncode == 3


def test_what_has_expired(cluster: str, login: tuple[str, ...]) -> None:
    """Moments of the past are none to store documents with."""
    lines = '{"id": "gone", "value": 1, "expiry": 1000}\n{"id": "there", "value": 1}\n'
    done = couchloop("import", cluster, "-", *login, given=lines)
    assert (done.returncode, b"stored 1 documents, 0 failed, 1 had expired" in done.stderr) == (
        0,
        True,
    )


def test_a_mistake_after_others(cluster: str, login: tuple[str, ...]) -> None:
    """The lines before it are stored, as is said: those with an expiry, too, and behind a mark."""
    expiry = int(time.time()) + 1000
    lines = (
        f'\ufeff{{"id": "m1", "value": 1}}\r\n{{"id": "m2", "value": 2, "expiry": {expiry}}}\n]\n'
    )
    done = couchloop("import", cluster, "-", *login, given=lines)
    assert done.returncode == 1
    assert b"line 3: it is no JSON: each line is an object of its own" in done.stderr
    assert b"stored 2 documents, 0 failed" in done.stderr
    assert couchloop("get", cluster, "m1", "m2", *login).stdout == b"1\n2\n"


def test_documents_that_cannot_be_stored(cluster: str, login: tuple[str, ...]) -> None:
    """A key that cannot be sent is told, and stops no other: of those with an expiry, too."""
    later = int(time.time()) + 1000
    lines = "".join(
        f'{{"id": "{key}", "value": "\\ud800", "expiry": {expiry}}}\n'
        for expiry in (0, later)
        for key in ("\\ud800", f"sent-{bool(expiry)}", "x" * 300)
    )
    done = couchloop("import", cluster, "-", *login, given=lines)
    assert done.returncode == 1
    assert b"stored 2 documents, 4 failed" in done.stderr
    assert done.stderr.count(b"x: the key") == 2
    found = couchloop("get", cluster, "sent-False", "sent-True", *login, PYTHONIOENCODING="ascii")
    assert (found.returncode, found.stdout) == (0, b'"\\ud800"\n' * 2)


@pytest.mark.parametrize("members", ["", ', "expiry": 4000000000'])
def test_nowhere_to_store(cluster: str, members: str) -> None:
    """An import ends where the collection is missing: it does not wait for it again and again."""
    lines = "".join(f'{{"id": "{number}", "value": 1{members}}}\n' for number in range(1000))
    where = f"{cluster}?operation_timeout=1", "-", "--collection", "nosuch"
    done = couchloop("import", *where, *LOGIN, "--loop", "gevent", given=lines)
    assert done.returncode == 1
    assert done.stderr.startswith(b"the collection does not exist")
    assert b"1000" not in done.stderr


def test_where_an_export_goes(cluster: str, login: tuple[str, ...], tmp_path: Path) -> None:
    """A link stays a link, a pipe a pipe, other files as they are; a folder is refused at once."""
    assert couchloop("put", cluster, "out", '"é"', *login).returncode == 0
    line = '{"id": "out", "value": "é"}\n'.encode()
    file, link, part, pipe = (tmp_path / name for name in ("f", "l", "f.part", "p"))
    file.write_bytes(b"old")
    file.chmod(0o600)
    link.symlink_to(file)
    part.write_bytes(b"another's")
    os.mkfifo(pipe)
    export = ("export", cluster, "--prefix", "out", *login)
    assert couchloop(*export, str(link)).returncode == 0
    assert (link.is_symlink(), file.read_bytes(), part.read_bytes()) == (True, line, b"another's")
    assert file.stat().st_mode & 0o777 == 0o600
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:  # noqa: PTH123
        assert couchloop(*export, str(pipe)).returncode == 0
        assert (pipe.is_fifo(), reader.read()) == (True, line)
    assert couchloop(*export, "-", PYTHONIOENCODING="latin-1").stdout == line
    refused = couchloop("export", cluster, str(tmp_path), *login)
    assert (refused.returncode, b"Is a directory" in refused.stderr) == (2, True)
    assert {each.name for each in tmp_path.iterdir()} == {"f", "l", "f.part", "p"}


def test_standard_input_is_one(cluster: str) -> None:
    """It cannot be the password and documents: whichever is read first would take all."""
    login = ("--username", "user", "--password-file", "-")
    for command in (("put", cluster, "k"), ("put", cluster, "k", "-"), ("import", cluster, "-")):
        done = couchloop(*command, *login, given="secret\n1\n")
        assert (done.returncode, b"cannot be both" in done.stderr) == (2, True)
    assert couchloop("put", cluster, "k", "1", *login, given=f"{SECRET}\n").returncode == 0


def test_a_value_behind_an_option(cluster: str, login: tuple[str, ...]) -> None:
    """The value may stand where one writes it: `put STRING KEY --text VALUE`."""
    assert couchloop("put", cluster, "late", "--text", "hello", *login).returncode == 0
    assert couchloop("get", cluster, "late", *login).stdout == b"hello\n"
    done = couchloop("put", cluster, "late", "--text", "hello", "again", *login)
    assert done.returncode == 2


def test_nobody_reads_on(cluster: str, login: tuple[str, ...]) -> None:
    """A reader that has enough (`| head`) is no error: the status of SIGPIPE, and not a word."""
    assert couchloop("put", cluster, "piped", "1", *login).returncode == 0
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "couchloop", "get", cluster, "piped", "--raw", *login],
            stdout=closed,
            stderr=subprocess.PIPE,
            env=environment() | {"THE_PASSWORD": SECRET},
            timeout=100,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_ping(cluster: str, login: tuple[str, ...]) -> None:
    """Each node of each service has a line; the report for machines is that of RFC 0061."""
    done = couchloop("ping", cluster, *login)
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert {line[0] for line in lines} >= {"kv", "query", "mgmt"}
    assert {line[2] for line in lines} == {"ok"}
    report = json.loads(couchloop("ping", cluster, "--json", *login).stdout)
    assert report["version"] == 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("get", "{}", "nosuch"), 3, "The document does not exist"),
        (
            ("get", "{}?operation_timeout=1", "k", "--collection", "no"),
            1,
            "the collection does not",
        ),
        (("get", "{}", "k", "--scope", "a.b"), 1, "the name of a scope has a dot"),
        (("put", "{}", "k", "no json"), 2, "the value is no JSON"),
        (("put", "{}", "k", "1", "--expiry", "-1"), 2, "give whole seconds, from 0"),
        (("put", "{}", "k" * 300, "1"), 1, "key"),
        (("import", "{}", "/nosuch/file"), 2, "/nosuch/file cannot be read: No such file"),
        (("export", "{}", "/nosuch/file"), 2, "/nosuch/file cannot be written: No such file"),
        (("export", "{}", "-", "--collection", "nosuch"), 1, "the collection does not exist"),
        (("get", "couchbase://127.0.0.1:9/b", "k"), 1, "nothing reachable at 127.0.0.1:9"),
        (("get", "nonsense://h/b", "k"), 1, "Unknown scheme"),
        (("get", "couchbase://h", "k"), 1, "names no bucket"),
    ],
)
def test_mistakes(cluster: str, arguments: tuple[str, ...], status: int, said: str) -> None:
    """Each has its text and its status, and nothing but the text is printed."""
    # One half on each loop: what they say is said in the core.
    login = (*LOGIN, "--loop", LOOPS[len("".join(arguments)) % 2])
    done = couchloop(*(each.format(cluster) for each in arguments), *login)
    assert (done.returncode, done.stdout) == (status, b"")
    assert said in done.stderr.decode()


def test_a_secret_at_the_wrong_place(cluster: str) -> None:
    """Nothing of the command line is repeated that may be a secret."""
    for arguments in (
        (f"couchbase://user:{SECRET}@h",),
        ("get", cluster, "k", "--password-envv", SECRET),
        ("put", cluster, "k", SECRET, "--nosuch", SECRET),
    ):
        assert couchloop(*arguments).returncode == 2


@pytest.mark.parametrize("loop", LOOPS)
def test_interrupted(loop: str) -> None:
    """Ctrl-C ends a command that waits, with the status that shells expect."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "couchloop", "get", "--loop", loop, *LOGIN),
                f"couchbase://127.0.0.1:{port}/b?config_total_timeout=50&config_node_timeout=50",
                "k",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment() | {"THE_PASSWORD": SECRET},
        )
        silent.settimeout(50)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=50)
    assert process.returncode == 130
    assert b"Traceback" not in said


@pytest.mark.parametrize("loop", LOOPS)
def test_interrupted_while_it_reads(cluster: str, loop: str) -> None:
    """Ctrl-C ends an import whose pipe, or terminal, says nothing more."""
    command = ("import", cluster, "-", "--loop", loop, *LOGIN)
    process = subprocess.Popen(
        [sys.executable, "-m", "couchloop", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment() | {"THE_PASSWORD": SECRET},
    )
    assert process.stdin is not None
    # More than a pipe holds: it reads.
    process.stdin.write(b"\n" * 500_000)
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    assert process.wait(50) == 130
    assert process.stderr is not None
    assert process.stdout is not None
    with process.stderr, process.stdout, process.stdin:
        assert b"Traceback" not in process.stderr.read()


def test_embedded() -> None:
    """`couchloop embedded` serves as `python -m couchloop.embedded` does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "couchloop", "embedded", "--nodes", "1"],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    with process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["connection_string"]
        process.terminate()
    assert couchloop("embedded", "--tls-cert", "x").returncode == 2


def test_help() -> None:
    """The help names all commands; each has help of its own."""
    text = make_parser().format_help()
    assert all(f"    {name} " in text for name in COMMANDS)
    done = couchloop("export", "--help")
    assert done.returncode == 0
    assert b"--prefix" in done.stdout
    assert couchloop("--version").stdout.startswith(b"couchloop ")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell: str, tmp_path: Path) -> None:
    """The script that is printed completes commands; the shell takes it, where it is installed."""
    done = couchloop("--print-completion", shell)
    assert done.returncode == 0
    assert all(name.encode() in done.stdout for name in COMMANDS)
    assert os.fsencode(sys.executable) not in done.stdout
    if shutil.which(shell):
        script = tmp_path / "completion"
        script.write_bytes(done.stdout)
        subprocess.run([shell, "-n", str(script)], check=True)
    assert {"bash": b"=_shtab_compgen_files", "zsh": b":_files"}[shell] in done.stdout


def test_completion_works(tmp_path: Path) -> None:
    """Where the script is sourced commands, options, their values and files are completed."""
    script = tmp_path / "completion"
    script.write_bytes(couchloop("--print-completion", "bash").stdout)
    (tmp_path / "lines.jsonl").touch()
    for typed, found in (
        (("e",), ["embedded", "export"]),
        (("get", "STRING", "--loop", ""), ["gevent", "twisted"]),
        (("put", "STRING", "KEY", "--ex"), ["--expiry"]),
        (("import", "STRING", f"{tmp_path}/li"), [f"{tmp_path}/lines.jsonl"]),
        (("ping", "--password-file", f"{tmp_path}/li"), [f"{tmp_path}/lines.jsonl"]),
    ):
        done = subprocess.run(
            [  # noqa: S607 - whichever bash there is
                "bash",
                "-c",
                THE_KEY,
                *("bash", str(script), "couchloop", *typed),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert sorted(done.stdout.split()) == found, (typed, done.stderr)
