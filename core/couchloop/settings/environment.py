"""What libcouchbase's environment variables mean here.

Nothing is read here: whoever opens a Bucket hands the variables in. What they say wins over the
connection string, as in SDK 2.5, and the log says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from couchloop.exceptions import (
    BadEnvironmentError,
    InvalidConnectionStringError,
    InvalidOptionError,
)
from couchloop.records import record
from couchloop.safety.secret import sealed
from couchloop.settings.connection_string import parse_query
from couchloop.settings.options import OptionValue, doubtful_unit, find_option, parse_bool
from couchloop.settings.values import MINIMUM_TLS, Notice, Tls

_OPTIONS: Final = "LCB_OPTIONS"
_NO_CCCP, _NO_HTTP = "LCB_NO_CCCP", "LCB_NO_HTTP"
_CACERT, _KEY, _MODE = "LCB_SSL_CACERT", "LCB_SSL_KEY", "LCB_SSL_MODE"
_MINIMUM, _CIPHERS = "LCB_SSL_MINIMUM_TLS", "LCB_SSL_CIPHER_LIST"

_FILES: Final = frozenset({"certpath", "truststorepath", "keypath"})
_NOT_GENERIC: Final = frozenset(
    {
        "bootstrap_on",
        "username",
        "password",
        "ssl",
        "tls_verify",
        "console_log_level",
        "log_redaction",
        "dnssrv",
        "ipv6",
    }
)
"""Options that libcouchbase reads from connection strings alone."""

_WITHOUT_EFFECT: Final = {
    **dict.fromkeys(
        ("LCB_LOGLEVEL", "LCB_LOGFILE"), "the logging of the program decides what is logged"
    ),
    **dict.fromkeys(
        ("LCB_IOPS_NAME", "LCB_IOPS_SYMBOL", "LCB_DLOPEN_DEBUG", "LCB_NO_SRAND"),
        "it tunes the C library, which is not used here",
    ),
    "LCB_SSL_CIPHERSUITES": "the ciphers of TLS 1.3 are those of OpenSSL",
}

_ENABLED, _NO_VERIFY = 1, 2


@record(frozen=True, slots=True)
class Environment:
    """What the variables say. `BadEnvironmentError` tells which of them is wrong."""

    options: Mapping[str, OptionValue]
    """They win over those of a connection string."""
    without_cccp: bool
    without_http: bool
    certificate: str | None
    key: str | None
    minimum_tls: str | None
    ciphers: str
    notices: tuple[Notice, ...]
    """What is to be logged."""

    def apply(self, options: dict[str, OptionValue], *, tls_scheme: bool) -> None:
        """Change what a connection string has said.

        Args:
            options: of the connection string, by canonical name.
            tls_scheme: whether its scheme asks for TLS.

        Raises BadEnvironmentError if the two contradict each other.
        """
        options.update(self.options)
        if tls_scheme and self.options.get("ssl") == "off":
            raise BadEnvironmentError(f"{_MODE} turns TLS off, but couchbases:// asks for it")
        for name, is_set, excluded, other in (
            (_NO_CCCP, self.without_cccp, "cccp", "http"),
            (_NO_HTTP, self.without_http, "http", "cccp"),
        ):
            if is_set and options.get("bootstrap_on", "all") == excluded:
                raise BadEnvironmentError(f"{name} forbids what bootstrap_on={excluded} asks for")
            if is_set and options.get("bootstrap_on", "all") == "all":
                options["bootstrap_on"] = other

    def apply_files(self, options: dict[str, OptionValue]) -> None:
        """Add the client's own certificate, which is used with TLS only."""
        if self.key is not None and self.certificate is not None:
            options["certpath"] = self.certificate
            options["keypath"] = self.key

    def tuned(self, tls: Tls) -> Tls:
        """Change what TLS trusts, and how old and weak it may be."""
        return replace(
            tls,
            # With a key it is the client's own certificate, not a CA's.
            ca_path=self.certificate if self.certificate and self.key is None else tls.ca_path,
            minimum=self.minimum_tls or tls.minimum,
            ciphers=self.ciphers or tls.ciphers,
        )


@sealed
def read_environment(variables: Mapping[str, str]) -> Environment:
    """Read the variables that mean something; empty ones count as absent.

    Raises BadEnvironmentError, which names the variable.
    """
    given = {name: text for name, text in variables.items() if name.startswith("LCB_") and text}
    notices = [
        Notice(f"{name} has no effect: {reason}", once=True)
        for name, reason in _WITHOUT_EFFECT.items()
        if name in given
    ]
    deciding: list[str] = []
    options = _options(given.get(_OPTIONS, ""), deciding, notices)
    without = {name: _flag(name, given.get(name)) for name in (_NO_CCCP, _NO_HTTP)}
    deciding += [name for name, is_set in without.items() if is_set]
    if all(without.values()):
        raise BadEnvironmentError(
            f"{_NO_CCCP} and {_NO_HTTP} together leave no way to find the cluster"
        )
    if _MODE in given:
        options["ssl"] = _mode(given[_MODE])
    certificate, key = given.get(_CACERT), given.get(_KEY)
    if key is not None and certificate is None:
        raise BadEnvironmentError(f"{_KEY} needs {_CACERT}: the certificate that it belongs to")
    minimum = given.get(_MINIMUM, "").lower() or None
    if minimum == "tlsv1.1":
        notices.append(Notice(f"{_MINIMUM}: nothing older than TLS 1.2 is used here", once=True))
        minimum = None
    elif minimum is not None and minimum not in MINIMUM_TLS:
        raise BadEnvironmentError(f"{_MINIMUM} is one of tlsv1.1, {', '.join(MINIMUM_TLS)}")
    deciding += [name for name in (_MODE, _CACERT, _KEY, _MINIMUM, _CIPHERS) if name in given]
    if deciding:
        notices.append(Notice(f"the environment decides: {', '.join(deciding)}"))
    return Environment(
        options,
        without[_NO_CCCP],
        without[_NO_HTTP],
        certificate,
        key,
        minimum,
        given.get(_CIPHERS, ""),
        tuple(notices),
    )


def _options(text: str, deciding: list[str], notices: list[Notice]) -> dict[str, OptionValue]:
    """Read LCB_OPTIONS; *deciding* is told what it says, without secrets."""
    values: dict[str, OptionValue] = {}
    shown: list[str] = []
    try:
        pairs = parse_query(text)
    except InvalidConnectionStringError:
        # Its message shows the text, which may be anything.
        raise BadEnvironmentError(
            f"{_OPTIONS} is not of the form name=value&name=value, percent-encoded"
        ) from None
    for name, value in pairs:
        try:
            option = find_option(name)
            if option.name in _FILES:
                raise BadEnvironmentError(
                    f"{_OPTIONS} cannot name files of TLS, as {name} does: use {_CACERT}, {_KEY}"
                )
            if option.name in _NOT_GENERIC:
                what = f"{name} in {_OPTIONS} has no effect: the connection string alone has it"
                notices.append(Notice(what, once=True))
                continue
            values[option.name] = option.parse(value, name)
            if doubt := doubtful_unit(name, value):
                what = f"{_OPTIONS}: {doubt}"
                notices.append(Notice(what, once=True, level="warning"))
        except InvalidOptionError as error:
            raise BadEnvironmentError(f"{_OPTIONS}: {error.message}") from None
        shown.append(name if option.secret else f"{name}={value}")
    if shown:
        deciding.append(f"{_OPTIONS} ({', '.join(shown)})")
    return values


def _flag(name: str, text: str | None) -> bool:
    if text is None:
        return False
    value = parse_bool(text)
    if value is None:
        raise BadEnvironmentError(f"{name} is true or false (or on, off, yes, no, 1, 0)")
    return value


def _mode(text: str) -> str:
    """Return the value of the option ssl that the flags of LCB_SSL_MODE mean."""
    try:
        flags = int(text, 0)
    except ValueError:
        raise BadEnvironmentError(f"{_MODE} is a number: 0 off, 1 on, 3 unverified") from None
    if not flags & _ENABLED:
        return "off"
    return "no_verify" if flags & _NO_VERIFY else "on"
