"""SASL: how a client shows who it is (SCRAM in two messages, PLAIN in one)."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.access.scram import ScramServer
from couchloop.embedded.access.users import AuthenticationFailed, MalformedMessage
from couchloop.embedded.core.answers import Answer, Refusal, invalid
from couchloop.embedded.core.request import Request
from couchloop.kv import scram as client_side
from couchloop.wire.constants import Status

MECHANISMS: Final = (*client_side.MECHANISMS, "PLAIN")
_SCRAM_NONCE: Final = 8


def sasl_list_mechs(request: Request) -> Answer:
    """SASL_LIST_MECHS (0x20)."""
    _refuse_by_certificate(request)
    return Answer(value=" ".join(MECHANISMS).encode())


def sasl_auth(request: Request) -> Answer:
    """SASL_AUTH (0x21): the first message of a mechanism."""
    _refuse_by_certificate(request)
    connection = request.connection
    if connection.scram is not None:
        raise invalid(
            "Logic error: The server expects SASL STEP after returning CONTINUE from SASL START"
        )
    name = request.frame.key.decode("utf-8", "replace")
    mechanism = name.upper()
    # A login ends with the next attempt, whatever becomes of that.
    connection.log_out()
    if mechanism not in MECHANISMS:
        raise Refusal(Status.AUTH_ERROR, f'Requested mechanism "{name}" is not supported')
    try:
        if mechanism == "PLAIN":
            connection.log_in(request.cluster.users.check_plain(request.frame.value))
            return Answer()
        nonce = request.cluster.generator.randbytes(_SCRAM_NONCE).hex().encode()
        scram = ScramServer(request.cluster.users, mechanism, request.frame.value, nonce)
    except MalformedMessage as error:
        raise Refusal(Status.EINVAL, reference=error.referenced) from None
    except AuthenticationFailed:
        raise Refusal(Status.AUTH_ERROR, reference=True) from None
    connection.scram = scram
    return Answer(value=scram.server_first, status=Status.AUTH_CONTINUE)


def sasl_step(request: Request) -> Answer:
    """SASL_STEP (0x22): the client's proof."""
    _refuse_by_certificate(request)
    connection = request.connection
    scram, connection.scram = connection.scram, None
    if scram is None:
        raise invalid(
            "Logic error: The server expects the client to start with SASL START before sending "
            "SASL STEP"
        )
    if request.frame.key.decode("utf-8", "replace").upper() != scram.mechanism:
        raise Refusal(Status.AUTH_ERROR, "An exception occurred", reference=True)
    try:
        user, server_final = scram.finish(request.frame.value)
    except MalformedMessage as error:
        raise Refusal(Status.EINVAL, reference=error.referenced) from None
    except AuthenticationFailed:
        raise Refusal(Status.AUTH_ERROR, reference=True) from None
    connection.log_in(user)
    return Answer(value=server_final)


def _refuse_by_certificate(request: Request) -> None:
    if request.connection.by_certificate:
        raise Refusal(Status.NOT_SUPPORTED)
