"""The embedded cluster against recordings of a real data node."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import ProtocolError
from couchloop.hot.frames import Frame, FrameDecoder, encode_request, encode_response
from couchloop.wire import Magic, Opcode, decode_framing, encode_framing
from tests.embedded import fidelity
from tests.embedded.recordings import decode, frames, names
from tests.extras import needs_snappy

pytestmark = needs_snappy
"""Real nodes have compressed much of what they were recorded to say."""

# What an application can meet: all but statistics, and configurations that were asked for.
_APPLICATION_NAMES = """
GET GETQ GETK GETKQ SET ADD REPLACE DELETE APPEND PREPEND INCREMENT DECREMENT TOUCH GAT GET_LOCKED
UNLOCK_KEY GET_REPLICA GET_META GET_RANDOM_KEY OBSERVE OBSERVE_SEQNO COLLECTIONS_GET_MANIFEST
COLLECTIONS_GET_ID COLLECTIONS_GET_SCOPE_ID RANGE_SCAN_CREATE RANGE_SCAN_CONTINUE RANGE_SCAN_CANCEL
HELLO SASL_LIST_MECHS SASL_AUTH SASL_STEP SELECT_BUCKET GET_ERROR_MAP NOOP CLUSTERMAP_CHANGE closed
silence
"""
_APPLICATION = frozenset(_APPLICATION_NAMES.split()) | {
    opcode.name for opcode in Opcode if opcode.name.startswith("SUBDOC_")
}


@pytest.mark.parametrize("recording", names())
def test_nothing_is_unexpected(recording: str) -> None:
    """Every recorded answer is given, or a reason is written down why it is not."""
    found = [
        (score.scenario, outcome.line.step, outcome.operation, outcome.differences)
        for score in fidelity.scores(recording)
        for outcome in score.unexpected
    ]
    assert found == []


def test_every_answer_an_application_can_meet_is_the_same() -> None:
    """No rule excuses an operation of applications, and nothing is left for later."""
    for rule in fidelity.RULES:
        assert rule.column == fidelity.DIFFERENT
        assert rule.operations
        assert not rule.operations & _APPLICATION


@pytest.mark.parametrize(
    "rule", fidelity.RULES, ids=lambda rule: f"{rule.recording}-{rule.scenario}"
)
def test_every_excuse_is_needed(rule: fidelity.Rule) -> None:
    """A rule that excuses nothing any more has to go."""
    assert any(rule.reason in score.reasons for score in fidelity.scores(rule.recording))


def test_the_page_is_current() -> None:
    """docs/fidelity.md says what the recordings say today."""
    assert fidelity.PAGE.read_text(encoding="utf-8") == fidelity.page()


def _well_formed(recording: str) -> list[tuple[bytes, Frame]]:
    pairs = []
    for line in frames(recording):
        raw = line.recorded()
        if raw is None:
            continue
        try:
            pairs.append((raw, decode(raw)))
        except (ProtocolError, ValueError):
            # Sent on purpose, to see what a server does.
            assert line.sent, line
            assert recording == "03-kv-more"
    return pairs


@pytest.mark.parametrize("recording", names())
def test_decoding_and_encoding_a_frame_gives_its_bytes(recording: str) -> None:
    """Our decoder reads every recorded frame, and our encoders produce it again."""
    for raw, frame in _well_formed(recording):
        assert frame.encode() == raw
        parts: dict[str, Any] = {
            "key": frame.key,
            "extras": frame.extras,
            "value": frame.value,
            "opaque": frame.opaque,
            "cas": frame.cas,
            "datatype": frame.datatype,
        }
        if frame.magic in {Magic.ALT_REQUEST, Magic.ALT_RESPONSE} and not frame.framing:
            # Legal, but nothing that we would send.
            continue
        if frame.magic in {Magic.REQUEST, Magic.ALT_REQUEST}:
            encoded = encode_request(
                frame.opcode, vbucket=frame.vbucket, framing=frame.framing, **parts
            )
            assert encoded == raw
        elif frame.magic in {Magic.RESPONSE, Magic.ALT_RESPONSE}:
            encoded = encode_response(frame.opcode, frame.status, framing=frame.framing, **parts)
            assert encoded == raw


@pytest.mark.parametrize("recording", names())
def test_framing_extras_of_answers_round_trip(recording: str) -> None:
    """The framing extras of every recorded answer are read and written alike."""
    for _, frame in _well_formed(recording):
        if frame.magic == Magic.ALT_RESPONSE:
            assert encode_framing(decode_framing(frame.framing)) == frame.framing


@pytest.mark.parametrize("recording", names())
def test_a_stream_of_answers_decodes_in_any_pieces(recording: str) -> None:
    """All that a server ever sent to a client, in pieces of 7 and of 1000 bytes, is the same."""
    answers = [
        (raw, frame)
        for raw, frame in _well_formed(recording)
        if frame.magic in {Magic.RESPONSE, Magic.ALT_RESPONSE, Magic.SERVER_REQUEST}
    ][:400]
    stream = b"".join(raw for raw, _ in answers)
    for size in (7, 1000):
        decoder = FrameDecoder()
        found = []
        for at in range(0, len(stream), size):
            found += decoder.receive(stream[at : at + size])
        assert found == [frame for _, frame in answers]
