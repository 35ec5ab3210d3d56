"""Connection strings: libcouchbase 2.10's grammar, which SDK 2.5 and RFC 0011 build on.

    [scheme://] [host [:port [=type]] {(, | ;) host …}] [/bucket] [?name=value {&name=value}]

Host part, bucket, names and values are percent-decoded (a `+` stays a `+`). Without a scheme ports
are those of HTTP, as in 2.5. Stricter than libcouchbase: a / in a bucket's name is written %2F, and
there are no control characters anywhere. Less strict: a / with nothing after it names no bucket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn, Self, TypeVar
from urllib.parse import quote, unquote_to_bytes

from couchloop.exceptions import InvalidConnectionStringError, InvalidOptionError
from couchloop.safety.secret import sealed
from couchloop.settings.hosts import host_to_dial, is_address
from couchloop.settings.options import (
    OPTION_NAMES,
    OPTIONS,
    SECRET_NAMES,
    SECRET_WORD,
    find_option,
    parse_bool,
    shown_name,
)

C = TypeVar("C", bound="ConnectionString")


class _Scheme(NamedTuple):
    port: int
    type: str
    tls: bool = False
    srv: bool = False


_SCHEMES: Final[Mapping[str, _Scheme]] = {
    "couchbase": _Scheme(11210, "mcd"),
    "couchbases": _Scheme(11207, "mcds", tls=True),
    "http": _Scheme(8091, "http"),
    "couchbase+dnssrv": _Scheme(11210, "mcd", srv=True),
    "couchbases+dnssrv": _Scheme(11207, "mcds", tls=True, srv=True),
    "": _Scheme(8091, "http"),
}
_TYPES: Final = {
    **{kind: kind for kind in ("http", "https", "mcd", "mcds")},
    # As other clients call them.
    "kv": "mcd",
    "cccp": "mcd",
    "gcccp": "mcd",
    "manager": "http",
}
_NO_PORT: Final = -1
"""What SDK 2.5 has for the port that an unknown scheme means."""
_HTTP_PORT: Final = 8091
_SRV_OPTIONS: Final = OPTIONS["dnssrv"].names

_SEPARATOR: Final = re.compile(r"[,;]")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.~-]+)?")
_PORT: Final = re.compile(r"([0-9]{1,5})(?:=([A-Za-z]+))?")
_BLANK: Final = re.compile(r"\s")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MASK: Final = "***"
_QUERY: Final = re.compile(r"\?|#|%23|[;&/](?=[^/?]*pass[^,/?]*=)", re.IGNORECASE)
"""Where options begin, or were meant to."""
_OPTIONS: Final = re.compile(r"[&;?#]")
_NO_NAME: Final = re.compile(rf"[#=]|[&;,\s][^/]*:|\s(?:{SECRET_WORD.pattern})", re.IGNORECASE)
_SEVERAL: Final = re.compile(r"[;?#,\s]\w*pass\w*=", re.IGNORECASE)
"""Another option in the value of one: it would be shown with that."""
_WITHIN: Final = re.compile(rf"(?:{SECRET_WORD.pattern})\w*\s*(?:[=:]|%3[AD])", re.IGNORECASE)
"""The like, spelt so that it is a part of the value."""
_NAME_ENDS: Final = re.compile(r"[:,\s]|%(?:3A|2C|20)", re.IGNORECASE)
"""What no option has in its name."""
_PIECE: Final = re.compile(r"[^,;&/\s]+")
"""A host, or what was meant to be something else."""
_COLON: Final = re.compile(r":|%3A", re.IGNORECASE)
_EQUALS: Final = re.compile(r"=|%3D", re.IGNORECASE)
_RAW_COLON: Final = re.compile(":")
_RAW_EQUALS: Final = re.compile("=")
_SHOWN_ADDRESS: Final = re.compile(
    r"@?(?:\[[0-9A-Fa-f.:]*(?:%[\w.~%-]+)?\]?|[0-9A-Fa-f.]*(?::[0-9A-Fa-f.]*){2,}(?:%[\w.~%-]+)?)"
)
_SHOWN_PORT: Final = re.compile("[0-9]{0,5}")
_SHOWN_TYPES: Final = frozenset({"", "mccompat", *_TYPES})


class Host(NamedTuple):
    """One seed.

    Attributes:
        host: Name or address as it is dialled: ASCII, an IPv6 address without brackets.
        port: As written; None if none was.
        type: The service at the port: http, https, mcd or mcds (the data service, plain and TLS).
            None: whatever the scheme means, on its usual ports.

    """

    host: str
    port: int | None = None
    type: str | None = None


class ConnectionString:
    """Where the nodes are, and how to connect.

    Attributes can be changed, as in SDK 2.5; what is wrong then is found out where the string is
    used: in `seeds`, `encode`, or when something is opened with it.

    Args:
        bucket: The bucket's name; None or empty if the string names none (SDK 2.5 says "default").
        hosts: Texts such as "10.0.0.1" and "[::1]:11210", or `Host`s; none mean localhost.
        options: Name to value, or to several values.
        scheme: couchbase, couchbases, http, couchbase+dnssrv, couchbases+dnssrv, or "" for none,
            which means what http means.

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
        self.bucket: str | None = bucket or None
        self.scheme: str = scheme
        self.hosts: list[str] = [_host_text(host) for host in hosts or ()]
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
        return _Parser(text).parse(cls)

    @sealed
    def encode(self) -> str:
        """Return the text that `parse` reads back as an equal object. It shows the password.

        Raises:
            InvalidConnectionStringError: No connection string says what the attributes do.

        """
        self._check_srv()
        scheme = f"{self.scheme}://" if self.scheme else ""
        hosts = ",".join(quote(_host_text(host), safe=":[]=") for host in self.hosts)
        name = self.bucket
        if name and not (isinstance(name, str) and _is_text(name)):
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
        if self.scheme not in _SCHEMES:
            raise InvalidConnectionStringError(_about_scheme(str(self.scheme)))
        if isinstance(self.hosts, str) or not isinstance(self.hosts, Iterable):
            raise InvalidConnectionStringError("Hosts are a list of texts")
        try:
            seeds = tuple(_read_host(_host_text(host), self.scheme) for host in self.hosts)
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
        return _SCHEMES[self.scheme].port if self.scheme in _SCHEMES else _NO_PORT

    @property
    def tls(self) -> bool:
        """Whether the scheme asks for TLS."""
        return self.scheme in _SCHEMES and _SCHEMES[self.scheme].tls

    @property
    def srv_required(self) -> bool:
        """Whether the scheme says that the host is an SRV name and nothing else."""
        return self.scheme in _SCHEMES and _SCHEMES[self.scheme].srv

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
        return _Masked(self.encode()).text

    def __str__(self) -> str:
        """Return `masked()`: `encode()` alone shows the password."""
        return self.masked()

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} {self.masked()}>"
        except InvalidConnectionStringError as error:
            return f"<{type(self).__name__}, which is none: {error.message}>"


def mask(text: str) -> str:
    """Return a connection string with *** for its secrets, otherwise as it was written."""
    return _Masked(text).text


@sealed
def parse_query(text: str) -> list[tuple[str, str]]:
    """Return the options in what follows the `?` of a connection string, as in `LCB_OPTIONS`.

    Raises:
        InvalidConnectionStringError: With the position of the offending part.

    """
    parser = _Parser(f"?{text}")
    parser.check_text()
    return list(parser.options(1))


def masked(text: str) -> str:
    """Return a connection string, or what was meant to be one, with *** for its secrets."""
    return _Masked(text).text


class _Masked:
    """A connection string without its secrets, and where its positions went."""

    def __init__(self, text: str) -> None:
        self._spans = list(_secret_spans(text))
        self.text = text
        for start, end in reversed(self._spans):
            self.text = f"{self.text[:start]}{_MASK}{self.text[end:]}"

    def position(self, original: int, *, is_end: bool = False) -> int:
        """Return where a position went; within a secret: to the begin or the end of its mask."""
        moved = original
        for start, end in self._spans:
            if original >= end:
                moved += len(_MASK) - (end - start)
            elif original > start:
                moved += (len(_MASK) if is_end else 0) - (original - start)
        return moved


def _secret_spans(text: str) -> Iterator[tuple[int, int]]:
    scheme, separator, _ = text.partition("://")
    begin = len(scheme + separator) if separator and not {"/", "?"} & set(scheme) else 0
    # Not our grammar, but written by hand often enough: scheme://user:password@host, where the
    # password may hold a ? itself. An @ after a = belongs to an option.
    query = text.find("?", begin)
    equals = text.find("=", query) if query >= 0 else -1
    rest = text[begin : equals if equals >= 0 else len(text)].replace("%40", "@  ")
    at = rest.rfind("@")
    if at >= 0 and (_COLON.search(rest[:at]) or "/" not in rest[:at]):
        yield begin, begin + at
        begin += at
    # Options after a # or a ; are mistyped, and none the less secret for that.
    start = _QUERY.search(text, begin)
    credential = _credential(text[begin : len(text) if start is None else start.start()])
    if credential is not None:
        # Nobody knows where it ends.
        yield begin + credential, len(text)
        return
    if start is None:
        return
    position, secret = start.end(), False
    for segment in _OPTIONS.split(text[position:]):
        name, sign, value = segment.partition("=")
        decoded = _decode(name) or name
        is_known = decoded in OPTION_NAMES
        word = None if is_known else SECRET_WORD.search(name)
        parted = None if is_known else _NAME_ENDS.search(name)
        if sign:
            secret = decoded in SECRET_NAMES or not (is_known or not SECRET_WORD.search(decoded))
        hidden = None
        if sign and not name and SECRET_WORD.search(segment):
            hidden = 0
        elif parted is not None or (word is not None and word.end() < len(name)):
            # The = is missing: passwordSECRET, or user:SECRET.
            hidden = min(found.end() for found in (word, parted) if found is not None)
        elif secret and segment:
            # A piece without a = after a password may be the password's own, with its & unescaped.
            hidden = len(name) + 1 if sign else 0
        else:
            shown = _shown_value(decoded, value)
            hidden = len(name) + 1 + shown if shown < len(value) else None
        if hidden is not None:
            yield position + hidden, position + len(segment)
        position += len(segment) + 1


def _shown_value(name: str, value: str) -> int:
    """Return how many characters of an option's value may be shown."""
    within = _WITHIN.search(value)
    end = len(value) if within is None else within.end()
    option = find_option(name) if name in OPTION_NAMES else None
    if option is not None:
        try:
            option.parse(_decode(value) or value, name)
        except InvalidOptionError:
            end = min(end, option.shown_part(value))
    return end


def _credential(text: str) -> int | None:
    """Return where in hosts and bucket something begins that may be secret; None: nowhere.

    What is after a colon is shown only if it is a port, what is after a = if it is its type.
    """
    word = SECRET_WORD.search(text)
    if word is not None and _BLANK.search(text):
        return word.end()
    for piece in _PIECE.finditer(text):
        # In the name of a bucket a %3A is what `encode` makes of a colon.
        colon = _RAW_COLON if "/" in text[: piece.start()] else _COLON
        equals = _RAW_EQUALS if colon is _RAW_COLON else _EQUALS
        address = _SHOWN_ADDRESS.match(piece[0])
        begin = 0 if address is None else address.end()
        sign = colon.search(piece[0], begin)
        if sign is not None:
            port = _SHOWN_PORT.match(piece[0], sign.end())
            assert port is not None  # it may be empty
            if port.end() < len(piece[0]) and not equals.match(piece[0], port.end()):
                return piece.start() + sign.end()
            begin = port.end()
        elif address is not None and "[" not in address[0] and begin < len(piece[0]):
            return piece.start() + begin
        kind = equals.search(piece[0], begin)
        if kind is not None and piece[0][kind.end() :].lower() not in _SHOWN_TYPES:
            return piece.start() + kind.end()
    return None


class _Parser:
    """Reads one connection string; knows where it is, for the error."""

    def __init__(self, text: str) -> None:
        self.text = text

    def parse(self, cls: type[C]) -> C:
        self.check_text()
        scheme, begin = self._scheme()
        query = self.text.find("?", begin)
        query = len(self.text) if query < 0 else query
        slash = self.text.find("/", begin, query)
        hosts = list(self._hosts(begin, query if slash < 0 else slash, scheme))
        bucket = None if slash < 0 else self._bucket(slash + 1, query)
        options: dict[str, list[str]] = {}
        for name, value in self.options(query + 1):
            options.setdefault(name, []).append(value)
        try:
            return cls(bucket, hosts, options, scheme)
        except InvalidConnectionStringError as error:
            # Every part is valid: what is wrong is their combination.
            self.fail(error.message, 0, len(self.text))

    def check_text(self) -> None:
        if not _is_text(self.text):
            raise InvalidConnectionStringError(
                "The connection string has a control character, or is no valid Unicode text"
            )

    def _scheme(self) -> tuple[str, int]:
        scheme, separator, _ = self.text.partition("://")
        if not separator or "/" in scheme or "?" in scheme:
            return ("" if self.text else "couchbase"), 0
        if not scheme or scheme not in _SCHEMES:
            self.fail(_about_scheme(scheme), 0, len(scheme) + 3)
        return scheme, len(scheme) + 3

    def _hosts(self, begin: int, end: int, scheme: str) -> Iterator[str]:
        if self.text.startswith("//", end) and self.text[begin:end].endswith(":"):
            self.fail("A scheme can stand only once, at the beginning", begin, end)
        for written in _SEPARATOR.split(self.text[begin:end]):
            decoded = self._decoded(begin, begin + len(written))
            for host in filter(None, _SEPARATOR.split(decoded)):
                try:
                    _read_host(host, scheme)
                except ValueError as error:
                    self.fail(str(error), begin, begin + len(written))
                yield host
            begin += len(written) + 1

    def _bucket(self, begin: int, end: int) -> str:
        slash = self.text.find("/", begin, end)
        if slash >= 0:
            why = "A bucket's name has no /"
            if slash == begin:
                # couchbase//host/bucket, couchbase:/host
                why = f"{why}; after a scheme comes ://"
            self.fail(why, slash, end)
        if _NO_NAME.search(self.text, begin, end):
            # No bucket has such a name, and what stands there may be a password.
            self.fail("Options follow a ?, and are separated by &", begin, end)
        return self._decoded(begin, end)

    def options(self, begin: int) -> Iterator[tuple[str, str]]:
        for segment in self.text[begin:].split("&"):
            end = begin + len(segment)
            name, equals, value = segment.partition("=")
            if segment:
                if not (name and equals and value):
                    self.fail("An option is written name=value", begin, end)
                if _SEVERAL.search(value):
                    self.fail("Options are separated by &", begin, end)
                yield (
                    self._decoded(begin, begin + len(name)),
                    self._decoded(begin + len(name) + 1, end),
                )
            begin = end + 1

    def _decoded(self, begin: int, end: int) -> str:
        decoded = _decode(self.text[begin:end])
        if decoded is None:
            self.fail("A % must begin the code of a UTF-8 byte; itself it is %25", begin, end)
        if _CONTROL.search(decoded):
            self.fail("There is a control character", begin, end)
        return decoded

    def fail(self, why: str, begin: int, end: int) -> NoReturn:
        """Raise the error; the message, like its attributes, shows no secret."""
        masked = _Masked(self.text)
        position = masked.position(begin)
        part = masked.text[position : masked.position(end, is_end=True)]
        message = f"{why}: {part!r}, at position {position} of {masked.text!r}"
        raise InvalidConnectionStringError(message, text=masked.text, position=position)


_NO_SCHEMES: Final = {
    "https": "There is no scheme https://; for TLS use couchbases://",
    "https-internal": "There is no scheme https-internal:// here; for TLS use couchbases://",
    "couchbase+explicit": "There is no scheme couchbase+explicit:// here; "
    "couchbase://host:port=type says the same",
    "memcached": "Plain memcached servers are not supported",
}


def _about_scheme(scheme: str) -> str:
    if scheme in _NO_SCHEMES:
        return _NO_SCHEMES[scheme]
    near = next((known for known in _SCHEMES if known and known == scheme.lower()), None)
    hint = f"; did you mean {near}://?" if near else ""
    return f"Unknown scheme; use couchbase:// or couchbases://{hint}"


def _host_text(host: object) -> str:
    """Return a host as it is written; raises InvalidConnectionStringError if it is none."""
    if isinstance(host, Host):
        return _write_host(host)
    if not isinstance(host, str):
        raise InvalidConnectionStringError(f"A host is a text, not {type(host).__name__}")
    if not _is_text(host):
        what = "has a control character" if _CONTROL.search(host) else "is no valid Unicode text"
        raise InvalidConnectionStringError(f"A host {what}")
    return host


def _read_host(text: str, scheme: str) -> Host:
    """Read one host, percent-decoded; raises ValueError with the reason."""
    if "@" in text:
        raise ValueError("A host holds no credentials; use an authenticator, or ?username=")
    if _BLANK.search(text):
        raise ValueError("There is a blank; hosts are parted by a comma alone")
    port_text: str | None = None
    bracketed = text.startswith("[")
    is_name = not bracketed and text.count(":") < 2
    if bracketed:
        name, bracket, rest = text[1:].partition("]")
        if not bracket or rest[:1] not in {"", ":"}:
            raise ValueError("An IPv6 address is written [address] or [address]:port")
        port_text = rest[1:] if rest else None
    elif not is_name:
        name = text
    else:
        name, colon, after = text.partition(":")
        port_text = after if colon else None
    if not is_name and not (_IPV6.fullmatch(name) and is_address(name)):
        raise ValueError("An address with several colons must be an IPv6 address")
    try:
        name = host_to_dial(name)
    except ValueError as error:
        raise ValueError(f"This is no host name: {error}") from None
    if port_text is None:
        return Host(name)
    return _with_port(name, port_text, scheme)


def _with_port(name: str, text: str, scheme: str) -> Host:
    match = _PORT.fullmatch(text)
    if not match or not 0 < int(match[1]) < 65536:
        raise ValueError("A port is a number from 1 to 65535, or number=type")
    port, kind = int(match[1]), match[2]
    if kind is not None:
        kind = kind.lower()
        if kind == "mccompat":
            raise ValueError("Plain memcached servers are not supported")
        if kind not in _TYPES:
            raise ValueError(f"The type of a port is one of {', '.join(sorted(_TYPES))}")
        return Host(name, port, _TYPES[kind])
    meant = _SCHEMES[scheme]
    if port == meant.port:
        return Host(name, port)
    if meant.port == 11210 and port == _HTTP_PORT:
        # couchbase://host:8091 is a common slip; 2.5 takes it as couchbase://host.
        return Host(name)
    return Host(name, port, meant.type)


def _write_host(host: Host) -> str:
    name = f"[{host.host}]" if ":" in host.host and host.host[0] != "[" else host.host
    port = "" if host.port is None else f":{host.port}"
    return f"{name}{port}" + ("" if host.type is None else f"={host.type}")


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
    return str(value)


def _check_option(name: str, value: str) -> None:
    if not (isinstance(name, str) and name and value and _is_text(name) and _is_text(value)):
        raise InvalidConnectionStringError(f"Option {shown_name(name)} is empty, or no valid text")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return not _CONTROL.search(text)


def _decode(text: str) -> str | None:
    if _BAD_PERCENT.search(text):
        return None
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return None
