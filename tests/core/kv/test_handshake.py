"""The handshake: what is written, in which writes, and what every kind of peer makes of it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded import User
from couchloop.embedded.access.scram import ScramServer
from couchloop.embedded.access.users import UserDatabase
from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    BucketNotFoundError,
    BusyError,
    CleartextPasswordError,
    ConnectError,
    CouchbaseError,
    HandshakeClosedError,
    NodeUnreachableError,
    NoMemoryError,
    NotDataNodeError,
    ProtocolError,
    RateLimitedError,
    SaslMechanismError,
    ServerSignatureError,
    TemporaryFailError,
    TooManyConnectionsError,
    WrongProtocolError,
)
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame, encode_request, encode_response
from couchloop.kv.connection import Connection, State
from couchloop.kv.handshake import Hello, Negotiated, parse_error_map, wanted_features
from couchloop.kv.scram import MECHANISMS, KeyDerivation
from couchloop.settings.values import Address, Login
from couchloop.wire import Feature, Opcode, Status
from tests.core.world import derive

SECRET = "s3cr3t-pass"
HELLO = Hello("couchloop/1 (test)", "0123456789abcdef/0000000000000001")
CONFIG = b'{"rev":1}'
ERROR_MAP = {
    "version": 2,
    "revision": 1,
    "errors": {"7f": {"name": "STRANGE", "desc": "odd", "attrs": ["retry-later"]}},
}


class Owner:
    """A session that only takes note of what it is told."""

    delivers = None

    def __init__(self) -> None:
        self.derivations: list[KeyDerivation] = []
        self.ready: list[Negotiated] = []
        self.errors: list[CouchbaseError] = []
        self.pushes: list[Frame] = []

    def has_output(self, connection: Connection) -> None:
        """Output is taken by the test."""

    def output_full(self, connection: Connection) -> None:
        raise AssertionError("too much output")

    def derive_key(self, connection: Connection, derivation: KeyDerivation) -> None:
        self.derivations.append(derivation)

    def handshake_done(self, connection: Connection, negotiated: Negotiated, now: float) -> None:
        self.ready.append(negotiated)

    def unnumbered(self, op: Any, connection: Any, vbucket: int) -> bool:
        raise AssertionError("no collection was asked for")

    def completed(self, op: Any) -> None:
        raise AssertionError("no operation was sent")

    def refused(self, op: Any, answer: Frame, now: float) -> None:
        raise AssertionError("no operation was sent")

    def orphaned(self, connection: Connection, frame: Frame, now: float) -> None:
        raise AssertionError("nothing was asked that could be answered late")

    def pushed(self, connection: Connection, frame: Frame, now: float) -> None:
        self.pushes.append(frame)

    def failed(self, connection: Connection, error: CouchbaseError, now: float) -> None:
        self.errors.append(error)
        connection.close()


class Server:
    """The other side of a handshake, true unless a test changes its answers."""

    def __init__(self, offered: str = " ".join((*MECHANISMS, "PLAIN"))) -> None:
        self.offered = offered
        self.features: tuple[int, ...] = tuple(wanted_features())
        self.users = UserDatabase([User("user", SECRET)], b"salt")
        self.scram: ScramServer | None = None
        self.change: dict[int, Callable[[Frame], bytes]] = {}
        """Other answers, by opcode."""

    def answer(self, request: Frame) -> bytes:
        """Answer as a data node does."""
        if request.opcode in self.change:
            return self.change[request.opcode](request)
        match request.opcode:
            case Opcode.HELLO:
                value = b"".join(number.to_bytes(2) for number in self.features)
                return encode_response(Opcode.HELLO, value=value)
            case Opcode.SASL_LIST_MECHS:
                return encode_response(Opcode.SASL_LIST_MECHS, value=self.offered.encode())
            case Opcode.SASL_AUTH:
                return self.log_in(request)
            case Opcode.SASL_STEP:
                assert self.scram is not None
                _, final = self.scram.finish(request.value)
                return encode_response(Opcode.SASL_STEP, value=final)
            case Opcode.GET_ERROR_MAP:
                value = json.dumps(ERROR_MAP).encode()
                return encode_response(Opcode.GET_ERROR_MAP, value=value)
            case Opcode.SELECT_BUCKET:
                return encode_response(Opcode.SELECT_BUCKET)
            case _:
                assert request.opcode == Opcode.GET_CLUSTER_CONFIG
                return encode_response(Opcode.GET_CLUSTER_CONFIG, value=CONFIG, datatype=1)

    def log_in(self, request: Frame) -> bytes:
        """Answer SASL_AUTH."""
        mechanism = request.key.decode()
        if mechanism not in self.offered.split():
            return encode_response(Opcode.SASL_AUTH, Status.AUTH_ERROR)
        if mechanism == "PLAIN":
            good = request.value == f"\0user\0{SECRET}".encode()
            return encode_response(Opcode.SASL_AUTH, 0 if good else Status.AUTH_ERROR)
        self.scram = ScramServer(self.users, mechanism, request.value, b"of-the-server")
        return encode_response(
            Opcode.SASL_AUTH, Status.AUTH_CONTINUE, value=self.scram.server_first
        )


class Dialogue:
    """A connection and its peer, step by step."""

    def __init__(
        self,
        server: Server | None = None,
        *,
        tls: bool = False,
        bucket: str = "default",
        login: Login | None = None,
    ) -> None:
        self.server = server or Server()
        self.owner = Owner()
        self.connection: Connection = Connection(
            self.owner, 1, Address("10.0.0.1", 11210), bucket, HELLO, tls=tls
        )
        self.login = login or Login("user", SECRET)
        self.writes: list[list[Frame]] = []

    def open(self) -> None:
        """Connect, and say the first words."""
        self.connection.opened(self.login, lambda: "client-nonce", 1.0)

    def step(self) -> bool:
        """Let the peer answer what was written last; tell whether there was something."""
        for derivation in self.owner.derivations:
            self.connection.key_derived(derive(derivation), 1.0)
        self.owner.derivations.clear()
        data = self.connection.take_output()
        if not data:
            return False
        frames = FrameDecoder(RequestFrame).receive(data)
        self.writes.append(frames)
        answers = b"".join(self.server.answer(frame) for frame in frames)
        self.connection.receive_data(answers, 1.0)
        return True

    def run(self) -> Dialogue:
        """Go on to the end."""
        self.open()
        while self.step():
            pass
        return self

    @property
    def error(self) -> CouchbaseError:
        """The one error that ended it."""
        (error,) = self.owner.errors
        assert self.connection.state is State.CLOSED
        assert SECRET not in f"{error} {error!r} {error.__dict__!r} {error.__cause__!r}"
        assert SECRET not in repr(error.context)
        assert error.__traceback__ is None
        assert error.context is not None
        assert error.context.node == "10.0.0.1:11210"
        return error

    @property
    def opcodes(self) -> list[list[Opcode]]:
        """What was asked, write by write."""
        return [[Opcode(frame.opcode) for frame in write] for write in self.writes]


def status(opcode: int, code: int, value: bytes = b"") -> Callable[[Frame], bytes]:
    """Make an answer that is a refusal."""
    return lambda _: encode_response(opcode, code, value=value)


class TestGood:
    """Handshakes that succeed."""

    def test_three_writes(self) -> None:
        """Three writes, as RFC 0048 has them and servers expect them; bytes are exact."""
        dialogue = Dialogue().run()
        assert dialogue.opcodes == [
            [Opcode.HELLO, Opcode.SASL_LIST_MECHS, Opcode.SASL_AUTH],
            [Opcode.SASL_STEP],
            [Opcode.GET_ERROR_MAP, Opcode.SELECT_BUCKET, Opcode.GET_CLUSTER_CONFIG],
        ]
        hello, listing, auth = dialogue.writes[0]
        assert json.loads(hello.key) == {
            "a": "couchloop/1 (test)",
            "i": "0123456789abcdef/0000000000000001",
        }
        asked = [int.from_bytes(hello.value[at : at + 2]) for at in range(0, len(hello.value), 2)]
        assert asked == sorted(asked)
        assert {Feature.XERROR, Feature.SELECT_BUCKET, Feature.COLLECTIONS} <= set(asked)
        assert listing.encode() == encode_request(Opcode.SASL_LIST_MECHS)
        assert auth.key == b"SCRAM-SHA512"
        assert auth.value == b"n,,n=user,r=client-nonce"
        error_map, select, config = dialogue.writes[2]
        assert error_map.encode() == encode_request(Opcode.GET_ERROR_MAP, value=b"\0\2")
        assert select.encode() == encode_request(Opcode.SELECT_BUCKET, key=b"default")
        assert config.encode() == encode_request(Opcode.GET_CLUSTER_CONFIG)

    def test_by_certificate(self) -> None:
        """Whom a certificate names does not log in, and selects the bucket (RFC 0036)."""
        dialogue = Dialogue(tls=True, login=Login("", "", by_certificate=True)).run()
        assert dialogue.connection.state is State.READY
        assert dialogue.opcodes == [
            [Opcode.HELLO],
            [Opcode.GET_ERROR_MAP, Opcode.SELECT_BUCKET, Opcode.GET_CLUSTER_CONFIG],
        ]

    def test_logged_in_by_tls(self) -> None:
        """Over TLS, "not supported" to SASL means that a certificate has logged us in already."""
        server = Server()
        for opcode in (Opcode.SASL_LIST_MECHS, Opcode.SASL_AUTH):
            server.change[opcode] = status(opcode, Status.NOT_SUPPORTED)
        assert Dialogue(server, tls=True).run().connection.state is State.READY
        # Without TLS nobody can have: the refusal counts.
        assert isinstance(Dialogue(server).run().error, AuthError)

    def test_outcome(self) -> None:
        """It brings the features that were granted, the error map and the configuration."""
        dialogue = Dialogue().run()
        (negotiated,) = dialogue.owner.ready
        assert negotiated.features == frozenset(wanted_features())
        assert negotiated.config == CONFIG
        entry = negotiated.error_map[0x7F]
        assert (entry.name, entry.description, entry.attributes) == (
            "STRANGE",
            "odd",
            frozenset({"retry-later"}),
        )
        assert dialogue.connection.state is State.READY

    @pytest.mark.parametrize("mechanism", [*MECHANISMS, "PLAIN"])
    @pytest.mark.parametrize("tls", [False, True])
    def test_mechanism(self, mechanism: str, *, tls: bool) -> None:
        """Each mechanism logs in where it is the one that is wanted."""
        login = Login("user", SECRET, (mechanism,), allow_plain=True)
        dialogue = Dialogue(tls=tls, login=login).run()
        assert dialogue.owner.ready
        assert dialogue.writes[0][2].key.decode() == mechanism
        assert len(dialogue.writes) == (2 if mechanism == "PLAIN" else 3)

    def test_tls_uses_plain(self) -> None:
        """Within TLS, PLAIN comes first: it is cheap, and what LDAP users need."""
        assert Dialogue(tls=True).run().writes[0][2].key == b"PLAIN"

    @pytest.mark.parametrize("offered", ["SCRAM-SHA256", "SCRAM-SHA1", "SCRAM-SHA1 SCRAM-SHA256"])
    def test_fallback(self, offered: str) -> None:
        """A guess that the server does not know is followed by the best it does, right here."""
        dialogue = Dialogue(Server(offered)).run()
        assert dialogue.owner.ready
        best = "SCRAM-SHA256" if "256" in offered else "SCRAM-SHA1"
        assert dialogue.opcodes[1] == [Opcode.SASL_AUTH]
        assert dialogue.writes[1][0].key.decode() == best
        assert dialogue.opcodes[2:] == [
            [Opcode.SASL_STEP],
            [Opcode.GET_ERROR_MAP, Opcode.SELECT_BUCKET, Opcode.GET_CLUSTER_CONFIG],
        ]

    def test_byte_by_byte(self) -> None:
        """Answers that come one byte at a time make the same handshake."""
        dialogue = Dialogue()
        dialogue.open()
        whole = Dialogue().run()
        while True:
            for derivation in dialogue.owner.derivations:
                dialogue.connection.key_derived(derive(derivation), 1.0)
            dialogue.owner.derivations.clear()
            data = dialogue.connection.take_output()
            if not data:
                break
            frames = FrameDecoder(RequestFrame).receive(data)
            dialogue.writes.append(frames)
            for frame in frames:
                for byte in dialogue.server.answer(frame):
                    dialogue.connection.receive_data(bytes([byte]), 1.0)
        assert dialogue.writes == whole.writes
        assert dialogue.owner.ready == whole.owner.ready

    def test_without_xerror(self) -> None:
        """A server without XERROR has no error map to be asked for."""
        server = Server()
        server.features = (Feature.SELECT_BUCKET,)
        dialogue = Dialogue(server).run()
        assert dialogue.opcodes[2] == [Opcode.SELECT_BUCKET, Opcode.GET_CLUSTER_CONFIG]
        assert dialogue.owner.ready[0].error_map == {}

    def test_without_features(self) -> None:
        """A server that grants nothing is used without anything."""
        server = Server()
        server.features = ()
        assert Dialogue(server).run().owner.ready[0].features == frozenset()

    def test_unasked_feature(self) -> None:
        """What was not asked for is not used, even if it is granted."""
        server = Server()
        server.features = (Feature.XERROR, Feature.UNORDERED, 0x7777)
        assert Dialogue(server).run().owner.ready[0].features == {Feature.XERROR}

    @pytest.mark.parametrize(
        "answer",
        [
            status(Opcode.GET_ERROR_MAP, Status.UNKNOWN_COMMAND),
            status(Opcode.GET_ERROR_MAP, 0, b"{"),
            status(Opcode.GET_ERROR_MAP, 0, b'{"errors": {"zz": {}}}'),
            status(Opcode.GET_ERROR_MAP, 0, b'{"errors": []}'),
            status(Opcode.GET_ERROR_MAP, 0, b"[1]"),
        ],
    )
    def test_no_error_map(self, answer: Callable[[Frame], bytes]) -> None:
        """A server without an error map, or with a damaged one, counts as having an empty one."""
        server = Server()
        server.change[Opcode.GET_ERROR_MAP] = answer
        assert Dialogue(server).run().owner.ready[0].error_map == {}

    @given(st.binary(max_size=60))
    def test_any_error_map(self, value: bytes) -> None:
        """No error map makes the parser raise."""
        (frame,) = FrameDecoder().receive(encode_response(Opcode.GET_ERROR_MAP, value=value))
        assert isinstance(parse_error_map(frame), dict)

    def test_list_mechs_error(self) -> None:
        """A server that does not list its mechanisms is logged in to by our best guess."""
        server = Server()
        server.change[Opcode.SASL_LIST_MECHS] = status(Opcode.SASL_LIST_MECHS, 0x81)
        assert Dialogue(server).run().owner.ready

    def test_config_not_there_yet(self) -> None:
        """A node that has no configuration of the bucket yet is connected, with none."""
        server = Server()
        server.change[Opcode.GET_CLUSTER_CONFIG] = status(Opcode.GET_CLUSTER_CONFIG, 1)
        assert Dialogue(server).run().owner.ready[0].config == b""

    def test_push_during_handshake(self) -> None:
        """What a server pushes between its answers does not disturb them."""
        push = Frame(0x82, 1, 0, 0, 9, 0, b"", b"", b"default", b"{}").encode()
        server = Server()
        server.change[Opcode.SASL_LIST_MECHS] = lambda _: (
            push + encode_response(Opcode.SASL_LIST_MECHS, value=b"SCRAM-SHA512")
        )
        dialogue = Dialogue(server).run()
        assert dialogue.owner.ready
        assert [frame.key for frame in dialogue.owner.pushes] == [b"default"]

    def test_long_agent(self) -> None:
        """The agent is cut to 200 bytes, at a character's edge."""
        key = Hello("ü" * 150 + "x", "0/1").key()
        assert json.loads(key) == {"a": "ü" * 100, "i": "0/1"}
        assert json.loads(Hello("x" + "ü" * 150, "0/1").key())["a"] == "x" + "ü" * 99


class TestRefused:
    """Peers that say no."""

    @pytest.mark.parametrize("mechanism", [*MECHANISMS, "PLAIN"])
    @pytest.mark.parametrize(("user", "password"), [("user", "wrong"), ("nobody", SECRET)])
    def test_wrong_login(self, mechanism: str, user: str, password: str) -> None:
        """A wrong password and an unknown user are one AuthError, which names the user."""
        server = Server()
        server.change[Opcode.SASL_STEP] = status(Opcode.SASL_STEP, Status.AUTH_ERROR)
        login = Login(user, password, (mechanism,), allow_plain=True)
        error = Dialogue(server, login=login).run().error
        assert type(error) is AuthError
        assert f"refused user {user!r}" in str(error)
        assert error.context is not None
        assert error.context.status == Status.AUTH_ERROR

    def test_server_reference(self) -> None:
        """The server's own reference for a refused login is kept."""
        server = Server()
        server.change[Opcode.SASL_STEP] = status(
            Opcode.SASL_STEP, Status.AUTH_ERROR, b'{"error":{"ref":"abc-1","context":"because"}}'
        )
        error = Dialogue(server).run().error
        assert error.ref == "abc-1"
        assert "because" in str(error)

    def test_plain_in_cleartext(self) -> None:
        """A server that offers PLAIN only does not get the password without TLS."""
        dialogue = Dialogue(Server("PLAIN")).run()
        assert type(dialogue.error) is CleartextPasswordError
        assert "couchbases://" in str(dialogue.error)
        assert "sasl_allow_plain" in str(dialogue.error)
        written = b"".join(frame.encode() for write in dialogue.writes for frame in write)
        assert SECRET.encode() not in written

    def test_plain_forced_in_cleartext(self) -> None:
        """PLAIN as the only wish, without TLS and without leave, says nothing about the login."""
        dialogue = Dialogue(login=Login("user", SECRET, ("PLAIN",))).run()
        assert type(dialogue.error) is CleartextPasswordError
        assert dialogue.opcodes == [[Opcode.HELLO, Opcode.SASL_LIST_MECHS]]

    def test_plain_allowed(self) -> None:
        """With leave, a server that has PLAIN only is logged in to."""
        dialogue = Dialogue(Server("PLAIN"), login=Login("user", SECRET, allow_plain=True)).run()
        assert dialogue.owner.ready

    @pytest.mark.parametrize("offered", ["CRAM-MD5 OAUTHBEARER", "", "SCRAM-SHA1"])
    def test_no_common_mechanism(self, offered: str) -> None:
        """Without a common mechanism both lists are told (or the refusal, if there is no list)."""
        login = Login("user", SECRET, ("SCRAM-SHA512", "SCRAM-SHA256"))
        error = Dialogue(Server(offered), login=login).run().error
        assert isinstance(error, AuthError)
        if offered:
            assert type(error) is SaslMechanismError
            assert offered in str(error)
            assert "SCRAM-SHA512 SCRAM-SHA256" in str(error)

    def test_no_endless_fallback(self) -> None:
        """A server that refuses each mechanism it offers is not asked for ever."""
        server = Server("SCRAM-SHA256 SCRAM-SHA1")
        server.change[Opcode.SASL_AUTH] = status(Opcode.SASL_AUTH, Status.AUTH_ERROR)
        dialogue = Dialogue(server).run()
        assert type(dialogue.error) is AuthError
        assert [len(write) for write in dialogue.writes] == [3, 1]

    def test_impostor(self) -> None:
        """A server that cannot sign does not know the password: it is not trusted."""
        server = Server()
        server.change[Opcode.SASL_STEP] = status(Opcode.SASL_STEP, 0, b"v=" + b64encode(bytes(64)))
        assert type(Dialogue(server).run().error) is ServerSignatureError

    def test_success_without_proof(self) -> None:
        """A server that waves a SCRAM login through has proven nothing: refused."""
        server = Server()
        server.change[Opcode.SASL_AUTH] = status(Opcode.SASL_AUTH, 0)
        error = Dialogue(server).run().error
        assert type(error) is SaslMechanismError
        assert "signature" in str(error)

    def test_continued_plain(self) -> None:
        """PLAIN has one step: a server that wants another is refused."""
        server = Server()
        server.change[Opcode.SASL_AUTH] = status(Opcode.SASL_AUTH, Status.AUTH_CONTINUE)
        assert isinstance(Dialogue(server, tls=True).run().error, AuthError)

    def test_no_hello(self) -> None:
        """A server that does not know HELLO is too old, and said to be."""
        server = Server()
        server.change[Opcode.HELLO] = status(Opcode.HELLO, Status.UNKNOWN_COMMAND)
        error = Dialogue(server).run().error
        assert type(error) is NotDataNodeError
        assert "too old" in str(error)

    @pytest.mark.parametrize("code", [Status.KEY_ENOENT, Status.EACCESS])
    def test_no_bucket(self, code: int) -> None:
        """An unknown bucket, or one that the user may not use, is named."""
        server = Server()
        server.change[Opcode.SELECT_BUCKET] = status(Opcode.SELECT_BUCKET, code)
        error = Dialogue(server, bucket="beer").run().error
        assert type(error) is BucketNotFoundError
        assert "'beer'" in str(error)
        assert ("user" in str(error)) is (code == Status.EACCESS)

    def test_bucket_otherwise_refused(self) -> None:
        """Any other refusal of the bucket has the class of its status."""
        server = Server()
        server.change[Opcode.SELECT_BUCKET] = status(Opcode.SELECT_BUCKET, Status.ETMPFAIL)
        error = Dialogue(server).run().error
        assert error.is_transient
        assert error.context is not None
        assert error.context.status == Status.ETMPFAIL

    @pytest.mark.parametrize("code", [Status.NO_BUCKET, Status.EACCESS, Status.UNKNOWN_COMMAND])
    def test_no_config(self, code: int) -> None:
        """A node that gives no configuration at all is no data node."""
        server = Server()
        server.change[Opcode.GET_CLUSTER_CONFIG] = status(Opcode.GET_CLUSTER_CONFIG, code)
        assert type(Dialogue(server).run().error) is NotDataNodeError

    def test_corrupt_config(self) -> None:
        """A configuration that cannot be inflated is a fault of the peer."""
        server = Server()
        server.change[Opcode.GET_CLUSTER_CONFIG] = lambda _: encode_response(
            Opcode.GET_CLUSTER_CONFIG, value=b"\xff\xff\xff\xff\xff\xff", datatype=3
        )
        assert isinstance(Dialogue(server).run().error, ProtocolError)

    @pytest.mark.parametrize(
        "opcode",
        [
            Opcode.HELLO,
            Opcode.SASL_LIST_MECHS,
            Opcode.SASL_AUTH,
            Opcode.SASL_STEP,
            Opcode.GET_ERROR_MAP,
            Opcode.SELECT_BUCKET,
            Opcode.GET_CLUSTER_CONFIG,
        ],
    )
    @pytest.mark.parametrize(
        ("code", "kind", "cure"),
        [
            (Status.RATE_LIMITED_NETWORK_INGRESS, RateLimitedError, "later"),
            (Status.RATE_LIMITED_NETWORK_EGRESS, RateLimitedError, "later"),
            (Status.RATE_LIMITED_MAX_CONNECTIONS, TooManyConnectionsError, "connection_budget()"),
            (Status.RATE_LIMITED_MAX_COMMANDS, RateLimitedError, "later"),
            (Status.NOT_INITIALIZED, TemporaryFailError, "starting"),
            (Status.ETMPFAIL, TemporaryFailError, "starting"),
            (Status.EBUSY, BusyError, "starting"),
            (Status.ENOMEM, NoMemoryError, "starting"),
        ],
    )
    def test_no_room(
        self, opcode: Opcode, code: Status, kind: type[CouchbaseError], cure: str
    ) -> None:
        """A node without room or time for us is told from a wrong password, whenever it says so."""
        server = Server()
        server.change[opcode] = status(opcode, code, b'{"error":{"context":"out of luck"}}')
        error = Dialogue(server).run().error
        assert type(error) is kind
        assert error.is_transient
        assert not error.is_fatal
        assert cure in str(error)
        assert code.name in str(error)
        assert "out of luck" in str(error)

    @pytest.mark.parametrize("body", [b'{"error":{"ref":[1],"context":{}}}', b'{"error":[]}'])
    def test_odd_reasons(self, body: bytes) -> None:
        """What a server says of an error, and is no text, is left out."""
        server = Server()
        server.change[Opcode.SELECT_BUCKET] = status(Opcode.SELECT_BUCKET, Status.EACCESS, body)
        error = Dialogue(server).run().error
        assert error.context is not None
        assert error.context.server_ref is error.context.server_context is None

    def test_odd_features(self) -> None:
        """Features come in pairs of bytes."""
        server = Server()
        server.change[Opcode.HELLO] = status(Opcode.HELLO, 0, b"\0\3\0")
        assert isinstance(Dialogue(server).run().error, ProtocolError)

    @pytest.mark.parametrize(
        ("user", "password", "mechanism"),
        [
            ("user\ud800", SECRET, "PLAIN"),
            ("user", SECRET + "\ud800", "PLAIN"),
            ("user\ud800", SECRET, "SCRAM-SHA512"),
            ("user", SECRET + "\ud800", "SCRAM-SHA1"),
            ("user", SECRET, "CRAM-MD5"),
        ],
    )
    def test_impossible_login(self, user: str, password: str, mechanism: str) -> None:
        """A login that cannot be written is the caller's error, and still secret."""
        login = Login(user, password, (mechanism,))
        error = Dialogue(tls=True, login=login).run().error
        assert isinstance(error, ArgumentError)


class TestStrangePeers:
    """Peers that do not speak our protocol, or not to the end."""

    @pytest.mark.parametrize(
        ("data", "cure"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "web port"),
            (b"H", "web port"),
            (b"\x15\x03\x01\x00\x02\x02\x0a", "couchbases://"),
            (b"\x15", "couchbases://"),
            (b"\x16", "couchbases://"),
            (b"SSH-2.0-OpenSSH", "data port"),
            (b"\x80", "data port"),
            (b"\0", "data port"),
        ],
    )
    def test_other_protocol(self, data: bytes, cure: str) -> None:
        """Another protocol is recognised by its first byte, and the cure is named."""
        dialogue = Dialogue()
        dialogue.open()
        dialogue.connection.receive_data(data[:1], 1.0)
        assert type(dialogue.error) is WrongProtocolError
        assert isinstance(dialogue.error, ConnectError)
        assert cure in str(dialogue.error)

    @pytest.mark.parametrize("steps", range(4))
    def test_closed(self, steps: int) -> None:
        """A connection that is closed during the handshake says so, at whatever step."""
        dialogue = Dialogue()
        if steps:
            dialogue.open()
        for _ in range(steps - 1):
            dialogue.step()
        dialogue.connection.lost(None, 2.0)
        expected = HandshakeClosedError if steps else NodeUnreachableError
        assert type(dialogue.error) is expected

    def test_reason_is_kept(self) -> None:
        """What the transport says of the loss becomes the cause."""
        dialogue = Dialogue()
        dialogue.open()
        reason = OSError("reset by peer")
        dialogue.connection.lost(reason, 2.0)
        assert dialogue.error.__cause__ is reason

    def test_speaks_while_we_derive(self) -> None:
        """A frame that comes while the key is derived was not asked for."""
        dialogue = Dialogue()
        dialogue.open()
        dialogue.step()
        assert len(dialogue.owner.derivations) == 1
        dialogue.connection.receive_data(encode_response(Opcode.SASL_STEP), 1.0)
        assert isinstance(dialogue.error, ProtocolError)
        dialogue.connection.key_derived(b"late", 2.0)
        assert len(dialogue.owner.errors) == 1

    def test_key_nobody_asked_for(self) -> None:
        """A key that was not asked for is ignored."""
        dialogue = Dialogue()
        dialogue.open()
        dialogue.connection.key_derived(b"early", 1.0)
        while dialogue.step():
            pass
        assert dialogue.owner.ready

    @pytest.mark.parametrize(
        "opcode",
        [
            Opcode.HELLO,
            Opcode.SASL_LIST_MECHS,
            Opcode.SASL_AUTH,
            Opcode.SASL_STEP,
            Opcode.GET_ERROR_MAP,
            Opcode.SELECT_BUCKET,
            Opcode.GET_CLUSTER_CONFIG,
        ],
    )
    def test_wrong_answer(self, opcode: int) -> None:
        """An answer to another question, at any step, is a fault of the peer."""
        server = Server()
        server.change[opcode] = status(Opcode.NOOP, 0)
        error = Dialogue(server).run().error
        assert isinstance(error, ProtocolError)
        assert "0x0a" in str(error)

    @given(
        opcode=st.sampled_from(
            [
                Opcode.HELLO,
                Opcode.SASL_LIST_MECHS,
                Opcode.SASL_AUTH,
                Opcode.SASL_STEP,
                Opcode.GET_ERROR_MAP,
                Opcode.SELECT_BUCKET,
                Opcode.GET_CLUSTER_CONFIG,
            ]
        ),
        code=st.sampled_from([*Status]) | st.integers(0, 0xFFFF),
        value=st.binary(max_size=40)
        | st.sampled_from(
            [b"r=client-nonceX,s=AAAA,i=1", b"v=AAAA", b"e=x", b"r=,s=,i=", b'{"error":1}']
        ),
        datatype=st.integers(0, 7),
        extras=st.binary(max_size=4),
        tls=st.booleans(),
    )
    def test_any_answer(
        self, opcode: int, code: int, value: bytes, datatype: int, extras: bytes, *, tls: bool
    ) -> None:
        """Whatever one answer is, the handshake succeeds or ends in one CouchbaseError."""
        server = Server()
        server.change[opcode] = lambda _: encode_response(
            opcode, code, value=value, datatype=datatype, extras=extras
        )
        dialogue = Dialogue(server, tls=tls).run()
        assert len(dialogue.owner.ready) + len(dialogue.owner.errors) == 1

    @given(steps=st.integers(0, 3), data=st.binary(min_size=1, max_size=80))
    def test_any_bytes(self, steps: int, data: bytes) -> None:
        """Bytes of any kind, at any step, end in one CouchbaseError or are waited out."""
        dialogue = Dialogue()
        dialogue.open()
        for _ in range(steps):
            dialogue.step()
        dialogue.connection.receive_data(data, 1.0)
        dialogue.connection.lost(None, 1.0)
        (error,) = dialogue.owner.errors
        assert isinstance(error, CouchbaseError)

    @given(
        st.lists(
            st.builds(
                encode_response,
                st.sampled_from([0x1F, 0x20, 0x21, 0x22, 0xFE, 0x89, 0xB5]),
                st.sampled_from([0, 1, 0x20, 0x21, 0x24, 0x83]),
                value=st.sampled_from(
                    [b"", b"\0\7", b"PLAIN", b"r=client-nonceX,s=AAAA,i=1", b"v=AAAA", b"{}"]
                ),
            ),
            max_size=8,
        ),
        st.booleans(),
    )
    def test_any_frames(self, frames: list[bytes], plain: bool) -> None:
        """Frames in any order never do more than end the handshake."""
        dialogue = Dialogue(login=Login("user", SECRET, allow_plain=plain), tls=plain)
        dialogue.open()
        for frame in frames:
            dialogue.connection.receive_data(frame, 1.0)
            for derivation in dialogue.owner.derivations:
                dialogue.connection.key_derived(derive(derivation), 1.0)
            dialogue.owner.derivations.clear()
        assert len(dialogue.owner.ready) + len(dialogue.owner.errors) <= 1


class TestSecrets:
    """The password is shown nowhere."""

    def test_values(self) -> None:
        """No value on the way shows the password."""
        dialogue = Dialogue()
        dialogue.open()
        dialogue.step()
        assert SECRET not in repr(dialogue.login)
        assert SECRET not in repr(dialogue.connection)
        assert SECRET not in repr(dialogue.owner.derivations)
