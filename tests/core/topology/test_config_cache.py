"""The file that keeps a configuration: its format, reading and writing it."""

from __future__ import annotations

import json
import os
from array import array
from errno import ENOSPC
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    ProtocolError,
)
from couchloop.settings.values import Address
from couchloop.topology import config_cache as configcache
from couchloop.topology.config_cache import MAGIC, Cached, dump, load, read, write
from couchloop.topology.configuration import ClusterConfig, Network, Node, Revision
from tests.core.topology.test_configuration import CONFIG, changed, parse

names = st.sampled_from(["kv", "kvSSL", "mgmt", "n1ql", "fts"])
ways = st.builds(
    Network,
    st.sampled_from(["10.0.0.1", "h.example", "fd00::1"]),
    st.dictionaries(names, st.integers(1, 65535), max_size=4),
)


@st.composite
def configs(draw: st.DrawFn) -> ClusterConfig:
    """Draw a configuration that a node could have told."""
    nodes = draw(
        st.lists(
            st.builds(
                lambda own, others: Node({"default": own, **others}),
                ways,
                st.dictionaries(st.sampled_from(["external", "tunnel"]), ways),
            ),
            min_size=1,
            max_size=4,
        )
    )
    data_nodes = draw(st.integers(1, len(nodes)))
    replicas = draw(st.integers(0, 3))
    size = draw(st.integers(1, 8))
    column = st.lists(st.integers(-1, data_nodes - 1), min_size=size, max_size=size).map(
        lambda indices: array("h", indices)
    )
    numbers = st.integers(-(2**63), 2**63 - 1)
    return ClusterConfig(
        Revision(draw(numbers), draw(numbers)),
        tuple(nodes),
        "b",
        draw(st.none() | st.just("c0ffee")),
        draw(st.none() | st.just("5eed")),
        "vbucket",
        data_nodes,
        replicas,
        draw(column),
        tuple(draw(column) for _ in range(replicas)),
        draw(st.none() | column),
    )


def belong_to_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file belong to another user than that of this process."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)


class TestFormat:
    """JSON, then the magic text: what libcouchbase writes and reads."""

    @given(configs())
    def test_round_trip(self, config: ClusterConfig) -> None:
        """What was kept comes back as it was, and names its hosts itself."""
        assert load(dump(config).encode(), "b", "elsewhere") == config

    def test_hosts_are_filled_in(self) -> None:
        """Where a node named no host, the file names that which had told the configuration."""
        entry = {"services": {"kv": 11210}}
        config = parse(changed(nodesExt=[entry, {**entry, "hostname": "$HOST"}]), "seed.example")
        kept = load(dump(config).encode(), "b", "elsewhere")
        assert [node.networks["default"].host for node in kept.nodes] == ["seed.example"] * 2

    def test_what_libcouchbase_needs(self) -> None:
        """The file has each member that libcouchbase reads, in the form in which it expects it."""
        text = dump(parse(CONFIG))
        assert text.count(MAGIC) == 1
        assert text.endswith(MAGIC)
        document = json.loads(text.removesuffix(MAGIC))
        assert document["name"] == "b"
        assert document["nodeLocator"] == "vbucket"
        assert document["uuid"] == "c0ffee"
        assert document["rev"] == 42
        assert len(document["nodes"]) == 2
        assert [node["hostname"] for node in document["nodesExt"]] == [
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.3",
        ]
        assert document["nodesExt"][0]["services"] == CONFIG["nodesExt"][0]["services"]
        server_map = document["vBucketServerMap"]
        assert server_map["numReplicas"] == 1
        assert server_map["vBucketMap"] == [[0, 1], [1, 0], [0, -1], [1, -1]]
        assert all(len(row) == 2 for row in server_map["vBucketMapForward"])

    def test_what_libcouchbase_writes(self) -> None:
        """A file in libcouchbase's form, which has fewer members, is read."""
        text = (
            b'{"nodeLocator":"vbucket","rev":42,"name":"b","nodesExt":['
            b'{"hostname":"10.0.0.1","services":{"mgmt":8091,"kv":11210,"kvSSL":11207}},'
            b'{"hostname":"10.0.0.2","services":{"mgmt":8091,"kv":11210,"kvSSL":11207}},'
            b'{"hostname":"10.0.0.3","services":{"mgmt":8091,"n1ql":8093}}],'
            b'"vBucketServerMap":{"numReplicas":1,"vBucketMap":[[0,1],[1,0],[0,-1],[1,0]]},'
            b'"bucketCapabilities":["xattr","cccp"]}{{{fb85b563d0a8f65fa8d3d58f1b3a0708}}}'
        )
        config = load(text, "b", "elsewhere")
        assert config.revision == Revision(0, 42)
        assert list(config.active) == [0, 1, 0, 1]
        assert config.nodes[1].address("default", "kv") == Address("10.0.0.2", 11210)
        assert config.uuid is None

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (b"", "magic"),
            (json.dumps(CONFIG).encode(), "magic"),
            (json.dumps(CONFIG).encode()[:100] + MAGIC.encode(), "not a cluster configuration"),
            (json.dumps(changed(name="other")).encode() + MAGIC.encode(), "bucket 'other'"),
            (json.dumps(changed(nodeLocator="ketama")).encode() + MAGIC.encode(), "no vbucket map"),
            (json.dumps(changed(vBucketServerMap=None)).encode() + MAGIC.encode(), "no vbucket"),
        ],
    )
    def test_of_no_use(self, text: bytes, reason: str) -> None:
        """A file that is cut, damaged, of another bucket or without a map is told apart."""
        with pytest.raises(ProtocolError, match=reason):
            load(text, "b", "elsewhere")


class TestFile:
    """The two functions that touch the disk."""

    def test_written_and_read(self, tmp_path: Path) -> None:
        """What was written is read again, once: as long as it has not changed it is not."""
        path = tmp_path / "b"
        config = parse(CONFIG)
        mtime = write(str(path), config)
        found = read(str(path), "b", "")
        assert found == Cached(load(dump(config).encode(), "b", ""), path.stat().st_mtime_ns)
        assert mtime == found.mtime
        assert read(str(path), "b", "", mtime) is None
        path.write_bytes(b"something else")
        os.utime(path, ns=(0, found.mtime))
        assert read(str(path), "b", "", mtime) is None
        os.utime(path, ns=(0, found.mtime + 1))
        with pytest.raises(ProtocolError):
            read(str(path), "b", "", mtime)

    @pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
    def test_mode(self, tmp_path: Path, umask: int) -> None:
        """Only the owner can read and write the file, whatever the umask says."""
        path = tmp_path / "b"
        before = os.umask(umask)
        try:
            write(str(path), parse(CONFIG))
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == 0o600

    def test_whole_at_every_moment(self, tmp_path: Path) -> None:
        """A new file takes the place of the old one: who has that open reads it to its end."""
        path = tmp_path / "b"
        write(str(path), parse(CONFIG))
        with path.open("rb") as old:
            write(str(path), parse(changed(rev=43)))
            assert load(old.read(), "b", "").revision == Revision(1, 42)
        found = read(str(path), "b", "")
        assert found is not None
        assert found.config.revision == Revision(1, 43)
        assert [each.name for each in tmp_path.iterdir()] == ["b"]

    def test_newer_stays(self, tmp_path: Path) -> None:
        """An older configuration of the same bucket does not replace a newer one."""
        path = tmp_path / "b"
        write(str(path), parse(changed(rev=43)))
        assert write(str(path), parse(CONFIG)) is None
        found = read(str(path), "b", "")
        assert found is not None
        assert found.config.revision == Revision(1, 43)

    def test_useless_does_not_stay(self, tmp_path: Path) -> None:
        """A newer file whose nodes took nobody is replaced; one written since is not."""
        path = tmp_path / "b"
        useless = write(str(path), parse(changed(rev=43)))
        assert write(str(path), parse(CONFIG), useless) is not None
        found = read(str(path), "b", "")
        assert found is not None
        assert found.config.revision == Revision(1, 42)
        write(str(path), parse(changed(rev=44)))
        assert write(str(path), parse(CONFIG), useless) is None

    @pytest.mark.parametrize("present", [b"damaged", b"", dump(parse(changed(uuid="0", rev=99)))])
    def test_replaced(self, tmp_path: Path, present: bytes | str) -> None:
        """What is damaged, or of a bucket that was made anew since, is replaced."""
        path = tmp_path / "b"
        path.write_bytes(present if isinstance(present, bytes) else present.encode())
        assert write(str(path), parse(CONFIG)) is not None
        found = read(str(path), "b", "")
        assert found is not None
        assert found.config.uuid == "c0ffee"

    def test_nothing_left_of_a_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the file cannot be written an OSError says so, and nothing is left behind."""
        with pytest.raises(FileNotFoundError):
            write(str(tmp_path / "folder" / "b"), parse(CONFIG))

        def no_room(_: Path, __: Path) -> Path:
            raise OSError(ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "replace", no_room)
        with pytest.raises(OSError, match="No space left"):
            write(str(tmp_path / "b"), parse(CONFIG))
        assert list(tmp_path.iterdir()) == []

    def test_not_a_file(self, tmp_path: Path) -> None:
        """A folder, a pipe or a device is neither opened, which could hang, nor replaced."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        for path in (tmp_path, pipe):
            with pytest.raises(OSError, match="not a file"):
                read(str(path), "b", "")
            with pytest.raises(OSError, match="not a file"):
                write(str(path), parse(CONFIG))
        assert pipe.is_fifo()
        assert list(tmp_path.iterdir()) == [pipe]

    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o622, 0o660, 0o606, 0o666, 0o777, 0o4662])
    def test_others_can_write(self, tmp_path: Path, mode: int) -> None:
        """A file that a group, or everybody, can write is not used, for it names who is trusted."""
        path = tmp_path / "b"
        write(str(path), parse(CONFIG))
        path.chmod(mode)
        with pytest.raises(ProtocolError, match=f"others can write.*mode {mode:04o}.*chmod go-w"):
            read(str(path), "b", "")
        with pytest.raises(ProtocolError, match="others can write"):
            read(str(path), "b", "", path.stat().st_mtime_ns)

    @pytest.mark.parametrize("mode", [0o400, 0o600, 0o444, 0o644, 0o755])
    def test_others_can_read(self, tmp_path: Path, mode: int) -> None:
        """A file that others can only read is used: it is no secret."""
        path = tmp_path / "b"
        write(str(path), parse(CONFIG))
        path.chmod(mode)
        assert read(str(path), "b", "") is not None

    def test_of_another_user(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file of another user is not used, also where nobody else can write to it."""
        path = tmp_path / "b"
        write(str(path), parse(CONFIG))
        belong_to_another(path, monkeypatch)
        with pytest.raises(ProtocolError, match=r"belongs to another user \(uid \d+\)"):
            read(str(path), "b", "")

    def test_of_root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file of root is used by every user: an administrator may have put it there."""
        path = tmp_path / "b"
        write(str(path), parse(CONFIG))
        found = path.stat()
        root = os.stat_result((*found[:4], 0, *found[5:]), {"st_mtime_ns": found.st_mtime_ns})
        monkeypatch.setattr(os, "fstat", lambda _: root)
        monkeypatch.setattr(os, "geteuid", lambda: 1234)
        assert read(str(path), "b", "") is not None

    def test_effective_user(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is the effective user who counts, as whom the process opens files."""
        path = tmp_path / "b"
        write(str(path), parse(CONFIG))
        monkeypatch.setattr(os, "getuid", lambda: 1234)
        assert read(str(path), "b", "") is not None

    @pytest.mark.parametrize("mode", [0o600, 0o666])
    def test_symbolic_link(self, tmp_path: Path, mode: int) -> None:
        """Of a link the file at its end counts: so are the files of containers mounted."""
        path, link = tmp_path / "b", tmp_path / "link"
        write(str(path), parse(CONFIG))
        path.chmod(mode)
        link.symlink_to(path)
        if mode == 0o600:
            assert read(str(link), "b", "") is not None
            return
        with pytest.raises(ProtocolError, match="others can write"):
            read(str(link), "b", "")

    def test_replaced_in_between(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is judged is what was opened: a pipe that was put there meanwhile hangs nobody."""
        monkeypatch.setattr(configcache, "_place", Path)
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for path in (pipe, tmp_path, Path("/dev/zero")):
            with pytest.raises(OSError, match="not a file"):
                read(str(path), "b", "")
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_nobody_trusted_stays(self, tmp_path: Path) -> None:
        """A newer file that is not to be trusted is replaced by one that is."""
        path = tmp_path / "b"
        write(str(path), parse(changed(rev=43)))
        path.chmod(0o666)
        assert write(str(path), parse(CONFIG)) is not None
        found = read(str(path), "b", "")
        assert found is not None
        assert found.config.revision == Revision(1, 42)

    def test_link_is_replaced(self, tmp_path: Path) -> None:
        """Where a link stands, it is replaced: nothing is written through it, wherever it leads."""
        path, link = tmp_path / "precious", tmp_path / "b"
        path.write_text("precious")
        link.symlink_to(path)
        write(str(link), parse(CONFIG))
        assert path.read_text() == "precious"
        assert path.stat().st_mode & 0o777 != 0
        assert not link.is_symlink()

    def test_too_large(self, tmp_path: Path) -> None:
        """A file that is larger than any configuration is not read to its end."""
        path = tmp_path / "b"
        with path.open("wb") as file:
            file.truncate(2**40)
        with pytest.raises(ProtocolError, match="too large"):
            read(str(path), "b", "")
