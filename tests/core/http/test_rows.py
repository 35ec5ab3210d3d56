"""The rows of a service's answer, in whatever pieces it comes."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    AnswerError,
    AnswerTooLargeError,
    BrokenAnswerError,
    IncompleteAnswerError,
    ProtocolError,
)
from couchloop.http import whole_rows
from couchloop.http.rows import DEEPEST, QUERY_ROWS, SEARCH_ROWS, VIEW_ROWS, RowScanner
from couchloop.http.whole_rows import try_decode_list
from tests.core.http.answers import Recorded, compact, in_lines, indented, recorded
from tests.garbage import release
from tests.share import spread

ANSWERS: Final = recorded()
OBJECTS: Final = [each for each in ANSWERS if isinstance(each.means, dict)]
AS_SENT: Final = [each for each in OBJECTS if " " not in each.name or "compact" in each.name]
"""Each once, without the layouts that we have made up."""
SHORT: Final = [each for each in AS_SENT if len(each.text) < 800]

HAS_MSGSPEC: Final = whole_rows.split is not None

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(
        ['"', '\\"', "},", "\n", "],[", '{"a":', "\\", "é", "\N{GRINNING FACE}", "\ud800"]
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
LAYOUTS = st.sampled_from([
    in_lines,
    indented,
    compact,
    lambda value: json.dumps(value).encode(),
])  # fmt: skip


@pytest.fixture(params=["msgspec", "without"])
def ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test with what cuts many rows at once by msgspec, and without it."""
    if request.param == "msgspec" and not HAS_MSGSPEC:
        pytest.skip("msgspec is not installed")
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "without":
            patched.setattr(whole_rows, "split", None)
        yield


def pieces(text: bytes, size: int) -> list[bytes]:
    """Cut *text* into pieces of *size* bytes."""
    return [text[at : at + size] for at in range(0, len(text), size)]


class Outcome:
    """What a scanner has made of an answer."""

    def __init__(self, member: str, parts: list[bytes], **limits: Any) -> None:
        self.rows: list[bytes] = []
        self.members: dict[str, Any] | None = None
        self.error: AnswerError | None = None
        self.scanner = RowScanner(member, **limits)
        try:
            for part in parts:
                self.rows += self.scanner.feed(part)
            self.members = self.scanner.close()
        except AnswerError as error:
            self.error = error
        assert self.scanner.rows == len(self.rows)
        assert self.error is None or self.error.rows == len(self.rows)

    @property
    def values(self) -> list[Any]:
        """What the rows mean."""
        return [json.loads(row) for row in self.rows]

    @property
    def told(self) -> object:
        """All that is not to depend on how the answer was cut into pieces."""
        return (self.rows, self.members, type(self.error), str(self.error))


def split_answer(member: str, means: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Give the rows, and the other members."""
    return means.get(member) or [], {name: each for name, each in means.items() if name != member}


class TestRecordedAnswers:
    """What services have answered."""

    def test_there_are_some(self) -> None:
        """All of them are here, with and without rows."""
        assert len(ANSWERS) > 200
        for member in (QUERY_ROWS, VIEW_ROWS, SEARCH_ROWS):
            of_it = [each.means for each in OBJECTS if each.member == member]
            assert any(means.get(member) for means in of_it)
            assert any(member not in means for means in of_it)
        assert any(each.means.get(SEARCH_ROWS, 0) is None for each in OBJECTS)

    @pytest.mark.parametrize("answer", ANSWERS, ids=lambda each: each.name)
    def test_in_pieces(self, answer: Recorded) -> None:
        """Whole, byte by byte, or in between: the same rows, and the same members beside them."""
        for size in (len(answer.text), 1, 2, 7, 100):
            outcome = Outcome(answer.member, pieces(answer.text, size))
            if not isinstance(answer.means, dict):
                assert isinstance(outcome.error, BrokenAnswerError)
                assert outcome.rows == []
                continue
            rows, members = split_answer(answer.member, answer.means)
            assert outcome.values == rows
            assert outcome.members == members
            assert outcome.scanner.has_rows == isinstance(answer.means.get(answer.member), list)
            assert outcome.scanner.is_complete

    @pytest.mark.parametrize("answer", AS_SENT, ids=lambda each: each.name)
    def test_read_together(self, answer: Recorded) -> None:
        """Rows that are read where they are found mean the same as those that are read alone."""
        rows, members = split_answer(answer.member, answer.means)
        for size in (len(answer.text), 100, 2000):
            scanner = RowScanner(answer.member, read=try_decode_list)
            found: list[Any] = []
            for piece in pieces(answer.text, size):
                found += scanner.feed(piece)
            assert [json.loads(row) if type(row) is bytes else row for row in found] == rows
            assert scanner.close() == members
            assert scanner.rows == len(rows)

    @pytest.mark.parametrize("answer", AS_SENT, ids=lambda each: each.name)
    def test_cut_short(self, answer: Recorded) -> None:
        """Wherever it is cut short, the rows before are given, and it is said that it has ended."""
        rows, members = split_answer(answer.member, answer.means)
        end = len(answer.text.rstrip())
        for cut in spread(range(end)):
            outcome = Outcome(answer.member, [answer.text[:cut]])
            assert isinstance(outcome.error, IncompleteAnswerError)
            assert outcome.values == rows[: len(outcome.rows)]
            kept = outcome.scanner.members
            assert kept == {name: members[name] for name in kept}
            assert not outcome.scanner.is_complete
        assert Outcome(answer.member, [answer.text[:end]]).error is None

    @pytest.mark.parametrize("answer", OBJECTS, ids=lambda each: each.name)
    def test_rows_as_they_come(self, answer: Recorded) -> None:
        """A row is there with its last byte, not with what follows; its bytes are as they came."""
        scanner = RowScanner(answer.member)
        rows, members = split_answer(answer.member, answer.means)
        given = b""
        for part in pieces(answer.text, 1):
            given += part
            for row in scanner.feed(part):
                assert given.endswith(row)
                before = list(answer.means)[: list(answer.means).index(answer.member)]
                assert scanner.members == {name: members[name] for name in before}
        assert scanner.rows == len(rows)


@pytest.mark.usefixtures("ways")
class TestAnyAnswer:
    """What no service has answered yet."""

    @given(
        rows=st.lists(JSON),
        before=st.dictionaries(st.text(), JSON, max_size=3),
        after=st.dictionaries(st.text(), JSON, max_size=3),
        layout=LAYOUTS,
        data=st.data(),
    )
    def test_any_json(
        self,
        rows: list[Any],
        before: dict[str, Any],
        after: dict[str, Any],
        layout: Any,
        data: st.DataObject,
    ) -> None:
        """Any rows among any members, in any layout and any pieces, are what `json` reads."""
        means = {**before, "rows": rows, **after, "rows ": None}
        try:
            text = layout(means)
        except UnicodeEncodeError:
            text = json.dumps(means).encode()
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
        parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        outcome = Outcome("rows", parts)
        assert outcome.error is None
        assert outcome.values == json.loads(text)["rows"]
        assert outcome.members == {k: v for k, v in json.loads(text).items() if k != "rows"}
        assert Outcome("rows", pieces(text, 1)).told == outcome.told

    @given(
        rows=st.lists(JSON, min_size=1, max_size=6),
        times=st.integers(2, 40),
        layout=LAYOUTS,
        size=st.integers(100, 5000),
    )
    def test_many_rows(self, rows: list[Any], times: int, layout: Any, size: int) -> None:
        """Many rows in a piece are the same rows."""
        means = {"rows": rows * times, "status": "success"}
        try:
            text = layout(means)
        except UnicodeEncodeError:
            text = json.dumps(means).encode()
        outcome = Outcome("rows", pieces(text, size))
        assert outcome.values == json.loads(text)["rows"]
        assert outcome.members == {"status": "success"}

    @given(
        answer=st.sampled_from(SHORT),
        times=st.integers(1, 3),
        at=st.floats(0, 1, exclude_max=True),
        gone=st.integers(0, 3),
        put=st.binary(max_size=3)
        | st.sampled_from([b",", b"]", b"}", b'"', b"\\", b"\0", b"[", b"1"]),
        size=st.integers(1, 300),
    )
    def test_any_fault(
        self, answer: Recorded, times: int, at: float, gone: int, put: bytes, size: int
    ) -> None:
        """Broken somewhere, it is the same broken answer in all pieces: rows, then an error."""
        means = dict(answer.means)
        if means.get(answer.member):
            # A new list: the recorded one is for every example.
            means[answer.member] = means[answer.member] * times
        text = in_lines(means)
        begin = int(at * len(text))
        broken = text[:begin] + put + text[begin + gone :]
        outcome = Outcome(answer.member, [broken])
        assert Outcome(answer.member, pieces(broken, size)).told == outcome.told
        assert Outcome(answer.member, pieces(broken, 1)).told == outcome.told
        try:
            meaning = json.loads(broken.decode())
        except (ValueError, RecursionError):
            assert outcome.error is not None or not decodes(outcome.rows)
            return
        if outcome.error is None:
            rows, members = split_answer(answer.member, meaning)
            assert (outcome.values, outcome.members) == (rows, members)

    @given(st.binary(), st.integers(1, 9))
    def test_any_bytes(self, junk: bytes, size: int) -> None:
        """Bytes that are no answer give an error of ours, whatever they are."""
        assert Outcome("rows", pieces(junk, size)).told == Outcome("rows", [junk]).told


def decodes(rows: list[bytes]) -> bool:
    """Whether all rows are JSON."""
    try:
        for row in rows:
            json.loads(row.decode())
    except (ValueError, RecursionError):
        return False
    return True


def answer(rows: bytes, rest: bytes = b',"status":"success"}') -> bytes:
    """Give an answer of the query service whose list of rows is written as *rows*."""
    return b'{"requestID":"x","results":[' + rows + b"]" + rest


@pytest.mark.usefixtures("ways")
class TestBrokenAnswers:
    """What is no answer of a service."""

    @pytest.mark.parametrize(
        ("text", "why", "rows"),
        [
            (b"<html>", "no JSON object: did a proxy", 0),
            (b"[]", "no JSON object", 0),
            (b"\xef\xbb\xbf{}", "no JSON object", 0),
            (b"\xff\xfe{\0}\0", "no JSON object", 0),
            (b"{,}", "name of a member is missing", 0),
            (b'{"a":1,}', "name of a member is missing", 0),
            (b"{a:1}", "name of a member is missing", 0),
            (b'{"a" 1}', "colon is missing", 0),
            (b'{"a":,"b":1}', "is missing, or begins wrongly", 0),
            (b'{"a":1 2}', "comma or its end is missing", 0),
            (b'{"a":01}', "is no value", 0),
            (b'{"a":tru}', "is no value", 0),
            (b'{"a":NaN}', "begins wrongly", 0),
            (b'{"a":{"b"}}', "no JSON beside its rows", 0),
            (b'{"a":[1}}', "no JSON beside its rows", 0),
            (b'{"a":"\xff"}', "no JSON beside its rows", 0),
            (b'{"a":"\xc3"}', "no JSON beside its rows", 0),
            (b'{"\xff":1}', "no JSON beside its rows", 0),
            (b'{"a":"\n"}', "no JSON beside its rows", 0),
            (b'{"a":"\0x\0"}', "NUL bytes", 0),
            (b'{"a":1}\0', "follows the end", 0),
            (b'{"a":1,"a":1}', "member twice", 0),
            (b'{"a":1,"\\u0061":1}', "member twice", 0),
            (b'{"results":[],"results":[]}', "member twice", 0),
            (b'{"results":null,"results":[1]}', "member twice", 0),
            (b'{"results":{}}', "'results' of the answer is no list", 0),
            (b'{"results":"[1]"}', "'results' of the answer is no list", 0),
            (b'{"results":0}', "'results' of the answer is no list", 0),
            (answer(b"{},"), "row of the answer is missing", 1),
            (answer(b",{}"), "row of the answer is missing", 0),
            (answer(b"1,,2"), "row of the answer is missing", 1),
            (answer(b"{}{}"), "comma between rows is missing", 1),
            (answer(b"1 2"), "comma between rows is missing", 1),
            (answer(b'"a""b"'), "comma between rows is missing", 1),
            (answer(b"{}:{}"), "comma between rows is missing", 1),
            (answer(b"1,2,-"), "is no value", 2),
            (answer(b"1,.5"), "begins wrongly", 1),
            (answer(b"1,Infinity"), "begins wrongly", 1),
            (answer(b"{}", b"]}"), "comma or its end is missing", 1),
            (answer(b"{}", b"}{}"), "follows the end", 1),
            (answer(b"{}", b"}\nHTTP/1.1 200 OK"), "follows the end", 1),
        ],
    )  # fmt: skip
    def test_broken(self, text: bytes, why: str, rows: int) -> None:
        """What is wrong is said, and how many rows were given before."""
        for size in (len(text), 1, 3):
            outcome = Outcome("results", pieces(text, size))
            error = outcome.error
            assert isinstance(error, BrokenAnswerError)
            assert isinstance(error, ProtocolError)
            assert why in str(error)
            assert error.rows == rows
            assert 0 <= error.offset < len(text)
            assert f"{rows} rows" in error.details()
            assert not outcome.scanner.is_complete

    def test_rows_before_the_fault(self) -> None:
        """Rows before a fault are given first; each later call raises it, a new one each time."""
        scanner = RowScanner(QUERY_ROWS)
        assert scanner.feed(answer(b"1,{},x")) == [b"1", b"{}"]
        assert isinstance(scanner.fault, BrokenAnswerError)
        with pytest.raises(BrokenAnswerError) as first:
            scanner.feed(b"]}")
        with pytest.raises(BrokenAnswerError) as second:
            scanner.close()
        assert str(first.value) == str(second.value) == str(scanner.fault)
        assert first.value.rows == second.value.rows == scanner.rows == 2
        assert first.value is not second.value

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (b"", "is empty"),
            (b" \r\n", "is empty"),
            (b"{", "before its rows"),
            (b'{"a":1', "before its rows"),
            (b'{"results":[', "among its rows"),
            (b'{"results":[1', "among its rows"),
            (b'{"results":[1,', "among its rows"),
            (b'{"results":[{},{"a', "among its rows"),
            (b'{"results":[{}]', "after its rows"),
            (b'{"results":[{}],"status":"succ', "after its rows"),
            (b'{"results":[{}],"errors":[{}', "after its rows"),
        ],
    )
    def test_cut_off(self, text: bytes, why: str) -> None:
        """It is said where an answer was cut off."""
        outcome = Outcome("results", [text])
        assert isinstance(outcome.error, IncompleteAnswerError)
        assert why in str(outcome.error)
        assert outcome.error.offset == len(text)

    def test_faults_hold_nothing(self) -> None:
        """Neither the scanner nor its fault needs the collector to go."""
        gc.disable()
        try:
            scanner = RowScanner(QUERY_ROWS)
            with suppress(BrokenAnswerError):
                scanner.feed(b'{"a":"\xff"}')
            gone = weakref.ref(scanner)
            fault = scanner.fault
            assert fault is not None
            assert fault.__traceback__ is None
            del scanner
            release()
            assert gone() is None
        finally:
            gc.enable()


@pytest.mark.usefixtures("ways")
class TestNames:
    """Which member has the rows."""

    def test_names_inside(self) -> None:
        """Members of that name inside rows or other members are none."""
        inside = {"results": [1, {"results": []}], "errors": [], "status": "fatal"}
        means = {"profile": inside, "results": [inside, inside], "results2": inside}
        outcome = Outcome("results", [compact(means)])
        assert outcome.values == [inside, inside]
        assert outcome.members == {"profile": inside, "results2": inside}

    @pytest.mark.parametrize("text", [b'{"r\\u0065sults":[1]}', b'{"results" : [ 1 ] }'])
    def test_spelling(self, text: bytes) -> None:
        """The name is the name, however it is written."""
        for size in (len(text), 1):
            assert Outcome("results", pieces(text, size)).rows == [b"1"]

    def test_no_rows(self) -> None:
        """There may be none: an empty list is one, `null` and an absent member are not."""
        for text, has_rows in ((b'{"hits":[]}', True), (b'{"hits":null}', False), (b"{}", False)):
            outcome = Outcome(SEARCH_ROWS, [text])
            assert (outcome.rows, outcome.members) == ([], {})
            assert outcome.scanner.has_rows == has_rows

    def test_where_it_is(self) -> None:
        """Who feeds it can tell before, among and after the rows."""
        scanner = RowScanner(VIEW_ROWS)
        told = []
        for part in (b'{"total_rows":2,', b'"rows":[{"id', b'":1},2', b"]", b"}"):
            scanner.feed(part)
            told.append((scanner.is_among_rows, scanner.is_complete))
        assert told == [(False, False), (True, False), (True, False), (False, False), (False, True)]
        assert scanner.members == {"total_rows": 2}

    def test_text_outside_utf8(self) -> None:
        """What is in a row is for who decodes it; where it ends is known all the same."""
        rows = [b'{"a":"\xff\xfe"}', b'"\0"', b'{"a" 1}', b"[1}", b'"\\ud800"']
        for text in (answer(b",".join(rows)), answer(b",\n".join(rows * 30))):
            for size in (len(text), 1, 50):
                assert Outcome("results", pieces(text, size)).rows[:5] == rows

    def test_other_buffers(self) -> None:
        """A piece may be any kind of buffer; rows are bytes."""
        scanner = RowScanner(QUERY_ROWS)
        rows = scanner.feed(bytearray(answer(b"{},[1],2")))
        assert rows == [b"{}", b"[1]", b"2"]
        assert {type(row) for row in rows} == {bytes}


@pytest.mark.usefixtures("ways")
class TestBounds:
    """How much is taken."""

    @pytest.mark.parametrize("begin", [b'{"results":[', b'{"a":', b'{"results":[1,'])
    @pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
    def test_brackets(self, begin: bytes, bracket: bytes) -> None:
        """A million brackets are too many; the scanner does not descend into them."""
        outcome = Outcome("results", pieces(begin + bracket * 1_000_000, 65536))
        assert isinstance(outcome.error, AnswerTooLargeError)
        assert f"nested more than {DEEPEST} times: ask for less" in str(outcome.error)

    @pytest.mark.parametrize("deepest", [1, 3, 8, 9, 30, 500])
    def test_depth(self, deepest: int) -> None:
        """As deep as may be is taken, one more is not: alone, or among many rows."""
        good = b"[" * deepest + b"]" * deepest
        for rows in ([good], [b"1", good] * 40):
            for around in (b",", b",\n"):
                text = answer(around.join(rows))
                for size in (len(text), 100, 1):
                    assert Outcome("results", pieces(text, size), deepest=deepest).rows == rows
                text = answer(around.join([*rows, b"[%b]" % good, b"1"]))
                for size in (len(text), 100):
                    outcome = Outcome("results", pieces(text, size), deepest=deepest)
                    assert isinstance(outcome.error, AnswerTooLargeError)
                    assert outcome.rows == rows

    def test_wide_rows(self) -> None:
        """Many brackets beside each other are not deep."""
        row = compact([[], {}] * 2 * DEEPEST)
        text = answer(b",\n".join([row] * 20))
        assert Outcome("results", [text]).rows == [row] * 20

    @pytest.mark.parametrize("size", [1, 10, 10_000])
    def test_long_rows(self, size: int) -> None:
        """A row as long as may be is taken, one byte more is not, white space does not count."""
        for row in (b'"%b"' % (b"x" * 98), b"1" * 100, b"[%b]" % (b" " * 98)):
            text = answer(b"1,\n  " + b" ,\n  ".join([row] * 20) + b" ")
            assert Outcome("results", pieces(text, size), longest_row=100).rows == [
                b"1",
                *[row] * 20,
            ]
            outcome = Outcome("results", pieces(text, size), longest_row=99)
            assert isinstance(outcome.error, AnswerTooLargeError)
            assert "a row of the answer has more than 99 bytes: ask for less" in str(outcome.error)
            assert outcome.rows == [b"1"]

    @pytest.mark.parametrize("size", [1, 10, 10_000])
    def test_long_rest(self, size: int) -> None:
        """All that stands beside the rows is bounded together, names too."""
        text = b'{"a":"xxx","results":["%b"],"b":"xxx","c":[]}' % (b"x" * 1000)
        exactly = len(b'"a""xxx""results""b""xxx""c"[]')
        assert Outcome("results", pieces(text, size), longest_rest=exactly).error is None
        outcome = Outcome("results", pieces(text, size), longest_rest=exactly - 1)
        assert isinstance(outcome.error, AnswerTooLargeError)
        assert "beside the rows has more than" in str(outcome.error)
        assert len(outcome.rows) == 1

    @pytest.mark.parametrize("row", [{"n": 1, "name": "x" * 150}, 12345, "y" * 3000])
    def test_memory(self, row: object) -> None:
        """What is held is one row, not one answer."""
        tracemalloc = pytest.importorskip("tracemalloc")
        scanner = RowScanner(QUERY_ROWS)
        scanner.feed(b'{"results":[')
        piece = b",\n".join([compact(row)] * 20) + b",\n"
        for number in range(40):
            scanner.feed(piece)
            if number == 10:
                tracemalloc.start()
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert scanner.rows == 40 * 20
        assert grown < 20 * 1024
