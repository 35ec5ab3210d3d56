"""Sub-documents of a whole bucket in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from couchloop import subdocument as sd
from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    CasMismatchError,
    ContentionError,
    CouchbaseError,
    DocumentExistsError,
    DocumentLockedError,
    DocumentNotJsonError,
    DocumentTooDeepError,
    NotFoundError,
    ServerInvalidArgumentError,
    SubdocBadDeltaError,
    SubdocCanOnlyReviveDeletedError,
    SubdocCantInsertValueError,
    SubdocDeletedCantHaveValueError,
    SubdocFieldNotBinaryError,
    SubdocInvalidComboError,
    SubdocNumberTooBigError,
    SubdocPathExistsError,
    SubdocPathInvalidError,
    SubdocPathMismatchError,
    SubdocPathNotFoundError,
    SubdocPathTooBigError,
    SubdocValueTooDeepError,
    SubdocXattrCantModifyVattrError,
    SubdocXattrUnknownMacroError,
    SubdocXattrUnknownVattrError,
    TooBigError,
)
from couchloop.operations import document as docs
from couchloop.operations import subdocument as ops
from couchloop.transcoder import FMT_BYTES
from couchloop.wire import Opcode
from tests.core.session.support import error_of, opened
from tests.core.world import World
from tests.share import share

DOCUMENT = {
    "a": 1,
    "s": "str",
    "o": {"x": [1, 2, {"y": "deep"}]},
    "arr": [1, 2, 3],
    "n": None,
    "e.mail": "x@y",
    "big": 2**63,
}


def with_document(**more: Any) -> World:
    """Return a world whose bucket has a document, `k`."""
    w = opened(**more)
    w.do(docs.upsert(w.defaults, "k", DOCUMENT))
    return w


def look(w: World, *specs: sd.Spec, **more: Any) -> Any:
    """Look up in `k`."""
    return w.do(ops.lookup_in(w.defaults, "k", *specs, **more))


def change(w: World, *specs: sd.Spec, **more: Any) -> Any:
    """Change `k`."""
    return w.do(ops.mutate_in(w.defaults, "k", *specs, **more))


def value(w: World) -> Any:
    """Return the whole of `k`."""
    return w.do(docs.get(w.defaults, "k")).value


class TestLookups:
    """Reading."""

    def test_every_kind_of_path(self) -> None:
        """Members, elements, names with dots, the root; what is there, and what is not."""
        w = with_document()
        result = look(
            w,
            sd.get("o.x[2].y"),
            sd.get("arr[-1]"),
            sd.get(sd.path("e.mail")),
            sd.exists("n"),
            sd.exists("zz"),
            sd.get_count("o.x"),
            sd.count(""),
            sd.get(""),
            sd.get("a.b"),
            sd.get("a..b"),
            sd.get(".".join("a" * 32)),
            sd.exists(""),
        )
        assert [result[place] for place in range(3)] == ["deep", 3, "x@y"]
        assert result["n"] is True
        assert not result.exists("zz")
        assert [result[5], result[6], result[7]] == [3, len(DOCUMENT), DOCUMENT]
        for path, kind in {
            "a.b": SubdocPathMismatchError,
            "a..b": SubdocPathInvalidError,
            ".".join("a" * 32): SubdocPathTooBigError,
        }.items():
            with pytest.raises(kind):
                _ = result[path]
        assert result[11] is True
        assert result.cas == w.do(docs.get(w.defaults, "k")).cas
        w.advance(10)
        w.assert_idle()

    def test_retrieve_in(self) -> None:
        """Paths alone are enough where values are read."""
        w = with_document()
        result = w.do(ops.retrieve_in(w.defaults, "k", "a", "arr[0]", "zz"))
        assert (result["a"], result["arr[0]"], result.exists("zz")) == (1, 1, False)

    def test_no_document(self) -> None:
        """It is a NotFoundError, or a quiet miss."""
        w = opened()
        op = w.submit(ops.lookup_in(w.defaults, "k", sd.get("a")))
        w.settle()
        assert type(error_of(op)) is NotFoundError
        assert not look(w, sd.get("a"), quiet=True).access_ok

    def test_a_locked_document(self) -> None:
        """The server refuses lookups, too; nothing is tried again for it."""
        w = with_document()
        lock(w)
        op = w.submit(ops.lookup_in(w.defaults, "k", sd.get("a")))
        w.settle()
        assert isinstance(error_of(op), DocumentLockedError)

    def test_documents_that_are_not_json(self) -> None:
        """Its paths fail by themselves; what is asked of its attributes does not."""
        w = opened()
        w.do(docs.upsert(w.defaults, "k", b"\xff", format=FMT_BYTES))
        result = look(w, sd.get("a"), sd.get("$document.value_bytes", xattr=True))
        assert result[1] == 1
        with pytest.raises(DocumentNotJsonError):
            _ = result[0]

    def test_documents_that_are_too_deep(self) -> None:
        """Nothing is found in a document of 33 levels."""
        w = opened()
        deep: Any = 1
        for _ in range(33):
            deep = {"d": deep}
        w.do(docs.upsert(w.defaults, "k", deep))
        with pytest.raises(DocumentTooDeepError):
            _ = look(w, sd.get("d"))[0]

    def test_virtual_xattrs(self) -> None:
        """What the server knows of a document; an unknown one is its path's error."""
        w = opened()
        w.do(docs.upsert(w.defaults, "k", {}, ttl=100))
        macro = sd.LookupInMacro
        result = look(
            w,
            sd.get(macro.document(), xattr=True),
            sd.get(macro.cas(), xattr=True),
            sd.get(macro.expiry_time(), xattr=True),
            sd.get(macro.is_deleted(), xattr=True),
            sd.get(macro.seq_no(), xattr=True),
            sd.get(macro.rev_id(), xattr=True),
            sd.get(macro.last_modified(), xattr=True),
            sd.get(macro.value_size_bytes(), xattr=True),
            sd.get(macro.vbucket_uuid(), xattr=True),
            sd.get("$XTOC", xattr=True),
            sd.get("$nosuch", xattr=True),
        )
        assert int(result[macro.cas()], 16) == result.cas
        assert result[macro.expiry_time()] > 0
        assert result[macro.is_deleted()] is False
        assert result[macro.value_size_bytes()] == 2
        assert result["$XTOC"] == []
        assert set(result[0]) > {"exptime", "flags", "datatype"}
        with pytest.raises(SubdocXattrUnknownVattrError):
            _ = result["$nosuch"]

    @pytest.mark.parametrize("count", [16, 17, 32, 100])
    def test_any_number_of_specs(self, count: int) -> None:
        """More than 16 take several requests, and are one result in their order."""
        w = opened()
        w.do(docs.upsert(w.defaults, "k", {f"p{n}": n for n in range(count)}))
        specs = [sd.get(f"p{n}") for n in range(count)]
        specs[3] = sd.get("$document.CAS", xattr=True)
        specs[-1] = sd.get("zz")
        result = w.do(ops.lookup_in(w.defaults, "k", specs))
        assert result.command_count == result.result_count == count
        assert [result[n] for n in (0, 1, 14)] == [0, 1, 14]
        assert int(result[3], 16) == result.cas
        assert result.rc == 0x49
        assert not result.exists(count - 1)

    def test_many_specs_of_no_document(self) -> None:
        """It is missing as a whole, quietly or not."""
        w = opened()
        specs = [sd.get("a")] * 20
        with pytest.raises(NotFoundError) as caught:
            look(w, *specs)
        assert caught.value.context is not None
        assert caught.value.context.operation == "lookup_in"
        result = look(w, *specs, quiet=True)
        assert (result.access_ok, result.command_count) == (False, 20)

    def test_many_specs_see_one_state(self) -> None:
        """What another changed between two of the requests is read anew, and never mixed."""
        w = opened()
        w.do(docs.upsert(w.defaults, "k", dict.fromkeys(map(str, range(20)), 0)))
        meddle(w, tries=2)
        op = w.submit(ops.lookup_in(w.defaults, "k", *(sd.get(str(n)) for n in range(20))))
        w.advance(1)
        result = op.result()
        assert len(set(result)) == 1
        assert result[0] == 2

    def test_many_specs_under_contention(self) -> None:
        """If it never succeeds that is an error after a bound, which says so."""
        w = opened()
        w.do(docs.upsert(w.defaults, "k", dict.fromkeys(map(str, range(20)), 0)))
        meddle(w, tries=1000)
        op = ops.lookup_in(w.defaults, "k", *(sd.get(str(n)) for n in range(20)), timeout=60)
        w.submit(op)
        w.advance(30)
        with pytest.raises(ContentionError):
            op.result()


def lock(w: World) -> None:
    """Lock `k` on the server."""
    op = docs.get(w.defaults, "k")
    op.opcode, op.extras = Opcode.GET_LOCKED, (15).to_bytes(4)
    w.do(op)


def meddle(w: World, tries: int) -> None:
    """Have the document changed behind each first of two lookups, so many times."""
    session: Any = w.session.dispatcher
    submit = session.submit
    left = [tries]

    def meddling(op: Any, now: float) -> None:
        submit(op, now)
        if isinstance(op, ops.LookupIn) and len(op.specs) == 16 and left[0]:
            left[0] -= 1
            number = tries - left[0]
            changed = dict.fromkeys(map(str, range(20)), number)
            submit(docs.upsert(w.defaults, "k", changed), now)

    session.submit = meddling


class TestMutations:
    """Changing."""

    def test_every_kind(self) -> None:
        """All that can be done to a document, at once and in order."""
        w = with_document()
        result = change(
            w,
            sd.upsert("a", 2),
            sd.insert("new.deep", [1], create_parents=True),
            sd.replace("s", "other"),
            sd.remove("n"),
            sd.array_append("arr", 4, 5),
            sd.array_prepend("arr", 0),
            sd.array_insert("arr[1]", "ins"),
            sd.array_addunique("arr", 9),
            sd.counter("o.count", 5),
            sd.decrement("o.count", 2),
        )
        assert [*result][-2:] == [5, 3]
        assert [*result][:-2] == [None] * 8
        assert value(w) == {
            "a": 2,
            "s": "other",
            "o": {"x": [1, 2, {"y": "deep"}], "count": 3},
            "arr": [0, "ins", 1, 2, 3, 4, 5, 9],
            "e.mail": "x@y",
            "big": 2**63,
            "new": {"deep": [1]},
        }

    def test_the_whole_document(self) -> None:
        """The empty path stores and removes all of it."""
        w = with_document()
        change(w, sd.upsert("x", 1, xattr=True), sd.replace("", [1]))
        assert value(w) == [1]
        change(w, sd.array_append("", 2), sd.array_addunique("", 3))
        assert value(w) == [1, 2, 3]
        change(w, sd.remove(""))
        assert not w.do(docs.get(w.defaults, "k", quiet=True)).success

    @pytest.mark.parametrize(
        ("spec", "kind"),
        [
            (sd.insert("a", 1), SubdocPathExistsError),
            (sd.replace("zz", 1), SubdocPathNotFoundError),
            (sd.remove("zz"), SubdocPathNotFoundError),
            (sd.upsert("zz.y", 1), SubdocPathNotFoundError),
            (sd.upsert("a.b", 1), SubdocPathMismatchError),
            (sd.upsert("arr[0]", 1), SubdocPathInvalidError),
            (sd.upsert(".".join("a" * 32), 1, True), SubdocPathTooBigError),
            (sd.array_addunique("arr", 1), SubdocPathExistsError),
            (sd.array_addunique("arr", {}), SubdocCantInsertValueError),
            (sd.array_addunique("o.x", 5), SubdocPathMismatchError),
            (sd.counter("big", 1), SubdocNumberTooBigError),
            (sd.counter("s", 1), SubdocPathMismatchError),
            (sd.upsert("d", eval("[" * 32 + "]" * 32)), SubdocValueTooDeepError),  # noqa: S307
        ],
    )
    def test_errors_of_paths(self, spec: sd.Spec, kind: type[CouchbaseError]) -> None:
        """Each failure has its class, place and path, names the node, and nothing is changed."""
        w = with_document()
        op = w.submit(ops.mutate_in(w.defaults, "k", sd.upsert("first", 1), spec))
        w.settle()
        with pytest.raises(kind) as caught:
            op.result()
        error: Any = caught.value
        assert (error.path, error.index, error.key) == (spec.path, 1, "k")
        assert error.context.operation == "mutate_in"
        assert error.context.node == str(w.owner("k"))
        assert error.context.status_name
        assert error.context.attempts == 1
        assert error.result.rc == error.rc
        assert value(w) == DOCUMENT
        w.advance(10)
        w.assert_idle()

    @pytest.mark.parametrize(
        ("specs", "more", "kind"),
        [
            ([sd.upsert("a", 1)], {"cas": 5}, CasMismatchError),
            ([sd.upsert("a", 1)], {"insert_doc": True}, DocumentExistsError),
            ([sd.remove("a"), sd.remove("")], {}, SubdocInvalidComboError),
            ([sd.remove("a")], {"upsert_doc": True}, None),
            ([sd.upsert("$document", 1, xattr=True)], {}, SubdocXattrCantModifyVattrError),
            (
                [sd.upsert("x", sd.MutationMacro("${nosuch}"), xattr=True)],
                {},
                SubdocXattrUnknownMacroError,
            ),
            (
                [sd.upsert("x", sd.MutationMacro("${$document.nosuch}"), xattr=True)],
                {},
                SubdocXattrUnknownMacroError,
            ),
            ([sd.upsert("-bad", 1, xattr=True)], {}, ServerInvalidArgumentError),
            ([sd.upsert("a", 1)], {"revive_document": True}, SubdocCanOnlyReviveDeletedError),
        ],
    )
    def test_errors_of_the_whole(
        self, specs: list[sd.Spec], more: dict[str, Any], kind: type[CouchbaseError] | None
    ) -> None:
        """What the server refuses as a whole has its class, and the connection stays in use."""
        w = with_document()
        op = w.submit(ops.mutate_in(w.defaults, "k", *specs, **more))
        w.settle()
        if kind is None:
            op.result()
        else:
            assert type(error_of(op)) is kind
        links = dict(w.links)
        assert w.do(docs.get(w.defaults, "k")).success
        assert w.links == links

    def test_documents_that_are_too_large(self) -> None:
        """What would make a document too large is a TooBigError."""
        w = opened()
        w.do(docs.upsert(w.defaults, "k", {"a": "x" * (20 * 1024 * 1024 - 100)}))
        # Where nothing compresses it, what comes next has another turn of the loop.
        w.advance(0)
        with pytest.raises(TooBigError):
            change(w, sd.upsert("b", "y" * 200))

    def test_store_semantics(self) -> None:
        """The document is created, or must not exist, or must."""
        w = opened()
        with pytest.raises(NotFoundError):
            change(w, sd.upsert("a", 1))
        change(w, sd.upsert("a.b", 1, True), insert_doc=True)
        with pytest.raises(DocumentExistsError):
            change(w, sd.upsert("a", 1), store_semantics=sd.StoreSemantics.INSERT)
        change(w, sd.upsert("c", 1), store_semantics=sd.StoreSemantics.UPSERT)
        change(w, sd.upsert("d", 1), store_semantics=sd.StoreSemantics.REPLACE)
        assert value(w) == {"a": {"b": 1}, "c": 1, "d": 1}

    def test_expiry(self) -> None:
        """A time to live counts from the change on, as with all stores."""
        w = with_document()
        change(w, sd.upsert("a", 2), ttl=10)
        w.advance(9)
        assert value(w)["a"] == 2
        w.advance(5)
        assert not w.do(docs.get(w.defaults, "k", quiet=True)).success

    def test_expiry_that_stays(self) -> None:
        """A change without a time to live removes the expiry, unless it is to stay."""
        w = opened()
        for keep in (True, False):
            w.do(docs.upsert(w.defaults, "k", {}, ttl=10))
            change(w, sd.upsert("a", 2), preserve_expiry=keep)
            w.advance(20)
            assert w.do(docs.get(w.defaults, "k", quiet=True)).success is not keep

    def test_xattrs_and_macros(self) -> None:
        """The attributes of a document are its own; macros become what the server knows then."""
        w = with_document()
        macro = sd.MutationMacro
        changed = change(
            w,
            sd.upsert("a", 2),
            sd.upsert("meta.by", "me", create_parents=True, xattr=True),
            sd.upsert("meta.cas", macro.cas(), xattr=True),
            sd.upsert("meta.seqno", macro.seq_no(), xattr=True),
            sd.upsert("meta.crc", macro.value_crc32c(), xattr=True),
            sd.upsert("_sys", [1], xattr=True),
            sd.upsert("bin", b"\0\xff", xattr=True, binary=True),
        )
        result = look(
            w,
            sd.get("a"),
            sd.get("meta", xattr=True),
            sd.get("_sys[0]", xattr=True),
            sd.get("bin", xattr=True, binary=True),
            sd.get("meta.by", xattr=True, binary=True),
            sd.get("$XTOC", xattr=True),
        )
        assert bytes.fromhex(result["meta"]["cas"][2:]) == changed.cas.to_bytes(8, "little")
        assert {*result["meta"]} == {"by", "cas", "seqno", "crc"}
        assert (result["a"], result["_sys[0]"], result["bin"]) == (2, 1, b"\0\xff")
        with pytest.raises(SubdocFieldNotBinaryError):
            _ = result["meta.by"]
        assert sorted(result["$XTOC"]) == ["_sys", "bin", "meta"]
        assert "meta" not in value(w)

    def test_deleted_documents(self) -> None:
        """One may be created as deleted, read, changed, and revived."""
        w = opened()
        made = change(w, sd.upsert("x", 1, xattr=True), insert_doc=True, create_as_deleted=True)
        assert made.deleted
        assert not w.do(docs.get(w.defaults, "k", quiet=True)).success
        with pytest.raises(NotFoundError):
            look(w, sd.get("x", xattr=True))
        found = look(w, sd.get("x", xattr=True), access_deleted=True)
        assert (found[0], found.deleted) == (1, True)
        changed = change(w, sd.upsert("x", 2, xattr=True), access_deleted=True)
        assert changed.deleted
        with pytest.raises((DocumentNotJsonError, SubdocDeletedCantHaveValueError)):
            change(w, sd.upsert("a", 1), access_deleted=True)
        revived = change(w, sd.upsert("a", 1), revive_document=True)
        assert not revived.deleted
        assert value(w) == {"a": 1}
        assert look(w, sd.get("x", xattr=True))[0] == 2


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def places(document: Any, before: tuple[str | int, ...] = ()) -> Any:
    """Yield each place in a document, with its value."""
    if before:
        yield before, document
    members: Any = document.items() if isinstance(document, dict) else ()
    if isinstance(document, list):
        members = enumerate(document)
    for name, inner in members:
        yield from places(inner, (*before, name))


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=share(40), deadline=None)
@given(st.dictionaries(names, documents, min_size=1, max_size=4))
def test_every_place_of_any_document(document: dict[str, Any]) -> None:
    """Each value of a document is found by its path, and stored there anew."""
    w = World(EmbeddedCluster(1, seed=0, vbuckets=4))
    w.open()
    w.do(docs.upsert(w.defaults, "k", document))
    found = list(places(document))[:40]
    result = look(w, *(sd.get(sd.path(*where)) for where, _ in found))
    assert list(result) == [inner for _, inner in found]
    where, _ = found[-1]
    change(w, sd.replace(sd.path(*where), "changed"))
    assert look(w, sd.get(sd.path(*where)))[0] == "changed"


def test_bad_deltas_are_refused_where_they_are_made() -> None:
    """No request is needed to know that a delta is none."""
    with pytest.raises(SubdocBadDeltaError):
        sd.counter("a", 0)
