"""Recordings of a real data node: load them, take them apart, tell what two answers share.

The files are xz-compressed JSON lines: one frame or event a line, in the order in which things
happened. Of a frame only its bytes are kept, and what they cannot tell: `varies`, `subst`,
`recompute`, `note`.

``python -m tests.embedded.recordings FOLDER`` makes the copies in `recordings/` from the
originals in FOLDER.
"""

from __future__ import annotations

import json
import lzma
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from couchloop.hot.frames import HEADER, Frame, FrameDecoder
from couchloop.wire import Magic, Opcode, decode_framing, decode_leb128, snappy

FOLDER = Path(__file__).parent / "recordings"

# The decoded view of a frame says nothing that its bytes do not.
_DECODED_NAMES = """
magic opcode op status status_name vbucket datatype opaque cas body_len framing framing_decoded
extras extras_decoded cid key key_encoding value_len value value_encoding features specs results
path fragment observe observe_seqno auth
"""
_DECODED = frozenset(_DECODED_NAMES.split())
_UUIDS = frozenset({"uuid", "clusterUUID", "uri", "streamingUri"})
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


@dataclass
class Line:
    """One line of a recording: a frame, or an event."""

    step: int
    milliseconds: float
    data: dict[str, Any] = field(repr=False)

    @property
    def event(self) -> str | None:
        """Name of the event; None for a frame."""
        event: str | None = self.data.get("event")
        return event

    @property
    def connection(self) -> int:
        number: int = self.data["conn"]
        return number

    @property
    def sent(self) -> bool:
        """Whether the client sent the frame."""
        return bool(self.data["dir"] == "c->s")

    @property
    def varies(self) -> frozenset[str]:
        return frozenset(self.data.get("varies", ()))

    @property
    def note(self) -> str:
        return str(self.data.get("note", ""))

    def recorded(self) -> bytes | None:
        """Return the bytes of the frame; None if they are too long to be kept."""
        if "hex" in self.data:
            return bytes.fromhex(self.data["hex"])
        if "value_gen" in self.data:
            return _rebuilt(self.data["value_gen"], self.data["hex_omitted"])
        return None

    @property
    def head(self) -> bytes:
        """The first bytes of a frame that is not kept whole."""
        return bytes.fromhex(self.data["hex_omitted"]["head"])

    def same_but_long(self, frame: Frame) -> bool:
        """Compare an answer with one of which only the digest is kept, but for CAS and duration."""
        head = self.head
        mine = bytearray(frame.encode())
        mine[16:24] = head[16:24]
        if frame.framing:
            mine[25:27] = head[25:27]
        return sha256(mine).hexdigest() == str(self.data["hex_omitted"]["sha256"])


def _rebuilt(recipe: str, omitted: dict[str, Any]) -> bytes:
    """Make a long request again: its beginning is kept, the rest is one byte many times."""
    head = bytes.fromhex(omitted["head"])
    made = re.fullmatch(r"(.*?)([0-9a-f]{2}) repeated (\d+) times(?: \+ (.*))?", recipe)
    assert made is not None, recipe
    filler, end = bytes.fromhex(made[2]) * int(made[3]), (made[4] or "").encode()
    if made[1] == "snappy of ":
        magic, opcode, key, extras, datatype, vbucket, _, opaque, cas = HEADER.unpack_from(head)
        block = snappy.compress(filler)
        length = extras + key + len(block)
        header = HEADER.pack(magic, opcode, key, extras, datatype, vbucket, length, opaque, cas)
        return header + head[24 : 24 + extras + key] + block
    return head[: omitted["len"] - len(filler) - len(end)] + filler + end


@dataclass
class Scenario:
    """Lines that belong together."""

    name: str
    about: str
    cluster: str
    lines: list[Line]


def names() -> list[str]:
    """Return the names of all recordings."""
    return sorted(path.name.removesuffix(".jsonl.xz") for path in FOLDER.glob("*.jsonl.xz"))


@cache
def load(name: str) -> list[Scenario]:
    """Return the scenarios of a recording, in order."""
    scenarios: dict[str, Scenario] = {}
    for text in lzma.decompress((FOLDER / f"{name}.jsonl.xz").read_bytes()).splitlines():
        data = json.loads(text)
        title = data.pop("scenario")
        line = Line(data.pop("step"), data.pop("t_ms", 0), data)
        if title not in scenarios:
            scenarios[title] = Scenario(title, data.get("about", ""), data.get("cluster", ""), [])
        scenarios[title].lines.append(line)
    return list(scenarios.values())


def frames(name: str) -> Iterator[Line]:
    """Yield every frame of a recording."""
    for scenario in load(name):
        for line in scenario.lines:
            if line.event is None:
                yield line


def decode(raw: bytes) -> Frame:
    """Return the frame that the bytes are. Raises ProtocolError if they are none, or more."""
    decoder = FrameDecoder(frozenset(Magic))
    (frame,) = decoder.receive(raw)
    return frame


# --- what must be equal -------------------------------------------------------------------------


def differences(frame: Frame, line: Line) -> list[str]:
    """Name the parts in which an answer differs from the recorded one, but for what varies."""
    recorded = line.recorded()
    if recorded is None:
        return [] if line.same_but_long(frame) else ["digest"]
    wanted, varies = decode(recorded), line.varies
    mine, theirs = _comparable(frame, varies), _comparable(wanted, varies)
    return [name for name in theirs if mine[name] != theirs[name]]


def _comparable(frame: Frame, varies: frozenset[str]) -> dict[str, object]:
    parts: dict[str, object] = {
        "magic": frame.magic,
        "opcode": frame.opcode,
        "status": frame.status,
        "datatype": frame.datatype,
        "opaque": 0 if frame.magic == Magic.SERVER_REQUEST else frame.opaque,
        "key": frame.key,
        "cas": frame.cas,
        "framing": frame.framing,
        "extras": _extras(frame, varies),
        "value": _value(frame, varies),
    }
    if "cas" in varies:
        # In answers of these two it is no CAS at all.
        parts["cas"] = frame.opcode in {Opcode.STAT, Opcode.OBSERVE} or bool(frame.cas)
    if "framing.server_duration" in varies:
        parts["framing"] = [
            (number, b"" if number == 0 else data) for number, data in decode_framing(frame.framing)
        ]
    for name in ("key", "datatype"):
        if name in varies:
            parts[name] = "varies"
    return parts


def _extras(frame: Frame, varies: frozenset[str]) -> bytes:
    if "extras" in varies:
        return b"varies"
    extras = bytearray(frame.extras)
    meta = frame.opcode == Opcode.GET_META
    for name, span in (
        ("extras.vbuuid", slice(0, 8)),
        ("extras.seqno", slice(12, 20) if meta else slice(8, 16)),
        ("extras.expiry", slice(8, 12)),
    ):
        if name in varies:
            extras[span] = bytes(len(extras[span]))
    return bytes(extras)


def _value(frame: Frame, varies: frozenset[str]) -> object:
    value: object = frame.value
    for name in sorted(varies):
        if name in {"value.error.ref", "value.error.context"}:
            value = _without_error_member(frame.value if value is frame.value else value, name)
        elif name == "value.config":
            value = _configuration(frame)
        elif name == "value.range_scan_items" and not frame.datatype:
            value = _scanned(frame)
        elif name == "value.range_scan_items":
            pass
        elif name == "value.observe":
            value = _observed(frame.value)
        elif name.startswith("results["):
            value = _result_shapes(frame, value, int(name[8:-1]))
        elif name.startswith("value"):
            value = name
    return value


def _without_error_member(value: object, name: str) -> object:
    try:
        document = json.loads(value) if isinstance(value, bytes) else value
    except ValueError:
        return value
    if isinstance(document, dict) and isinstance(document.get("error"), dict):
        document["error"].pop(name.removeprefix("value.error."), None)
    return document


def _configuration(frame: Frame) -> object:
    text = snappy.decompress(frame.value, 1 << 24) if frame.datatype & 2 else frame.value
    try:
        document = json.loads(text)
    except ValueError:
        return text
    return {name: "varies" if name in _UUIDS else part for name, part in document.items()}


def _scanned(frame: Frame) -> object:
    """Take a scan's items apart: of documents all but seqno and CAS, which are the run's own."""
    value, at, items = frame.value, 0, []
    while at < len(value):
        head = b""
        if frame.extras != bytes(4):
            head = value[at : at + 8] + value[at + 24 : at + 25]
            at += 25
        key, at = _prefixed(value, at)
        body = b""
        if head:
            body, at = _prefixed(value, at)
        items.append((head, key, body))
    return items


def _prefixed(value: bytes, at: int) -> tuple[bytes, int]:
    length, at = decode_leb128(value, at)
    return value[at : at + length], at + length


def _observed(value: bytes) -> object:
    """Of a state only whether the document is there: when it reaches the disk is chance."""
    keys, at = [], 0
    while at < len(value):
        end = at + 4 + int.from_bytes(value[at + 2 : at + 4])
        keys.append((value[at:end], value[end] & 0x80))
        at = end + 9
    return keys


def _result_shapes(frame: Frame, value: object, index: int) -> object:
    results: Any = value
    if isinstance(value, bytes):
        results, at = [], 0
        while at < len(frame.value):
            status = int.from_bytes(frame.value[at : at + 2])
            length = int.from_bytes(frame.value[at + 2 : at + 6])
            results.append((status, frame.value[at + 6 : at + 6 + length]))
            at += 6 + length
    if isinstance(results, list) and index < len(results):
        status, body = results[index]
        try:
            results[index] = (status, _shape(json.loads(body)))
        except ValueError:
            results[index] = (status, "varies")
    return results


def _shape(document: object) -> object:
    if isinstance(document, dict):
        # Missing until the vbucket was first written to disk.
        return {name: _shape(part) for name, part in document.items() if name != "last_modified"}
    if isinstance(document, list):
        return [_shape(part) for part in document[:1]]
    return type(document).__name__


def pack(folder: Path) -> None:
    """Make the compressed copies from the originals."""
    for path in sorted(folder.glob("*.jsonl")):
        lines = []
        for text in path.read_text(encoding="utf-8").splitlines():
            data = json.loads(text)
            if "event" not in data:
                data = {name: part for name, part in data.items() if name not in _DECODED}
                data = {name: part for name, part in data.items() if part not in ("", [], None)}
            lines.append(json.dumps(data, separators=(",", ":"), ensure_ascii=False))
        packed = lzma.compress("\n".join(lines).encode(), filters=_FILTERS)
        (FOLDER / f"{path.name}.xz").write_bytes(packed)


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
