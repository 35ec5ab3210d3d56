"""Connection strings: libcouchbase 2.10's grammar, which SDK 2.5 and RFC 0011 build on.

    [scheme://] [host [:port [=type]] {(, | ;) host …}] [/bucket] [?name=value {&name=value}]

Host part, bucket, names and values are percent-decoded (a `+` stays a `+`). Without a scheme ports
are those of HTTP, as in 2.5. Stricter than libcouchbase: a / in a bucket's name is written %2F, and
there are no control characters anywhere. Less strict: a / with nothing after it names no bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Self
from urllib.parse import quote

from couchloop.arguments.exact import bare_text
from couchloop.exceptions import InvalidConnectionStringError
from couchloop.safety.secret import sealed
from couchloop.settings.hosts import is_address
from couchloop.settings.masking import masked
from couchloop.settings.options import OPTIONS, parse_bool, shown_name
from couchloop.settings.parser import Parser
from couchloop.settings.percent import is_text
from couchloop.settings.seeds import SCHEMES, Host, host_text, read_host, unknown_scheme

_NO_PORT: Final = -1
"""What SDK 2.5 has for the port that an unknown scheme means."""
_SRV_OPTIONS: Final = OPTIONS["dnssrv"].names


class ConnectionString:
    """Where the nodes are, and how to connect.

    Attributes can be changed, as in SDK 2.5; what is wrong then is found out where the string is
    used: in `seeds`, `encode`, or when something is opened with it.

    Args:
        bucket: The bucket's name; None or empty if the string names none (SDK 2.5 says "default").
        hosts: Texts such as "10.0.0.1" and "[::1]:11210", or `Host`s; none mean localhost.
        options: Name to value, or to several values.
        scheme: couchbase, couchbases, http, couchbase+dnssrv, couchbases+dnssrv, memcached, or ""
            for none, which means what http means.

    Attributes:
        bucket: As given.
        hosts: A list of texts, each as written.
        options: Name to a list of values, or to one value.
        scheme: As given.

    Raises:
        InvalidConnectionStringError: No connection string says this.

    """

    @sealed
    def __init__(
        self,
        bucket: str | None = None,
        hosts: Iterable[Host | str] | None = None,
        options: Mapping[str, Any] | None = None,
        scheme: str = "couchbase",
    ) -> None:
        self.bucket: str | None = bare_text(bucket) or None
        self.scheme: str = scheme
        self.hosts: list[str] = [host_text(host) for host in hosts or ()]
        self.options: dict[str, Any] = {
            name: values for name, given in (options or {}).items() if (values := _several(given))
        }
        if not self.hosts:
            self._check_srv_host(is_one=False)
            self.hosts = ["localhost"]
        self.encode()

    @classmethod
    @sealed
    def parse(cls, text: str) -> Self:
        """Read a connection string; the empty one means couchbase://localhost.

        Raises:
            InvalidConnectionStringError: With the position of the offending part.

        """
        parser = Parser(text)
        parts = parser.parse()
        try:
            return cls(*parts)
        except InvalidConnectionStringError as error:
            # Every part is valid: what is wrong is their combination.
            parser.fail(error.message, 0, len(text))

    @sealed
    def encode(self) -> str:
        """Return the text that `parse` reads back as an equal object. It shows the password.

        Raises:
            InvalidConnectionStringError: No connection string says what the attributes do.

        """
        self._check_srv()
        scheme = f"{self.scheme}://" if self.scheme else ""
        hosts = ",".join(quote(host_text(host), safe=":[]=") for host in self.hosts)
        name = bare_text(self.bucket)
        if name and not (isinstance(name, str) and is_text(name)):
            raise InvalidConnectionStringError("The bucket's name is no valid text")
        bucket = f"/{quote(name, safe='')}" if name else ""
        options = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='/:,')}"
            for name, value in self.option_pairs()
        )
        return f"{scheme}{hosts}{bucket}{'?' if options else ''}{options}"

    @property
    @sealed
    def seeds(self) -> tuple[Host, ...]:
        """What the hosts mean under this scheme.

        Raises:
            InvalidConnectionStringError: One of them is no host, there is none, or the scheme is
                unknown.

        """
        if self.scheme not in SCHEMES:
            raise InvalidConnectionStringError(unknown_scheme(str(self.scheme)))
        if isinstance(self.hosts, str) or not isinstance(self.hosts, Iterable):
            raise InvalidConnectionStringError("Hosts are a list of texts")
        try:
            seeds = tuple(read_host(host_text(host), self.scheme) for host in self.hosts)
        except ValueError as error:
            if isinstance(error, InvalidConnectionStringError):
                raise
            raise InvalidConnectionStringError(str(error)) from None
        if not seeds:
            # Whatever took them away did not mean localhost.
            raise InvalidConnectionStringError(
                "There is no host: the attribute hosts is empty; localhost is to be named"
            )
        return seeds

    @property
    def implicit_port(self) -> int:
        """The port that the scheme means when a host has none; -1 for an unknown scheme."""
        return SCHEMES[self.scheme].port if self.scheme in SCHEMES else _NO_PORT

    @property
    def tls(self) -> bool:
        """Whether the scheme asks for TLS."""
        return self.scheme in SCHEMES and SCHEMES[self.scheme].tls

    @property
    def srv_required(self) -> bool:
        """Whether the scheme says that the host is an SRV name and nothing else."""
        return self.scheme in SCHEMES and SCHEMES[self.scheme].srv

    @property
    def srv_host(self) -> str | None:
        """The host whose SRV record replaces the hosts if it has one; None: look up nothing.

        RFC 0011: a single host without a port, under couchbase or couchbases. The option dnssrv
        forbids that, or asks for it whatever the hosts are. Never an IP address, localhost, or a
        name under localhost (RFC 6761).
        """
        seeds = self.seeds
        first = seeds[0]
        wanted: bool | None = None
        for name, value in self.option_pairs():
            if name in _SRV_OPTIONS:
                wanted = parse_bool(value)
        if wanted is None:
            wanted = self.srv_required or (
                len(seeds) == 1
                and first.port is None
                and self.scheme in {"couchbase", "couchbases"}
            )
        is_local = first.host.rstrip(".").lower().rpartition(".")[2] == "localhost"
        return first.host if wanted and not is_local and not is_address(first.host) else None

    def get_option(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of an option, `default` if it is not given."""
        values = _several(self.options.get(name))
        return values[0] if values else default

    @sealed
    def set_option(self, name: str, value: str | float) -> None:
        """Set an option to this value, and no other."""
        text = _option_text(value)
        _check_option(name, text)
        self.options[name] = [text]

    def clear_option(self, name: str) -> None:
        """Remove an option, if it is there."""
        self.options.pop(name, None)

    def option_pairs(self) -> Iterator[tuple[str, str]]:
        """Return (name, value) of every option, as `parse_options` takes them."""
        for name, given in self.options.items():
            for value in _several(given):
                _check_option(name, value)
                yield name, value

    def _check_srv(self) -> None:
        seeds = self.seeds
        if not self.srv_required:
            return
        self._check_srv_host(is_one=len(seeds) == 1 and seeds[0].port is None)
        if not self.options.keys().isdisjoint(_SRV_OPTIONS):
            raise InvalidConnectionStringError(
                f"{self.scheme}:// says already that SRV is used; leave out the option dnssrv"
            )

    def _check_srv_host(self, *, is_one: bool) -> None:
        if self.srv_required and not is_one:
            raise InvalidConnectionStringError(
                f"{self.scheme}:// takes exactly one host, without a port"
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConnectionString):
            return NotImplemented
        return self._meaning() == other._meaning()

    def _meaning(self) -> tuple[object, ...]:
        """Return what is equal for strings that say the same in other words."""
        try:
            said: tuple[object, ...] = (self.seeds, dict(self._options()))
        except InvalidConnectionStringError:
            said = (self.hosts, self.options)
        return self.scheme, self.bucket or None, *said

    def _options(self) -> Iterator[tuple[str, list[str]]]:
        return ((name, _several(given)) for name, given in self.options.items())

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def masked(self) -> str:
        """Return `encode()` with *** for the password: what may be shown."""
        return masked(self.encode())

    def __str__(self) -> str:
        """Return `masked()`: `encode()` alone shows the password."""
        return self.masked()

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} {self.masked()}>"
        except InvalidConnectionStringError as error:
            return f"<{type(self).__name__}, which is none: {error.message}>"


@sealed
def parse_query(text: str) -> list[tuple[str, str]]:
    """Return the options in what follows the `?` of a connection string, as in `LCB_OPTIONS`.

    Raises:
        InvalidConnectionStringError: With the position of the offending part.

    """
    parser = Parser(f"?{text}")
    parser.check_text()
    return list(parser.options(1))


def _several(given: Any) -> list[str]:
    """Return the values of an option, of which there may be one or several."""
    if given is None:
        return []
    if isinstance(given, list | tuple):
        return [_option_text(value) for value in given]
    return [_option_text(given)]


def _option_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise InvalidConnectionStringError(
            f"The value of an option is a text or a number, not {type(value).__name__}"
        )
    return str(bare_text(value))


def _check_option(name: str, value: str) -> None:
    if not (isinstance(name, str) and name and value and is_text(name) and is_text(value)):
        raise InvalidConnectionStringError(f"Option {shown_name(name)} is empty, or no valid text")
