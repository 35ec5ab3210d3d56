"""What was asked for: the connection string, its options, who connects, what TLS trusts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from couchloop.doctor.addresses import web_port_taken
from couchloop.doctor.advice import Advice, advise, failed
from couchloop.doctor.context import StopError
from couchloop.doctor.report import Part, Step, Verdict, count
from couchloop.doctor.requests import ReadTls
from couchloop.exceptions import (
    BadEnvironmentError,
    CouchbaseError,
    FeatureNotAvailableError,
    InvalidConnectionStringError,
    InvalidOptionError,
)
from couchloop.settings.configure import make_settings
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.memcached import SCHEME as MEMCACHED
from couchloop.settings.options import OptionValue, find_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from couchloop.doctor.context import DiagnosisContext
    from couchloop.doctor.requests import Task
    from couchloop.safety.secret import Secret
    from couchloop.settings.values import Settings


class User(NamedTuple):
    """Who connects, if the connection string does not say it."""

    username: str | None = None
    password: str | Secret | None = None

    def __repr__(self) -> str:
        return f"User(username={self.username!r}, password=***)"


def packages(context: DiagnosisContext, cause: str, cure: str) -> None:
    """Report what is wrong with the packages beside ours, if anything is."""
    if cause:
        context.begin("packages")
        context.end(
            Step(
                part=Part.REQUEST,
                name="packages",
                verdict=Verdict.WARNING,
                text="another package takes a name of couchloop's",
                cause=f"{cause[0].upper()}{cause[1:]}.",
                cure=f"{cure[0].upper()}{cure[1:]}.",
            )
        )


def parse(context: DiagnosisContext, text: Secret) -> ConnectionString:
    """Report what the connection string says."""
    context.begin("parse")
    try:
        parsed = ConnectionString.parse(text.text())
    except InvalidConnectionStringError as error:
        context.end(failed(Part.REQUEST, "parse", advise(error)))
        raise StopError from None
    hosts = [str(host.host) for host in parsed.seeds]
    scheme = f"scheme {parsed.scheme}" if parsed.scheme else "no scheme"
    bucket = f"bucket {parsed.bucket!r}" if parsed.bucket else "no bucket"
    notes: tuple[str, ...] = ()
    if not parsed.bucket:
        notes = ("No bucket: the cluster itself is examined. Add /BUCKET for more.",)
    taken = web_port_taken(parsed)
    context.end(
        Step(
            part=Part.REQUEST,
            name="parse",
            verdict=Verdict.WARNING if taken.cause else Verdict.OK,
            text=f"{scheme}, {count(len(hosts), 'host')}, {bucket}",
            notes=notes,
            cause=taken.cause,
            cure=taken.cure,
            details={"scheme": parsed.scheme, "hosts": hosts, "bucket": parsed.bucket},
        )
    )
    return parsed


def read_options(
    context: DiagnosisContext, connection_string: ConnectionString
) -> dict[str, OptionValue]:
    """Report what each option does; return the values by canonical name."""
    values: dict[str, OptionValue] = {}
    notes: list[str] = []
    details: list[dict[str, Any]] = []
    failure: Advice | None = None
    context.begin("options")
    for name, text in connection_string.option_pairs():
        try:
            option = find_option(name)
            value = option.parse(text, name)
        except CouchbaseError as error:
            failure = failure or advise(error)
            notes.append(error.message)
            continue
        values[option.name] = value
        shown = "***" if option.secret else _value(value, option.unit)
        effect = f"no effect: {option.reason}" if option.reason else option.meaning
        notes.append(f"{option.name} = {shown}: {effect}")
        details.append({"option": option.name, "value": shown, "effect": not option.reason})
    if failure is not None:
        notes = [note for note in notes if failure.cause.rstrip(".") not in note]
        context.end(failed(Part.REQUEST, "options", failure, notes=tuple(notes)))
        raise StopError
    text = count(len(details), "option") if details else "none: the defaults apply"
    context.end(
        Step(
            part=Part.REQUEST,
            name="options",
            verdict=Verdict.OK if details else Verdict.SKIPPED,
            text=text,
            notes=tuple(notes),
            details={"options": details},
        )
    )
    return values


def credentials(
    context: DiagnosisContext,
    connection_string: ConnectionString,
    options: dict[str, OptionValue],
    user: User,
    environment: Mapping[str, str],
) -> Settings:
    """Report who connects; return how a program would.

    Args:
        context: the diagnosis'.
        connection_string: what was asked for.
        options: its options.
        user: who connects, if the string does not say it.
        environment: the process's variables.
    """
    context.begin("credentials")
    username, password = user
    by_certificate = "keypath" in options or bool(environment.get("LCB_SSL_KEY"))
    is_plain = connection_string.scheme == MEMCACHED
    if is_plain:
        username = password = None
    elif username is None and "username" not in options and not by_certificate:
        # What can be reached without logging in is worth knowing all the same.
        context.logs_in = False
        username, password = "nobody", ""
    try:
        settings = make_settings(
            connection_string,
            username=username,
            password=password,
            framework=context.report.loop,
            environment=environment,
            is_cluster=not connection_string.bucket,
        )
    except CouchbaseError as error:
        context.end(failed(Part.REQUEST, _step_of(error), advise(error)))
        raise StopError from None
    _tell_notices(context, settings)
    if is_plain:
        text = "none: nobody logs in at plain memcached servers"
        context.end(Step(part=Part.REQUEST, name="credentials", verdict=Verdict.SKIPPED, text=text))
        return settings
    if context.logs_in:
        _tell_login(context, settings, shows_password="password" in options)
        return settings
    advice = Advice(
        "nobody",
        "Neither the command line nor the connection string says who connects.",
        "Give --username, or certpath= and keypath= in the connection string. What can be "
        "examined without logging in follows.",
    )
    context.end(failed(Part.REQUEST, "credentials", advice))
    return settings


def _step_of(error: CouchbaseError) -> str:
    """Return the step at which *error* is told, which says that nobody could connect so."""
    if isinstance(error, BadEnvironmentError):
        return "environment"
    if isinstance(error, InvalidOptionError | FeatureNotAvailableError):
        return "options"
    if isinstance(error, InvalidConnectionStringError):
        return "parse"
    return "credentials"


def _tell_notices(context: DiagnosisContext, settings: Settings) -> None:
    # What options are without effect was said with them.
    notices = tuple(
        each.text for each in settings.notices if not each.text.startswith("the option ")
    )
    if notices:
        context.end(
            Step(
                part=Part.REQUEST,
                name="environment",
                verdict=Verdict.OK,
                text="variables of libcouchbase are set",
                notes=notices,
            )
        )


def _tell_login(context: DiagnosisContext, settings: Settings, *, shows_password: bool) -> None:
    login = settings.login
    who = f"user {login.username!r}, with a password"
    if login.by_certificate:
        who = f"the client certificate {settings.tls_files.cert_path}"
    note = ""
    if shows_password:
        note = (
            "The password stands in the connection string, where logs and lists of processes "
            "may show it: a PasswordAuthenticator keeps it out of there."
        )
    context.end(
        Step(
            part=Part.REQUEST,
            name="credentials",
            verdict=Verdict.OK,
            text=who,
            notes=(note,) if note else (),
            details={"username": login.username, "by_certificate": login.by_certificate},
        )
    )


def certificates(context: DiagnosisContext, settings: Settings) -> Task[None]:
    """Report what TLS trusts and shows."""
    files = settings.tls_files
    context.begin("certificates")
    answer = yield from context.ask(ReadTls(files))
    if answer.error is not None:
        context.end(failed(Part.REQUEST, "certificates", advise(answer.error)))
        raise StopError
    details = {"trusted": files.ca_path, "own": files.cert_path, "verify": files.verify}
    if not files.verify:
        context.end(
            Step(
                part=Part.REQUEST,
                name="certificates",
                verdict=Verdict.WARNING,
                text="nothing is verified",
                cause="ssl=no_verify or tls_verify=none: anybody on the way can pretend to be "
                "the server, and read the password and the data.",
                cure="Give the CA's certificate as certpath= instead.",
                details=details,
            )
        )
        return
    trusted = f"the CAs in {files.ca_path}" if files.ca_path else "the system's trust store"
    context.end(
        Step(
            part=Part.REQUEST,
            name="certificates",
            verdict=Verdict.OK,
            text=f"trusted: {trusted}",
            details=details,
        )
    )


def _value(value: OptionValue, unit: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, float):
        return f"{value:g}" + (" s" if unit == "seconds" else "")
    return str(value)
