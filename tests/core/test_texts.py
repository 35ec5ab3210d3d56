"""Texts of errors: equal failures have one text, whatever the key; causes are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, ManualClock, User
from couchloop.exceptions import (
    AmbiguousTimeoutError,
    AuthError,
    CouchbaseError,
    NodeUnreachableError,
    NotAuthorizedError,
    OverloadedError,
    SaslMechanismError,
    ServerError,
    UnambiguousTimeoutError,
    UnknownHostError,
    ValueFormatError,
)
from couchloop.hot.operation import Operation
from couchloop.http.exchange import Exchange
from couchloop.operations import document as ops
from couchloop.retries import FailFast
from couchloop.safety.printable import first_in_quotes, in_quotes, printable, shown, sound, words_of
from couchloop.settings.values import Address, Login, Settings
from couchloop.transcoder import FMT_BYTES, FMT_JSON, FMT_PICKLE, FMT_UTF8, Transcoder
from couchloop.transport.connecting import connect_error
from couchloop.wire import Opcode, Status
from tests.core.session.test_bad_input import ONE_NODE
from tests.core.world import World
from tests.liars import LyingBytes, LyingText

COUNT = 40
PASSING = {0x00, 0x07, 0x08, 0x0D, 0x1F, 0x20, 0x25, 0x88, 0xCD}
"""Statuses that are no failure of one operation: it is sent again, or the connection replaced."""


def one_node(**settings: Any) -> World:
    """Return a world whose keys are all on one node: another node is another text."""
    return World(EmbeddedCluster(1, replicas=0, clock=ManualClock()), **settings)


def error_of(op: Operation[Any]) -> CouchbaseError:
    """Return what an operation has failed with."""
    with pytest.raises(CouchbaseError) as caught:
        op.result()
    return caught.value


def answered(w: World) -> Operation[Any]:
    """Run an upsert until nothing moves."""
    op: Operation[Any] = w.submit(ops.upsert(w.defaults, "k", 1))
    w.settle()
    return op


def one_text(errors: list[CouchbaseError], kind: type[CouchbaseError]) -> str:
    """Check that equal failures have one text, and that details() tells the keys; give the text."""
    assert len(errors) == COUNT
    assert {type(error) for error in errors} == {kind}
    (text,) = {str(error) for error in errors}
    assert len({repr(error) for error in errors}) == 1
    assert all(str(error.key) in error.details() for error in errors)
    assert len({error.details() for error in errors}) == COUNT
    return text


def upserts(w: World, *, delay: float = 0.0, **arguments: Any) -> list[Operation[Any]]:
    """Issue upserts of different keys and values, *delay* seconds apart."""
    issued = []
    for number in range(COUNT):
        op = ops.upsert(w.defaults, f"user:{number * 7919}", number, **arguments)
        issued.append(w.submit(op))
        w.advance(delay)
    return issued


@pytest.mark.parametrize("status", [s for s in Status if s not in PASSING])
def test_every_status(status: Status) -> None:
    """Whatever a node answers, with numbers and the key in its words: one text for all keys."""
    w = one_node(retry_strategy=FailFast())
    w.open()
    w.advance(1.0)
    errors = []
    for number in range(COUNT):
        key = f"user:{number}"
        words = f'{{"error": {{"context": "{key} vb:{number}", "ref": "r-{number}"}}}}'
        fault = w.cluster.inject(status=status, key=key, value=words.encode(), count=1)
        op = w.submit(ops.upsert(w.defaults, key, number))
        w.advance(0.3)
        w.cluster.injections.clear()
        assert fault.hits
        if op.error is not None:
            errors.append(error_of(op))
    assert errors
    one_text(errors, type(errors[0]))


@pytest.mark.parametrize("own", [False, True], ids=["default", "own"])
def test_timeouts(own: bool) -> None:
    """Timeouts are one text, also where each call has a time of its own."""
    w = one_node()
    w.open()
    w.cluster.inject(opcode=Opcode.SET, silent=True)
    issued = [
        w.submit(
            ops.upsert(w.defaults, f"k{n}", n, timeout=0.5 + n / 7 if own else None),
        )
        for n in range(COUNT)
    ]
    w.advance(8.0)
    errors = [error_of(op) for op in issued]
    assert len({str(e) for e in errors if "not connected" not in str(e)}) == 1
    assert all(error.context.timeout for error in errors if error.context)
    (first, *_) = errors
    assert type(first) is AmbiguousTimeoutError
    assert str(first).startswith("the server did not answer in time (upsert, bucket 'default'")


def test_overloaded() -> None:
    """How much waits is an attribute of OverloadedError, not its text."""
    w = one_node(max_queued_operations=10)
    w.open()
    w.session.paused(next(iter(w.links)))
    issued = upserts(w)
    errors = [error_of(op) for op in issued if op.error is not None]
    assert len(errors) == COUNT - 10
    assert {type(error) for error in errors} == {OverloadedError}
    assert len({str(error) for error in errors}) == 1
    assert errors[0].objextra == (10, sum(len(op.raw) + len(op.value) for op in issued[:10]))


BAD_CALLS: dict[str, Callable[[World, int], object]] = {
    "timeout": lambda w, n: ops.get(w.defaults, f"k{n}", timeout=-n),
    "bucket timeout": lambda w, n: ops.get(w.defaults, f"k{n}", timeout=-n / 7),
    "cas": lambda w, n: ops.upsert(w.defaults, f"k{n}", 1, cas=-1 - n),
    "ttl": lambda w, n: ops.upsert(w.defaults, f"k{n}", 1, ttl=-1 - n),
    "delta": lambda w, n: ops.counter(w.defaults, f"k{n}", 2**70 + n),
    "initial": lambda w, n: ops.counter(w.defaults, f"k{n}", 1, initial=-1 - n),
    "long key": lambda w, n: ops.get(w.defaults, "k" * (251 + n)),
    "no text": lambda w, n: ops.get(w.defaults, f"{'k' * n}\ud800"),
    "json": lambda w, n: ops.upsert(w.defaults, f"k{n}", {str(n): {n}}),
    "infinite": lambda w, n: ops.upsert(w.defaults, f"k{n}", [n, float("inf")]),
    "text": lambda w, n: ops.upsert(w.defaults, f"k{n}", n, format=FMT_UTF8),
    "surrogate": lambda w, n: ops.upsert(w.defaults, f"k{n}", f"{n}\ud800", format=FMT_UTF8),
    "bytes": lambda w, n: ops.upsert(w.defaults, f"k{n}", n, format=FMT_BYTES),
    "pickle": lambda w, n: ops.upsert(w.defaults, f"k{n}", n, format=FMT_PICKLE),
    "format": lambda w, n: ops.upsert(w.defaults, f"k{n}", n, format=n + 7),
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_bad_arguments(call: str) -> None:
    """An argument that is refused is an attribute: the text says what is allowed."""
    w = World()
    texts = set()
    for number in range(COUNT):
        with pytest.raises(CouchbaseError) as caught:
            BAD_CALLS[call](w, number)
        texts.add(str(caught.value))
        if isinstance(caught.value, ValueFormatError):
            assert caught.value.key is not None
            assert caught.value.context is not None
            assert caught.value.context.operation is not None
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("flags", "body"),
    [
        (0x02000000, lambda n: b'{"a": ' + b" " * n + b"}"),
        (0x02000000, lambda n: b'"' + b"x" * n + b'\xff"'),
        (0x02000000, lambda n: b"[" * (100_000 + n)),
        (0x04000004, lambda n: b"x" * n + b"\xff"),
        (0x01000001, lambda n: b"x" * n),
    ],
    ids=["JSON", "UTF-8 in JSON", "depth", "UTF-8", "pickle"],
)
def test_values_that_cannot_be_read(flags: int, body: Callable[[int], bytes]) -> None:
    """Where in a document the fault is differs between documents, and is in no text."""
    w = World()
    texts = set()
    for number in range(COUNT):
        with pytest.raises(CouchbaseError, match=r"FMT_|Transcoder") as caught:
            w.defaults.transcoder.decode_value(body(number), flags)
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_value_format_errors_tell_where() -> None:
    """A value that cannot be read: which key, of which bucket, on which node, for all alike."""

    class Careless(Transcoder):
        def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002
            return b"{" + b" " * int(str(value)), FMT_JSON

    w = one_node()
    w.open()
    own, w.defaults.transcoder = w.defaults.transcoder, Careless()
    for number in range(COUNT):
        w.do(ops.upsert(w.defaults, f"user:{number}", number))
    w.defaults.transcoder = own
    errors = []
    for number in range(COUNT):
        op = w.submit(ops.get(w.defaults, f"user:{number}"))
        w.settle()
        errors.append(error_of(op))
    text = one_text(errors, ValueFormatError)
    assert text.endswith("(get, bucket 'default', node 127.0.0.1:10000)")
    assert "FMT_BYTES" in text


class TestKnownCauses:
    """A timeout tells what is known of the node that it waited for."""

    @staticmethod
    def late(w: World) -> UnambiguousTimeoutError:
        """Return the error of an operation that waits in vain."""
        w.cluster.drop_connections()
        w.advance(1.0)
        op = w.submit(ops.upsert(w.defaults, "key", 1))
        w.advance(3.0)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert "SOCKET_NOT_AVAILABLE" not in str(error)
        assert "SOCKET_NOT_AVAILABLE" in error.details()
        return error

    def test_rotated_password(self) -> None:
        """After the password has changed: who was refused, and what to check."""
        w = one_node()
        w.open()
        w.cluster.users.put(User("user", "renewed"))
        text = str(self.late(w))
        assert text.startswith("the node was not connected in time: the server refused user 'u")
        assert "check the user name and the password" in text

    def test_deleted_bucket(self) -> None:
        """After the bucket was deleted: that there is none."""
        w = one_node()
        w.open()
        w.cluster.inject(opcode=Opcode.SELECT_BUCKET, status=Status.EACCESS)
        assert "there is no bucket 'default'" in str(self.late(w))

    def test_address_that_cannot_be_reached(self) -> None:
        """An address in a container: which, and which network to try."""
        w = one_node()
        w.cluster.nodes[0].alternates["external"] = ("127.0.0.1", {"kv": 10000})  # type: ignore[assignment]
        w.open()
        w.unreachable.update(w.nodes)
        assert "nothing at 127.0.0.1:10000" in str(self.late(w))

    def test_address_that_does_not_answer(self) -> None:
        """A node that never accepted: that it did not, before anything is known."""
        w = World(config_node_timeout=4.0)
        w.open()
        gone = Address("127.0.0.1", 10001)
        key = w.keys_of(gone)[0]
        w.unanswering.add(gone)
        w.lose(w.link_to(gone))
        w.advance(1.0)
        w.session.table.endpoints[gone].last_error = None
        op = w.submit(ops.upsert(w.defaults, key, 1, timeout=1.0))
        w.advance(1.5)
        text = str(error_of(op))
        assert text.startswith("the node was not connected in time: the node has not accepted so")
        assert "firewall" in text
        assert "couchloop doctor" in text
        assert str(gone) in text

    def test_overloaded(self) -> None:
        """So does OverloadedError."""
        w = one_node(max_queued_operations=1)
        w.open()
        w.unreachable.update(w.nodes)
        w.cluster.drop_connections()
        w.advance(1.0)
        w.submit(ops.upsert(w.defaults, "a", 1))
        text = str(error_of(w.submit(ops.upsert(w.defaults, "b", 1))))
        assert "nothing was sent: the node was not connected: nothing at 127.0.0.1:10000" in text


HOSTILE = "\x1b[31m\r\nforged: line\u202e" + "x" * 100_000
"""What turns a terminal red, forges a line of a log, turns text around, and goes on for ever."""


class TestTextFromPeers:
    """Whatever a peer writes is on one line, printable and short, in errors and in logs."""

    @staticmethod
    def check(*texts: str) -> None:
        """Check what was made of text from a peer."""
        for text in texts:
            assert text.isprintable(), text
            assert len(text) < 3000, text

    def check_world(self, w: World, *errors: BaseException | None) -> None:
        """Check all that a session has said."""
        self.check(*w.logs)
        for error in errors:
            assert isinstance(error, CouchbaseError)
            self.check(str(error), repr(error), error.details())

    @given(st.text(), st.integers(2, 300))
    def test_printable(self, text: str, limit: int) -> None:
        """Any text comes out printable, within the limit, and unchanged if it was so already."""
        shown = printable(text, limit)
        assert shown.isprintable()
        assert len(shown) <= limit
        assert printable(shown, limit) == shown
        if text.isprintable() and len(text) <= limit:
            assert shown == text

    @given(st.binary())
    def test_bytes(self, data: bytes) -> None:
        """So do any bytes."""
        assert printable(data).isprintable()
        assert len(printable(data)) <= 256

    def test_mechanisms(self) -> None:
        """A list of mechanisms, where none is of use."""
        w = one_node()
        answer = f"{HOSTILE} GSSAPI".encode()
        w.cluster.inject(opcode=Opcode.SASL_LIST_MECHS, status=0, value=answer)
        w.cluster.inject(opcode=Opcode.SASL_AUTH, status=Status.AUTH_ERROR)
        w.session.start(w.now)
        w.advance(6.0)
        self.check_world(w, w.session.error)

    @pytest.mark.parametrize(
        "opcode",
        [Opcode.HELLO, Opcode.SASL_AUTH, Opcode.SELECT_BUCKET, Opcode.GET_CLUSTER_CONFIG],
    )
    @pytest.mark.parametrize("status", [Status.AUTH_ERROR, Status.EACCESS, Status.EBUSY, 0x7777])
    def test_reference_and_context(self, opcode: Opcode, status: int) -> None:
        """What a server says of an error, and its reference for that, at any step."""
        words = json.dumps({"error": {"context": HOSTILE[:60_000], "ref": HOSTILE[:100]}})
        w = one_node()
        w.cluster.inject(opcode=opcode, status=status, value=words.encode())
        w.session.start(w.now)
        w.advance(6.0)
        self.check_world(w, w.session.error)

    def test_operation(self) -> None:
        """So of an operation."""
        words = json.dumps({"error": {"context": HOSTILE[:1000], "ref": HOSTILE[:1000]}})
        w = one_node()
        w.open()
        w.cluster.inject(opcode=Opcode.SET, status=Status.EINVAL, value=words.encode())
        error = error_of(answered(w))
        assert isinstance(error, CouchbaseError)
        self.check_world(w, error)

    def test_error_map(self) -> None:
        """Names and descriptions of an error map."""
        text = {
            "version": 2,
            "revision": 1,
            "errors": {"7777": {"name": HOSTILE, "desc": HOSTILE, "attrs": []}},
        }
        w = one_node()
        w.cluster.inject(opcode=Opcode.GET_ERROR_MAP, status=0, value=json.dumps(text).encode())
        w.open()
        w.cluster.inject(opcode=Opcode.SET, status=0x7777)
        self.check_world(w, error_of(answered(w)))

    @pytest.mark.parametrize("where", ["name", "uuid", "hostname", "services", "network", "json"])
    def test_configurations(self, where: str) -> None:
        """Names in a configuration, of use or not."""
        w = one_node()
        bend_config(w, where)
        w.session.start(w.now)
        w.advance(6.0)
        self.check(*w.logs)
        if w.session.error is not None:
            self.check_world(w, w.session.error)

    def test_srv_targets(self) -> None:
        """Targets of an SRV record that are no host names are UnknownHostErrors."""
        name = "_couchbase._tcp.example.org"
        bad = Address(HOSTILE[:1000], 11210)
        w = one_node(srv=name, srv_required=True)
        w.srv[name] = [bad]
        w.session.start(w.now)
        w.settle()
        assert isinstance(w.session.error, UnknownHostError)
        self.check_world(w, w.session.error)
        w = one_node(srv=name, srv_required=True)
        w.srv[name] = [bad, *w.nodes]
        w.open()
        self.check(*w.logs)
        assert any("is no host name" in line for line in w.logs)

    def test_srv_failures(self) -> None:
        """What a DNS client says."""
        for required in (False, True):
            w = one_node(srv="_couchbase._tcp.example.org", srv_required=required)
            w.srv["_couchbase._tcp.example.org"] = RuntimeError(HOSTILE)
            w.session.start(w.now)
            w.settle()
            self.check(*w.logs)
            if required:
                self.check_world(w, w.session.error)

    @pytest.mark.parametrize(
        "answer",
        [
            f"HTTP/1.1 401 {HOSTILE}\r\n\r\n",
            f"HTTP/1.1 401 No\r\nContent-Length: 1000000\r\n\r\n{HOSTILE}",
            f"HTTP/1.1 503 No\r\nTransfer-Encoding: {HOSTILE[:100]}\r\n\r\n",
            f"HTTP/1.1 200 OK\r\nContent-Length: {HOSTILE[:50]}\r\n\r\n",
            f"HTTP/{HOSTILE}",
            HOSTILE,
        ],
        ids=["reason", "body", "header", "length", "version", "none"],
    )
    def test_http(self, answer: str) -> None:
        """Reasons, headers and bodies of a web server."""
        exchange = Exchange("/", Address("h", 8091), Login("user", "password"), "agent")
        exchange.request()
        with pytest.raises(CouchbaseError) as caught:
            read(exchange, answer.encode())
        self.check(str(caught.value), caught.value.details())

    def test_connecting(self) -> None:
        """What a transport says of why it could not be connected."""
        settings = Settings(seeds=(), bucket="b", login=Login("u", "p"))
        for kind in (NodeUnreachableError, UnknownHostError):
            error = connect_error(kind, Address("h", 1), HOSTILE, settings)
            self.check(str(error), error.details())


def read(exchange: Exchange, answer: bytes) -> None:
    """Hand over an answer, and its end."""
    for chunk in (answer, b""):
        list(exchange.receive_data(chunk))


def bend_config(w: World, where: str) -> None:
    """Let the node give a configuration with hostile text in one place."""
    config = json.loads(json.dumps(ONE_NODE))
    node = config["nodesExt"][0]
    match where:
        case "hostname":
            node["hostname"] = HOSTILE
        case "services":
            node["services"] = {HOSTILE: 1, "kv": "x", HOSTILE[:50]: -1}
        case "network":
            node["alternateAddresses"] = {HOSTILE: {"hostname": "h"}, "x": {"hostname": HOSTILE}}
        case _:
            config[where] = HOSTILE
    text = HOSTILE if where == "json" else json.dumps(config)
    w.cluster.inject(opcode=Opcode.GET_CLUSTER_CONFIG, status=0, value=text.encode())


class TestLogins:
    """A server that repeats the login gets it neither into errors nor into the log."""

    @pytest.mark.parametrize(
        "opcode",
        [Opcode.HELLO, Opcode.SASL_AUTH, Opcode.SELECT_BUCKET, Opcode.GET_CLUSTER_CONFIG],
    )
    def test_handshake(self, opcode: Opcode) -> None:
        """In an error body, whole or in base64."""
        secret = "s3cr3t-Pa55word"
        login = Login("user", secret)
        for form in (f"user:{secret}", login.basic(), secret):
            words = json.dumps({"error": {"context": f"no {form}!", "ref": form}})
            w = World(
                EmbeddedCluster(1, replicas=0, clock=ManualClock(), users={"user": secret}),
                login=login,
            )
            w.cluster.inject(opcode=opcode, status=Status.EACCESS, value=words.encode())
            w.session.start(w.now)
            w.advance(6.0)
            error = w.session.error
            assert error is not None
            assert "no ***!" in error.details()
            said = " ".join([*w.logs, str(error), error.details(), repr(w.events)])
            assert secret not in said
            assert login.basic() not in said

    def test_operation(self) -> None:
        """So in the answer to an operation."""
        w = one_node()
        w.open()
        words = json.dumps({"error": {"context": "who is user:password?", "ref": "password"}})
        w.cluster.inject(opcode=Opcode.SET, status=Status.EINVAL, value=words.encode())
        error = error_of(answered(w))
        assert "who is ***?" in error.details()
        assert error.ref == "***"

    @pytest.mark.parametrize("cut", [2040, 2044, 2047])
    def test_web_port(self, cut: int) -> None:
        """So in the body of a refusal, cut off amid it or not."""
        login = Login("user", "s3cr3t-Pa55word")
        for form in ("user:s3cr3t-Pa55word", login.basic()):
            body = "x" * cut + form
            exchange = Exchange("/", Address("h", 8091), login, "agent")
            exchange.request()
            head = f"HTTP/1.1 401 No\r\nContent-Length: {len(body)}\r\n\r\n"
            with pytest.raises(CouchbaseError) as caught:
                list(exchange.receive_data((head + body[:2052]).encode()))
            assert "s3cr3t" not in caught.value.details()
            assert login.basic()[:12] not in caught.value.details()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status.AUTH_ERROR, AuthError),
        (Status.NOT_SUPPORTED, SaslMechanismError),
        (Status.UNKNOWN_COMMAND, SaslMechanismError),
        (Status.EACCESS, NotAuthorizedError),
        (Status.EINVAL, ServerError),
        (Status.KEY_ENOENT, ServerError),
        (Status.AUTH_STALE, ServerError),
        (0x7777, ServerError),
    ],
)
def test_what_is_no_wrong_password(status: int, kind: type[CouchbaseError]) -> None:
    """Only the status that means it is told as a wrong password."""
    w = one_node()
    w.cluster.inject(opcode=Opcode.SASL_AUTH, status=status)
    w.session.start(w.now)
    w.advance(6.0)
    error = w.session.error
    assert type(error) is kind
    assert ("check the user name and the password" in str(error)) is (kind is AuthError)


NO_JSON = ("\x80", "é", "[1,é", '"a\\é"', '{"a":é}', "\x00\x80", '{"a":"\ud800"')
"""PyPy's errors quote a part of a character of each but the last two."""


class TestSound:
    """Errors of reading JSON, on every interpreter."""

    @pytest.mark.parametrize("text", NO_JSON)
    def test_of_this_interpreter(self, text: str) -> None:
        """What the interpreter says of no JSON can be shown in any way, and says where it is."""
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - what json raises
            json.loads(text)
        error = sound(caught.value)
        assert isinstance(error, json.JSONDecodeError)
        assert f"{error.msg}".isascii()
        assert error.msg in f"{error}"
        assert (error.doc, error.pos) == (text, getattr(caught.value, "pos", None))

    def test_quoting(self) -> None:
        """What is quoted beyond ASCII is replaced, where it stood."""
        error = sound(json.JSONDecodeError("Unexpected 'é' or '\ud800'", "[é", 1))
        assert str(error) == "Unexpected '??' or '?': line 1 column 2 (char 1)"

    def test_others(self) -> None:
        """An error that quotes nothing, or is no error of JSON, stays itself."""
        for error in (json.JSONDecodeError("Expecting value", "", 0), KeyError("é")):
            assert sound(error) is error

    @pytest.mark.parametrize("text", NO_JSON)
    def test_document(self, text: str) -> None:
        """A document that is no JSON says so in words, to whoever shows error and cause."""
        for transcoder in (Transcoder(), Transcoder(json_decode=json.loads)):
            with pytest.raises(ValueFormatError) as caught:
                transcoder.decode_value(text.encode("utf-8", "surrogatepass"), FMT_JSON)
            cause = caught.value.inner_cause
            assert caught.value.__cause__ is cause
            assert f"{caught.value} {cause}".isprintable()


@pytest.mark.parametrize("make", [LyingText, lambda text: LyingBytes(text.encode())])
def test_shown_whatever_it_is(make: Callable[[str], Any]) -> None:
    """What is shown of an object asks it for its repr alone, and does without where that raises."""
    liar = make("a")
    assert shown(liar) == f"<{type(liar).__name__}>"
    assert shown([liar]) == "<list>"
    assert shown("a\n") == repr("a\n")
    assert len(shown("x" * 1000)) == 256

    class Odd:
        def __repr__(self) -> str:
            return LyingText("odd\n")  # type: ignore[no-any-return]

    assert shown(Odd()) == "odd\\n"


@given(st.text())
def test_in_quotes(name: str) -> None:
    """A name is quoted as it is; what is no text by its type alone, the same each time."""
    assert in_quotes(LyingText(name)) == in_quotes(name) == repr(printable(name))
    assert in_quotes(object()) == "<object>"
    assert first_in_quotes([object(), name, 5]) == first_in_quotes([5, object(), name])


def test_words_of() -> None:
    """An error's own words are a str, or its class where it raises instead of saying them."""

    class OddError(ValueError):
        def __str__(self) -> str:
            return LyingText("odd")  # type: ignore[no-any-return]

    class MuteError(ValueError):
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert (type(words_of(OddError())), words_of(OddError())) == (str, "odd")
    assert words_of(MuteError()) == "MuteError"

    class Worse(dict[str, int]):
        def items(self) -> Any:
            raise MuteError

    with pytest.raises(ValueFormatError, match="JSON: MuteError"):
        Transcoder().encode_value(Worse(a=1))
