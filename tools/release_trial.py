"""What an extra is for, tried where nothing else is installed.

    python -I release_trial.py TRIAL

`tools/release.py` runs a copy of this file in an environment that has a wheel and one extra: each
trial is called like an extra, or `nothing`, and imports only what that brings.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Final

TRIALS: Final[dict[str, Callable[[], None]]] = {}

BESIDE: Final = {"couchloop", "h11", "pip", "setuptools", "wheel"}
"""Distributions of an environment without an extra."""


def trial(function: Callable[[], None]) -> Callable[[], None]:
    """Make *function* the trial of its name."""
    TRIALS[function.__name__] = function
    return function


def ask(*command: str, status: int = 0) -> str:
    """Run a command; return all that it printed. Raises AssertionError for another status."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == status, f"{command} ended with {done.returncode}: {said}"
    return said


def script() -> str:
    """Return the path of the command that the wheel has installed."""
    found = shutil.which("couchloop", path=sysconfig.get_path("scripts"))
    assert found is not None, "there is no command `couchloop`"
    return found


@contextmanager
def serving(*arguments: str) -> Iterator[dict[str, Any]]:
    """Serve an embedded cluster; give what it says of itself."""
    command = [sys.executable, "-I", "-m", "couchloop.embedded", "--nodes", "1", "--port", "0"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)


def refused(name: str) -> str:
    """Return what an import says that must fail."""
    try:
        import_module(name)
    except ImportError as error:
        return str(error)
    raise AssertionError(f"{name} can be imported, and what it needs is not there")


@trial
def nothing() -> None:
    """The core and the command are there, and say what is missing."""
    import couchloop
    from couchloop.connstr import ConnectionString

    there = {each.metadata["Name"].lower() for each in metadata.distributions()}
    assert there <= BESIDE, f"installed without an extra: {there - BESIDE}"
    version = metadata.version("couchloop")
    assert couchloop.__version__ == version
    assert ask(script(), "--version") == f"couchloop {version}\n"
    assert "doctor" in ask(script(), "--help")
    assert ConnectionString.parse("couchbase://host/b").get_option("none") is None
    assert "pip install 'couchloop[twisted]'" in refused("txcouchbase.cluster")
    assert "pip install 'couchloop[gevent]'" in refused("gcouchbase.cluster")
    cure = ask(script(), "embedded", "--port", "0", status=1)
    assert "couchloop[" in cure, cure


@trial
def twisted() -> None:
    """Documents go to and fro over TLS, and the doctor names the loop."""
    from twisted.internet.defer import ensureDeferred
    from twisted.internet.task import react

    from txcouchbase.cluster import Cluster, PasswordAuthenticator

    async def main(reactor: Any, where: str) -> None:
        cluster = Cluster(where, reactor=reactor)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        async with cluster.open_bucket("default") as bucket:
            await bucket.upsert("key", {"n": 1})
            assert (await bucket.get("key")).value == {"n": 1}

    with tempfile.TemporaryDirectory() as folder:
        certificate, key = self_signed(Path(folder))
        tls = ("--tls-cert", certificate, "--tls-key", key)
        with serving("--loop", "twisted", *tls) as served:
            where = f"{served['connection_string_tls']}?certpath={certificate}"
            try:
                react(lambda reactor: ensureDeferred(main(reactor, where)))
            except SystemExit as ended:
                if ended.code:
                    raise AssertionError("the program has failed") from ended


def self_signed(folder: Path) -> tuple[str, str]:
    """Write a certificate of 127.0.0.1 and its key, with what TLS on Twisted needs anyway."""
    import datetime as dt
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a release on trial")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(private)
    return str(folder / "cert.pem"), str(folder / "key.pem")


@trial
def gevent() -> None:
    """Greenlets share a Bucket."""
    import gevent as loop

    from gcouchbase.cluster import Cluster, PasswordAuthenticator

    with serving("--loop", "gevent") as served:
        cluster = Cluster(served["connection_string"])
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        with cluster.open_bucket("default") as bucket:
            counts = [loop.spawn(bucket.counter, "hits", initial=1) for _ in range(10)]
            assert sorted(each.get().value for each in counts) == list(range(1, 11))


@trial
def fast() -> None:
    """Values are decoded into types, and JSON is read and written by the fast libraries."""
    import msgspec

    from couchloop import transcoder
    from couchloop.typed import decoder_of

    class Point(msgspec.Struct):
        x: int

    assert decoder_of(Point)(b'{"x": 5}') == Point(5)
    # As a Bucket does when it is opened.
    transcoder.load()
    assert type(transcoder.try_decode_json).__name__ == "builtin_function_or_method"
    assert transcoder.encode_json({"a": [1, "é", None]}) == b'{"a":[1,"\xc3\xa9",null]}'
    assert "orjson" in sys.modules


@trial
def snappy() -> None:
    """Values are compressed and inflated."""
    from couchloop.wire import snappy as blocks

    data = b"many words, many words, " * 50
    packed = blocks.compress(data)
    assert blocks.available()
    assert len(packed) < len(data) // 4
    assert blocks.decompress(packed, len(data)) == data


@trial
def srv() -> None:
    """The nodes that an SRV record names are found."""
    import socket
    import threading

    import dns.message
    import dns.resolver
    import dns.rrset

    from couchloop.session.events import ResolveSrv
    from gcouchbase.dns import look_up

    def answer() -> None:
        data, asker = server.recvfrom(2048)
        asked = dns.message.from_wire(data)
        made = dns.message.make_response(asked)
        name = asked.question[0].name
        made.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", "0 0 11210 node1.test."))
        server.sendto(made.to_wire(), asker)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.getsockname()[1]
        found = look_up(ResolveSrv(name="_couchbase._tcp.db.test", timeout=30.0), resolver)
        thread.join()
    assert [(each.host, each.port) for each in found] == [("node1.test", 11210)]


@trial
def views() -> None:
    """Functions of views in JavaScript are compiled, and called."""
    from couchloop.embedded.views.javascript import compile_map
    from couchloop.embedded.views.protocols import Source

    map_function = compile_map("function (doc, meta) { emit(doc.city, meta.id); }")
    (emitted,) = map_function([Source('{"city": "Bonn"}', {"id": "ann"})])
    assert "Bonn" in str(emitted)


@trial
def completion() -> None:
    """The command prints what shells complete it by."""
    for shell in ("bash", "zsh"):
        assert "doctor" in ask(script(), "--print-completion", shell)


def _call() -> Any:
    """Return a call, as observers are told of it when it is over."""
    from couchloop.observation import Ended, Started

    begun = Started("get", "default", None, None, 2.5, 0.0, raw_key="key")
    return Ended(begun, 0.001, None)


@trial
def otel() -> None:
    """Observers make spans and metrics with OpenTelemetry's API alone."""
    from couchloop.contrib.otel import DurationObserver, SpanObserver

    ended = _call()
    spans, durations = SpanObserver(), DurationObserver()
    spans.ended(ended, spans.started(ended.call))
    durations.ended(ended, durations.started(ended.call))


@trial
def prometheus() -> None:
    """An observer counts calls, and a page shows the count."""
    from prometheus_client import CollectorRegistry, generate_latest

    from couchloop.contrib.prometheus import MetricsObserver

    registry = CollectorRegistry()
    observer, ended = MetricsObserver(registry), _call()
    observer.ended(ended, observer.started(ended.call))
    shown = generate_latest(registry).decode()
    assert "db_client_operation_duration_seconds_count{" in shown
    assert 'db_operation_name="get"' in shown


@trial
def all() -> None:  # noqa: A001 - the extra's name
    """Whatever an extra of its own is for works beside the others."""
    # Twisted's comes last: a reactor that has stopped does not start again.
    for name in (*(set(TRIALS) - NOT_IN_ALL), "twisted"):
        TRIALS[name]()


NOT_IN_ALL: Final = {"nothing", "all", "twisted", "recipes", "docs", "test"}


@trial
def recipes() -> None:
    """The frameworks are there, and what is made for them can be imported."""
    for name in ("locust", "bottle", "celery", "crochet", "django", "flask", "gunicorn", "klein"):
        import_module(name)
    for name in ("treq", "couchloop.contrib.scrapy", "couchloop.contrib.locust"):
        import_module(name)
    from celery import Celery

    from couchloop.contrib.celery import CouchbaseBackend

    app = Celery(backend="couchloop://user:password@127.0.0.1/default")
    assert isinstance(app.backend, CouchbaseBackend)


@trial
def docs() -> None:
    """A site is made of a page, with what our pages are written with."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "site")
        source.mkdir()
        extensions = "extensions = ['myst_parser', 'sphinx_design']"
        (source / "conf.py").write_text(
            f"{extensions}\nmyst_enable_extensions = ['colon_fence']\nhtml_theme = 'furo'\n"
        )
        (source / "index.md").write_text("# A page\n\n:::{dropdown} More\n\nWords.\n:::\n")
        ask(sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(source), str(target))
        assert "<details" in (target / "index.html").read_text()


@trial
def test() -> None:
    """The checkers and builders are there."""
    for name in ("build", "coverage", "Cython", "hypothesis", "importlinter", "mypy", "mypy_zope"):
        import_module(name)
    for name in ("opentelemetry.sdk", "pytest", "pytest_timeout", "scramp", "trustme"):
        import_module(name)
    ask(sys.executable, "-m", "ruff", "--version")


def main() -> None:
    """Run the trial that the command line names; the exit status is 1 if it fails."""
    where = Path(import_module("couchloop").__file__ or "").resolve()
    assert where.is_relative_to(Path(sys.prefix).resolve()), f"that is no installation: {where}"
    TRIALS[sys.argv[1]]()


if __name__ == "__main__":
    main()
