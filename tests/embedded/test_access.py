"""Who gets in, and what they may do then; SCRAM: both halves of the library against each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, Grant
from couchloop.embedded.access.scram import ScramServer
from couchloop.embedded.access.users import (
    AuthenticationFailed,
    MalformedMessage,
    User,
    UserDatabase,
)
from couchloop.kv.scram import MECHANISMS, ScramClient
from couchloop.wire import Feature, Opcode, Status
from tests.embedded.client import STORE, Client, on_node

_NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8
)


@given(mechanism=st.sampled_from(MECHANISMS), name=_NAMES, password=_NAMES)
def test_the_client_and_the_server_agree(mechanism: str, name: str, password: str) -> None:
    """Whoever knows the password gets in, and knows that the server knows it too."""
    database = UserDatabase([User(name, password)], b"seed")
    client = ScramClient(mechanism, name, password, "clientnonce")
    server = ScramServer(database, mechanism, client.first(), b"servernonce")
    derivation = client.challenge(server.server_first)
    user, server_final = server.finish(client.final(derivation.derive()))
    client.verify(server_final)
    assert user.name == name


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(("name", "password"), [("user", "wrong"), ("nobody", "password")])
def test_whoever_does_not_know_the_password_stays_out(
    mechanism: str, name: str, password: str
) -> None:
    """A wrong password and an unknown user fail alike, at the last step."""
    database = UserDatabase({"user": "password"}, b"seed")
    client = ScramClient(mechanism, name, password, "clientnonce")
    server = ScramServer(database, mechanism, client.first(), b"servernonce")
    derivation = client.challenge(server.server_first)
    with pytest.raises(AuthenticationFailed):
        server.finish(client.final(derivation.derive()))


@given(st.binary(max_size=40), st.binary(max_size=80))
def test_arbitrary_messages_are_refused_in_an_orderly_way(first: bytes, final: bytes) -> None:
    """Bytes of a hostile client never raise anything but the two outcomes."""
    database = UserDatabase({"user": "password"}, b"seed")
    with pytest.raises(MalformedMessage):
        ScramServer(database, "SCRAM-SHA1", b"x" + first, b"nonce")
    server = ScramServer(database, "SCRAM-SHA1", b"n,,n=user,r=abc", b"nonce")
    with pytest.raises((MalformedMessage, AuthenticationFailed)):
        server.finish(final)


@given(st.binary(max_size=40))
def test_arbitrary_plain_messages_are_refused(message: bytes) -> None:
    """PLAIN takes one message only, and any other is refused in an orderly way."""
    database = UserDatabase({"user": "password"}, b"seed")
    with pytest.raises((MalformedMessage, AuthenticationFailed)):
        database.check_plain(message)


class TestUsers:
    """Rights, and their loss."""

    def test_a_reader_cannot_write(self) -> None:
        """The refusal names the missing privilege."""
        reader = User("reader", "secret", (Grant(frozenset({"Read"})),))
        cluster = EmbeddedCluster(1, users=[reader])
        client = Client(cluster.nodes[0], Feature.XERROR)
        client.log_in("reader", "secret")
        client.ask(Opcode.SELECT_BUCKET, key=b"default")
        refused = client.ask(Opcode.SET, key=b"k", extras=STORE)
        assert refused.status == Status.EACCESS
        assert b"without the Upsert privilege" in refused.value

    def test_a_password_is_in_no_representation(self) -> None:
        """Not the user's, not the cluster's."""
        user = User("reader", "s3cr3t")
        cluster = EmbeddedCluster(users=[user])
        assert "s3cr3t" not in repr(user)
        assert "s3cr3t" not in repr(vars(cluster))

    def test_a_removed_user_keeps_the_connection(self, cluster: EmbeddedCluster) -> None:
        """But may do nothing on it, and cannot log in again."""
        client = Client.ready(cluster.nodes[0])
        cluster.users.remove("user")
        assert client.get(on_node(0)).status == Status.EACCESS
        assert client.ask(Opcode.NOOP).status == Status.SUCCESS
        assert client.log_in().status == Status.AUTH_ERROR
