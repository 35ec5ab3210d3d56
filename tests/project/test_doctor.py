"""The doctor as a program, on both loops: against clusters that are well and others."""

from __future__ import annotations

import datetime as dt
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

from couchloop.__main__ import main
from couchloop.embedded.hosting import ServerCertificate
from couchloop.hot.frames import encode_response
from couchloop.wire import Opcode
from tests.certificates import LONG_AGO, Certificates, listening, talking
from tests.forwarding import NOWHERE
from tests.interop.served import environment, served
from tests.share import BRIEF

LOOPS: Final = ("twisted", "gevent")
SECRET: Final = "geheim-4711"
USER: Final = ("--user", f"user:{SECRET}")
LOGIN: Final = ("--username", "user", "--password-env", "THE_PASSWORD")
HTTP: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run on both loops, in brief on either: what is said is made in the core."""
    if "loop" in metafunc.fixturenames:
        by_name = LOOPS[len(metafunc.function.__name__) % 2]
        metafunc.parametrize("loop", [by_name] if BRIEF else LOOPS)


class Done:
    """What a run of the program has left.

    The password is in nothing that it prints, whatever happens.
    """

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.status = process.returncode
        self.out = process.stdout
        self.err = process.stderr
        assert SECRET not in self.out + self.err
        assert "Traceback" not in self.err

    @property
    def report(self) -> dict[str, Any]:
        """The report for machines."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def step(self, name: str) -> dict[str, Any]:
        """Return the first step of that name that failed, else the last."""
        steps: list[dict[str, Any]]
        steps = [each for each in self.report["steps"] if each["step"] == name]
        return next((each for each in steps if each["verdict"] == "failed"), steps[-1])


def doctor(
    loop: str, *arguments: str, variables: Mapping[str, str] | None = None, entered: str = ""
) -> Done:
    """Run the program to its end."""
    return Done(
        subprocess.run(
            [sys.executable, "-m", "couchloop", "doctor", "--loop", loop, *arguments],
            input=entered,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            env=environment()
            | {"THE_PASSWORD": SECRET, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"}
            | dict(variables or {}),
        )
    )


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return a CA of this test alone."""
    return Certificates(tmp_path)


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """Serve a cluster; give the address of its first node."""
    with served(*USER, *arguments) as line:
        yield line["connection_string"].split(",")[0]


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    """Serve one cluster for all tests to which it need only be well; give its first address."""
    with serving() as address:
        yield address


@contextmanager
def serving_tls(files: ServerCertificate, *arguments: str) -> Iterator[str]:
    """Serve a cluster with TLS; give the address of its first node."""
    options = ["--tls-cert", str(files.certificate), "--tls-key", str(files.key)]
    with served(*USER, *options, *arguments) as line:
        yield line["connection_string_tls"].split(",")[0]


@contextmanager
def naming() -> Iterator[tuple[int, Callable[[str], None]]]:
    """Run a DNS server; give its port, and what tells it of a record (tests/nameserver.py)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.nameserver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said, heard = process.stdin, process.stdout

    def tell(line: str) -> None:
        said.write(f"{line}\n")
        said.flush()
        assert heard.readline() == "done\n"

    try:
        yield int(heard.readline()), tell
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "--json >&-"])
def test_closed_streams(loop: str, closed: str) -> None:
    """Whoever wants the exit status alone may close what the program would print to."""
    program = f"{sys.executable} -m couchloop doctor couchbase://127.0.0.1:1/default --loop {loop}"
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {program} --username user --password secret {closed}"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env=environment(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_no_room_for_the_report(loop: str) -> None:
    """Where the report cannot be written, one line says so."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "couchloop",
                "doctor",
                "--loop",
                loop,
                *LOGIN,
                "couchbase://h:1",
            ],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=50,
            check=False,
            env=environment() | {"THE_PASSWORD": SECRET},
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "the report cannot be written: No space left on device" in line


class TestHealthy:
    """Nothing is wrong."""

    def test_table(self, loop: str, healthy: str) -> None:
        """A healthy cluster: status 0, every node with its times, and nothing on stderr."""
        done = doctor(loop, f"{healthy}/default", *LOGIN)
        assert (done.status, done.err) == (0, "")
        assert "✓ A program can work: 3 data nodes answered." in done.out
        times = r" +[0-9.]+ m?s" * 3
        assert len(re.findall(rf"^  ✓ 127\.0\.0\.1:\d+.*{times}$", done.out, re.MULTILINE)) == 3
        assert "\033" not in done.out

    def test_json(self, loop: str, healthy: str) -> None:
        """For machines the same as one JSON document, and nothing besides."""
        done = doctor(loop, f"{healthy}/default", *LOGIN, "--json")
        assert (done.status, done.err) == (0, "")
        report = done.report
        assert report["works"]
        assert report["finished"]
        assert report["loop"].lower().startswith(loop)
        assert [each["verdict"] for each in report["steps"] if each["step"] == "node"] == [
            "ok",
            "ok",
            "ok",
        ]
        assert done.step("authentication")["details"]["mechanism"] == "SCRAM-SHA512"

    def test_tls(self, loop: str, certificates: Certificates) -> None:
        """With a CA of one's own: protocol version, names, chain and days are told."""
        with serving_tls(certificates.server("127.0.0.1", "db.example.com")) as address:
            done = doctor(loop, f"{address}/default?certpath={certificates.ca}", *LOGIN, "--json")
        assert (done.status, done.err) == (0, "")
        tls = done.step("tls")
        assert tls["verdict"] == "ok"
        assert tls["details"]["version"] in {"TLSv1.2", "TLSv1.3"}
        leaf = tls["details"]["chain"][0]
        assert sorted(leaf["names"]) == ["127.0.0.1", "db.example.com"]
        assert leaf["days_left"] > 30
        assert done.step("node")["details"]["seconds"]["tls"] > 0

    def test_client_certificate(self, loop: str, certificates: Certificates) -> None:
        """A client certificate in the connection string is who connects: no password is needed."""
        files = certificates.server()
        cert, key = certificates.client()
        with serving_tls(files, "--tls-client-ca", certificates.ca) as address:
            options = f"certpath={cert}&keypath={key}&truststorepath={certificates.ca}"
            done = doctor(loop, f"{address}/default?{options}", "--json")
        assert done.status == 0, done.out
        assert done.step("authentication")["text"] == "logged in by the client certificate"

    @pytest.mark.parametrize("source", ["file", "stdin", "argument", "string"])
    def test_passwords(self, loop: str, source: str, tmp_path: Path, healthy: str) -> None:
        """The password may come from a file, from standard input, or where others can see it."""
        path = tmp_path / "password"
        path.write_text(f"{SECRET}\n")
        text = f"{healthy}/default"
        arguments = {
            "file": (text, "--username", "user", "--password-file", str(path)),
            "stdin": (text, "--username", "user", "--password-file", "-"),
            "argument": (text, "--username", "user", "--password", SECRET),
            "string": (f"{text}?username=user&password={SECRET}",),
        }[source]
        done = doctor(loop, *arguments, entered=f"{SECRET}\n")
        assert done.status == 0, done.out


class TestBroken:
    """One thing is wrong, and the step that meets it says so."""

    def check(self, done: Done, step: str, *says: str, status: int = 1) -> None:
        """See that *step* failed and says all that."""
        assert done.status == status, done.out
        assert done.err == ""
        failed = done.step(step)
        assert failed["verdict"] == "failed", failed
        assert failed["cause"]
        assert failed["cure"]
        for each in says:
            assert each in f"{failed['text']} {failed['cause']} {failed['cure']}"

    def test_wrong_password(self, loop: str, healthy: str) -> None:
        """A wrong password."""
        done = doctor(
            loop, f"{healthy}/default", *LOGIN, "--json", variables={"THE_PASSWORD": "wrong"}
        )
        self.check(done, "authentication", "refused user 'user'")

    def test_no_such_bucket(self, loop: str, healthy: str) -> None:
        """A bucket that does not exist."""
        done = doctor(loop, f"{healthy}/nosuch", *LOGIN, "--json")
        self.check(done, "bucket", "'nosuch'")

    def test_refused(self, loop: str) -> None:
        """A port on which nothing listens."""
        done = doctor(loop, f"couchbase://{NOWHERE}:11210/default", *LOGIN, "--json")
        self.check(done, "tcp", "refused", "nothing listens on port 11210")

    def test_unknown_host(self, loop: str) -> None:
        """A name that does not exist."""
        done = doctor(loop, "couchbase://nowhere.invalid/default?dnssrv=off", *LOGIN, "--json")
        self.check(done, "addresses", "nowhere.invalid")

    def test_wrong_host(self, loop: str, certificates: Certificates) -> None:
        """A certificate for another host: its names are told."""
        with serving_tls(certificates.server("db.example.com"), "--nodes", "1") as address:
            done = doctor(loop, f"{address}/default?certpath={certificates.ca}", *LOGIN, "--json")
        self.check(done, "tls", "it is for db.example.com")

    def test_unknown_ca(self, loop: str, certificates: Certificates) -> None:
        """A certificate of a CA that is not trusted."""
        files = certificates.server(authority=trustme.CA(organization_name="Other"))
        with serving_tls(files, "--nodes", "1") as address:
            done = doctor(loop, f"{address}/default?certpath={certificates.ca}", *LOGIN, "--json")
        self.check(done, "tls", "its CA", "unknown here", "certpath=")

    def test_expired(self, loop: str, certificates: Certificates) -> None:
        """A certificate that has expired."""
        with serving_tls(certificates.server(expires=LONG_AGO), "--nodes", "1") as address:
            done = doctor(loop, f"{address}/default?certpath={certificates.ca}", *LOGIN, "--json")
        self.check(done, "tls", "has expired", "Renew")

    def test_expires_soon(self, loop: str, certificates: Certificates) -> None:
        """A certificate that ends within days is a warning: a program can work, status 0."""
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=5, hours=12)
        with serving_tls(certificates.server(expires=soon), "--nodes", "1") as address:
            done = doctor(loop, f"{address}/default?certpath={certificates.ca}", *LOGIN, "--json")
        assert done.status == 0, done.out
        assert done.step("tls")["verdict"] == "warning"
        assert done.step("tls")["details"]["chain"][0]["days_left"] == 5
        assert "expires in 5 days" in done.step("tls")["cause"]

    def test_no_file(self, loop: str) -> None:
        """A file of certificates that is not there."""
        done = doctor(loop, "couchbases://127.0.0.1/default?certpath=/nowhere", *LOGIN, "--json")
        self.check(done, "certificates", "'/nowhere'", "No such file")

    @pytest.mark.parametrize(("scheme", "step"), [("couchbase", "hello"), ("couchbases", "tls")])
    def test_silent(self, loop: str, scheme: str, step: str) -> None:
        """A peer that accepts and says nothing is given up in time, in TLS too."""

        def hear(accepted: socket.socket) -> None:
            while accepted.recv(4096):
                pass

        with listening(hear) as port:
            done = doctor(
                loop,
                f"{scheme}://127.0.0.1:{port}/default",
                *(*LOGIN, "--json", "--timeout", "0.5"),
            )
        self.check(done, step, "no answer in time", "within 0.5 s")

    @pytest.mark.parametrize(("scheme", "step"), [("couchbase", "hello"), ("couchbases", "tls")])
    def test_trickling(self, loop: str, scheme: str, step: str) -> None:
        """A peer that sends a byte now and then is given up in time as well."""
        answer = encode_response(Opcode.HELLO, value=b"\0" * 2000)
        if scheme == "couchbases":
            answer = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\0" * 2000

        def trickle(accepted: socket.socket) -> None:
            accepted.settimeout(0.05)
            for byte in answer:
                accepted.sendall(bytes((byte,)))
                wait_for_silence(accepted)

        with listening(trickle) as port:
            done = doctor(
                loop,
                f"{scheme}://127.0.0.1:{port}/default",
                *(*LOGIN, "--json", "--timeout", "0.5"),
            )
        self.check(done, step, "no answer in time")

    @pytest.mark.parametrize(
        ("garbage", "scheme", "step", "says"),
        [
            (HTTP, "couchbase", "hello", "HTTP"),
            (b"\0" * 100, "couchbase", "hello", "illegal first byte"),
            (HTTP, "couchbases", "tls", "does not speak TLS"),
        ],
    )
    def test_garbage(self, loop: str, garbage: bytes, scheme: str, step: str, says: str) -> None:
        """A peer that speaks another protocol is told by what it says."""
        with talking(garbage) as port:
            done = doctor(loop, f"{scheme}://127.0.0.1:{port}/default", *LOGIN, "--json")
        self.check(done, step)
        assert says.lower() in done.step(step)["cause"].lower()

    def test_nodes_out_of_reach(self, loop: str) -> None:
        """A seed that answers, and nodes that cannot be reached by the addresses they tell."""
        with serving("--advertise", NOWHERE) as address:
            text = address.replace(NOWHERE, "127.0.0.1") + "/default"
            done = doctor(loop, text, *LOGIN, "--json")
            table = doctor(loop, text, *LOGIN)
        self.check(done, "node", "TCP: refused")
        assert done.step("configuration")["verdict"] == "ok"
        assert table.status == 1
        assert "no data node can be used from here" in " ".join(table.out.split())

    @pytest.mark.parametrize("scheme", ["couchbase", "couchbase+dnssrv"])
    def test_srv(self, loop: str, scheme: str, healthy: str) -> None:
        """A DNS server of one's own is asked for the SRV record, which names the nodes."""
        name = "_couchbase._tcp.db.test"
        node = healthy.removeprefix("couchbase://")
        with naming() as (port, tell):
            text = f"{scheme}://db.test/default"
            asking = ("--nameserver", f"127.0.0.1:{port}", *LOGIN, "--json")
            tell(f"{name} {node}")
            done = doctor(loop, text, *asking)
            assert done.status == 0, done.out
            assert done.step("srv")["details"]["found"] == [node]
            tell(name)
            done = doctor(loop, text, *asking)
            verdict = "skipped" if scheme == "couchbase" else "failed"
            assert (done.status, done.step("srv")["verdict"]) == (1, verdict)
            tell(f"{name} silent")
            done = doctor(loop, text, *asking, "--timeout", "0.5")
            assert (done.status, done.step("srv")["verdict"]) == (1, verdict)

    def test_a_look_up_that_hangs(self, loop: str) -> None:
        """A look-up that nothing can end is given up, and does not keep the program from ending."""
        program = (
            "import _socket, sys, time\n"
            "_socket.getaddrinfo = lambda *_: time.sleep(3600)\n"
            "import socket\n"
            "from couchloop.__main__ import main\n"
            "sys.exit(main(sys.argv[1:]))"
        )
        done = Done(
            subprocess.run(
                [
                    *(sys.executable, "-c", program, "doctor", "--loop", loop, *LOGIN, "--json"),
                    *("couchbase://db.test/default?dnssrv=off", "--timeout", "0.5"),
                ],
                capture_output=True,
                text=True,
                timeout=50,
                check=False,
                env=environment() | {"THE_PASSWORD": SECRET},
            )
        )
        self.check(done, "addresses", "no answer within 0.5 s")

    def test_interrupted(self, loop: str) -> None:
        """Ctrl-C ends the program at once, with what was found so far, and status 130."""
        hello = threading.Event()

        def hear(connection: socket.socket) -> None:
            while connection.recv(4096):
                hello.set()

        with listening(hear) as port:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "couchloop", "doctor", "--loop", loop, *LOGIN),
                    *(f"couchbase://127.0.0.1:{port}/default", "--timeout", "3600"),
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment() | {"THE_PASSWORD": SECRET, "PYTHONIOENCODING": "utf-8"},
            )
            try:
                assert hello.wait(30)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=30)
            finally:
                process.kill()
        assert (process.returncode, err) == (130, "")
        assert "✓ TCP" in out
        assert "interrupted" in out

    def test_nobody_reads(self, loop: str) -> None:
        """Output that nobody reads any more is no reason for a traceback."""
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "couchloop", "doctor", "--loop", loop),
                    f"couchbase://{NOWHERE}/default",
                ],
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                timeout=50,
                check=False,
                env=environment(),
            )
        assert (done.returncode, done.stderr) == (1, "")


def wait_for_silence(accepted: socket.socket) -> None:
    """Read until the peer has said nothing for a moment; raise OSError when it has gone."""
    try:
        if not accepted.recv(4096):
            raise ConnectionResetError
    except TimeoutError:
        return


def on_terminal(*arguments: str, **variables: str) -> str:
    """Run the program on a terminal, where nothing listens; give all that the terminal is sent."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "wb") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "couchloop", "doctor"),
                *(f"couchbase://{NOWHERE}:11210/default", *LOGIN, *arguments),
            ],
            stdout=out,
            env=environment() | {"THE_PASSWORD": SECRET, "TERM": "xterm"} | variables,
        )
    sent = b""
    # Linux ends the reading with EIO when the last writer has gone.
    with suppress(OSError), os.fdopen(ours, "rb", buffering=0) as screen:
        while piece := screen.read(4096):
            sent += piece
    assert process.wait(30) == 1
    return sent.decode()


class TestTerminal:
    """What a terminal sees."""

    def test_colours_and_progress(self) -> None:
        """A terminal gets colours, and a line that says what is being done and then goes."""
        seen = on_terminal(PYTHONIOENCODING="utf-8")
        assert "\033[32m✓\033[0m string" in seen
        assert "\033[31m✗\033[0m TCP" in seen
        assert f"\033[2m  … TCP {NOWHERE}:11210\033[0m\r\033[2K" in seen

    @pytest.mark.parametrize("way", ["NO_COLOR", "--no-color"])
    def test_no_colours(self, way: str) -> None:
        """Without colours if the user wants none (https://no-color.org)."""
        arguments = [way] if way.startswith("--") else []
        variables = {} if way.startswith("--") else {way: "1"}
        seen = on_terminal(*arguments, **variables, PYTHONIOENCODING="utf-8")
        assert "  ✓ string" in seen
        assert not re.search("\033\\[[0-9]*m", seen)

    def test_dumb(self) -> None:
        """A terminal that can do nothing gets plain lines, of ASCII if it has no more."""
        seen = on_terminal(TERM="dumb", PYTHONIOENCODING="ascii")
        assert "  + string" in seen
        assert "\033" not in seen
        assert seen.isascii()

    def test_prompt(self) -> None:
        """The password is asked for, and what is entered does not show."""
        ours, theirs = pty.openpty()
        with serving("--nodes", "1") as address, os.fdopen(ours, "r+b", buffering=0) as keyboard:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "couchloop", "doctor", "--json"),
                    *(f"{address}/default", "--username", "user"),
                ],
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=environment(),
            )
            os.close(theirs)
            try:
                assert process.stderr is not None
                prompt = process.stderr.read(len("Password of user: "))
                assert prompt == b"Password of user: "
                keyboard.write(f"{SECRET}\n".encode())
                out, err = process.communicate(timeout=30)
            finally:
                process.kill()
        assert process.returncode == 0, err
        assert json.loads(out)["works"]
        assert SECRET.encode() not in out + err

    def test_json(self) -> None:
        """JSON is JSON on a terminal too."""
        assert json.loads(on_terminal("--json", PYTHONIOENCODING="utf-8"))["works"] is False


class TestUsage:
    """The command line."""

    def run(self, *arguments: str) -> int:
        """Run couchloop with these arguments, in this process; give its exit status."""
        try:
            return main(arguments)
        except SystemExit as end:
            return int(end.code or 0)

    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without arguments the program shows what it can do."""
        assert self.run() == 0
        assert "doctor" in capsys.readouterr().out
        assert self.run("doctor", "--help") == 0
        assert "Exit status" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "arguments",
        [
            ("nonsense",),
            (f"couchbase://user:{SECRET}@h",),
            ("doctor",),
            ("doctor", "couchbase://h", "--timeout", "0"),
            ("doctor", "couchbase://h", "--timeout", "soon"),
            ("doctor", "couchbase://h", "--loop", "tornado"),
            ("doctor", "couchbase://h", "--nameserver", "ns.example.com"),
            ("doctor", "couchbase://h", "--pasword", SECRET),
            ("doctor", "couchbase://h", f"--pasword={SECRET}"),
            ("doctor", "couchbase://h", SECRET),
            ("doctor", "couchbase://h", "--username", "u"),
            ("doctor", "couchbase://h", "--password-prompt"),
            ("doctor", "couchbase://h", "--username", "u", "--password-env", "NO_SUCH_VARIABLE"),
            ("doctor", "couchbase://h", "--username", "u", "--password-file", "/nowhere/file"),
            ("doctor", "couchbase://h", "--password-env", "A", "--password", SECRET),
        ],
    )
    def test_wrong_usage(
        self, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What makes no sense ends with status 2 and one sentence, which repeats no secret."""
        assert self.run(*arguments) == 2
        out, err = capsys.readouterr()
        assert not out
        assert err
        assert SECRET not in err
