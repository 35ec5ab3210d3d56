"""What the `Cluster` of both adapters has in common."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar
from weakref import WeakKeyDictionary, ref

from couchloop.auth import Authenticator, PasswordAuthenticator
from couchloop.client.bucket import BucketBase
from couchloop.client.connection_limits import ConnectionBudget, check_budget, connection_budget
from couchloop.client.services import ClusterKey, ClusterServices, key_of, services_for
from couchloop.exceptions import (
    ArgumentError,
    BadEnvironmentError,
    InvalidConnectionStringError,
    MissingCredentialsError,
    MixedAuthError,
)
from couchloop.hot.encoding import transcoder_of
from couchloop.hot.operation import Defaults
from couchloop.hot.service_defaults import ServiceDefaults
from couchloop.later import Module
from couchloop.operations.arguments import strategy_of_services
from couchloop.retries import RetryStrategy
from couchloop.safety.secret import Secret, sealed
from couchloop.session.diagnostics import DiagnosticsReport, diagnostics_of
from couchloop.settings.configure import (
    check_bucket_name,
    read_connection_string,
)
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.environment import read_environment
from couchloop.settings.from_options import number, reports_of, service_times, strategy
from couchloop.settings.masking import masked
from couchloop.settings.options import parse_options
from couchloop.settings.values import Settings

if TYPE_CHECKING:
    from couchloop.observation import AnyObserver
    from couchloop.observe import calls
    from couchloop.observe import requests as observed
else:
    # Few programs have observers.
    calls = Module("couchloop.observe.calls", globals())
    observed = Module("couchloop.observe.requests", globals())

B = TypeVar("B", bound="BucketBase")


def _checked(authenticator: Authenticator) -> Authenticator:
    if not isinstance(authenticator, Authenticator):
        raise ArgumentError(
            "an authenticator is a PasswordAuthenticator, CertAuthenticator or "
            f"ClassicAuthenticator, not {type(authenticator).__name__}"
        )
    return authenticator


class ClusterBase(Generic[B]):
    """Where the nodes are and who connects; opens Buckets.

    Args:
        connection_string: names no bucket.
        bucket_class: what `open_bucket` makes.
        environment: the process's variables.
        retry_strategy: of its own requests to services, and of Buckets that name none.
        handed_on: further arguments of each Bucket; those that are None are left out.

    Raises InvalidConnectionStringError (a ValueError), InvalidOptionError, ArgumentError.
    """

    @sealed
    def __init__(
        self,
        connection_string: str | ConnectionString,
        bucket_class: type[B],
        environment: Mapping[str, str],
        *,
        retry_strategy: RetryStrategy | None = None,
        **handed_on: Any,
    ) -> None:
        parsed = read_connection_string(connection_string)
        for what, is_there in (
            ("a bucket: name it in open_bucket()", parsed.bucket),
            ("a user: use authenticate()", parsed.get_option("username")),
            ("a password: use authenticate()", parsed.get_option("password")),
        ):
            if is_there:
                raise InvalidConnectionStringError(
                    f"the connection string of a Cluster must not name {what}", text=parsed.masked()
                )
        options = parse_options(parsed.option_pairs())
        with suppress(BadEnvironmentError):
            # Whoever connects is told what is wrong with it.
            read_environment(environment).apply(options, tls_scheme=parsed.tls)
        times = service_times(options)
        self._reports = reports_of(options)
        self._is_redacted = bool(options.get("log_redaction", False))
        self._requests: observed.ClusterRequests | None = None
        """Who is told of what it asks services, if anybody is."""
        self._defaults = Defaults(
            transcoder_of(None),
            0,
            timeout=number(options, "http_timeout"),
            services=ServiceDefaults(
                query_timeout=times.query,
                query_grace=times.grace,
                search_timeout=times.search,
                analytics_timeout=times.analytics,
                strategy=strategy_of_services(strategy(options, retry_strategy)),
            ),
        )
        """What holds for requests to services."""
        if isinstance(connection_string, ConnectionString):
            connection_string = connection_string.encode()
        self.connection_string = connection_string
        self.bucket_class = bucket_class
        if self._reports.tracing or self._reports.metrics:
            self._watch()
        handed_on["retry_strategy"] = retry_strategy
        self._handed_on = {name: value for name, value in handed_on.items() if value is not None}
        self.authenticator: Authenticator | None = None
        self._opened: dict[int, ref[B]] = {}
        """Buckets that log in as the authenticator says, by id(); threads may look, so no set."""
        self._held_services: WeakKeyDictionary[Any, ClusterServices] = WeakKeyDictionary()
        """What it has asked services through, by loop."""
        self._key: tuple[Authenticator | None, ClusterKey] | None = None

    def __repr__(self) -> str:
        where = masked(self.connection_string)
        return f"<{type(self).__module__}.{type(self).__name__} {where!r}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # What copy.copy, copy.deepcopy and pickle ask. It holds who connects, and its Buckets.
        raise TypeError(
            "a Cluster is not copied or pickled: it holds the credentials, and knows its Buckets. "
            "Let both places refer to the same Cluster; in another process make one there, with "
            "credentials of its own source"
        )

    @sealed
    def authenticate(
        self,
        authenticator: Authenticator | None = None,
        username: str | None = None,
        password: str | Secret | None = None,
    ) -> None:
        """Set who connects: an authenticator, or a username and a password.

        Raises MissingCredentialsError (a ValueError, as in SDK 2.5) if neither is given whole,
        MixedAuthError if both are.
        """
        if authenticator is None:
            if not username or not password:
                raise MissingCredentialsError("give an authenticator, or a username and a password")
            authenticator = PasswordAuthenticator(username, password)
        elif username is not None or password is not None:
            raise MixedAuthError("give an authenticator, or username and password, not both")
        self.authenticator = _checked(authenticator)

    @sealed
    def set_authenticator(self, authenticator: Authenticator) -> None:
        """Replace the credentials, as secrets that rotate want it (RFC 0048).

        The Buckets that this Cluster has opened log in with the new ones on every connection made
        from now on; connections that are there stay, until they are lost or the server wants a new
        login. Files of certificates are read now, also if they only have new contents. Opening a
        bucket again with the new credentials gives the same Bucket.

        Any thread may call it. If it raises, nothing has changed.

        Args:
            authenticator: of the same class as the one before.

        Raises MixedAuthError if it is of another class, ArgumentError if it is none, or does not
        fit how a Bucket connects, CertificateFileError if a file is of no use.
        """
        _checked(authenticator)
        before = self.authenticator
        if before is not None and type(before) is not type(authenticator):
            raise MixedAuthError(
                f"the credentials so far are a {type(before).__name__}: they can be replaced by "
                f"another one, not by a {type(authenticator).__name__}"
            )
        buckets = [bucket for bucket in self._buckets() if not bucket.closed]
        renewals = [bucket._renewal(authenticator) for bucket in buckets]  # noqa: SLF001 - ours
        if self._held_services:
            settings = self._settings_of(authenticator)
            renewals += [each.renewal(settings) for each in self._held_services.values()]
        self.authenticator = authenticator
        for renew in renewals:
            renew()

    def open_bucket(self, *arguments: Any, **keywords: Any) -> B:
        """Open a bucket by its name; an adapter's own says which keywords it takes."""
        raise NotImplementedError

    def _open_bucket(self, bucket_name: str, keywords: Mapping[str, Any]) -> B:
        """Open a bucket, or give the Bucket that is open on this loop already."""
        authenticator = self.authenticator
        keywords = dict(keywords)
        if authenticator is not None:
            if keywords.keys() & {"username", "password", "authenticator"}:
                raise MixedAuthError(
                    "credentials were given to authenticate(); open_bucket() takes no others"
                )
            keywords["authenticator"] = authenticator
        bucket_name = check_bucket_name(bucket_name)
        target = ConnectionString.parse(self.connection_string)
        target.bucket = bucket_name
        handed_on, strategy = self._bucket_arguments(), keywords.pop("retry_strategy", None)
        if strategy is not None:
            handed_on = {**handed_on, "retry_strategy": strategy}
        bucket = self.bucket_class(target, **handed_on, **keywords)
        if authenticator is not None:
            self._note(bucket)
            if self.authenticator is not None and self.authenticator is not authenticator:
                # Replaced while the Bucket was being opened.
                bucket._renewal(self.authenticator)()  # noqa: SLF001 - ours
        return bucket

    def _note(self, bucket: B) -> None:
        opened, number = self._opened, id(bucket)
        opened[number] = ref(bucket, lambda _: opened.pop(number, None))

    def _buckets(self) -> list[B]:
        """Return the Buckets that it has opened with its authenticator and that are still used."""
        return [bucket for each in list(self._opened.values()) if (bucket := each()) is not None]

    def _buckets_here(self) -> list[B]:
        """Return those of them that are open on the loop that runs here."""
        loop = self._here()
        return [bucket for bucket in self._buckets() if bucket._loop is loop and not bucket.closed]  # noqa: SLF001

    def _services_here(self) -> ClusterServices | None:
        """Return what it has asked services through on the loop that runs here, if it has."""
        return self._held_services.get(self._here())

    def _bucket_arguments(self) -> dict[str, Any]:
        """Return what it hands to each Bucket."""
        return self._handed_on

    def _cluster_arguments(self) -> dict[str, Any]:
        """Return the arguments of `make_settings` with which the cluster itself is connected to.

        Raises ArgumentError if nobody was authenticated.
        """
        if self.authenticator is None:
            raise ArgumentError(
                "nobody was named who connects: call authenticate() of the Cluster first"
            )
        return {
            **self._bucket_arguments(),
            "connection_string": ConnectionString.parse(self.connection_string),
            "authenticator": self.authenticator,
            "is_cluster": True,
        }

    def add_observer(self, observer: AnyObserver) -> None:
        """Have *observer* told of what this Cluster itself asks services from now on.

        It has the methods of one of the observers of `couchloop.observation`, or of several; of
        nodes and documents the Buckets tell those who observe them (`Bucket.add_observer`).

        Raises ArgumentError for what has none of these methods.
        """
        calls.check_observer(observer)
        self._watch().calls.add(observer)

    def remove_observer(self, observer: AnyObserver) -> None:
        """Tell *observer* no more, but of the end of calls that it saw begin."""
        requests = self._requests
        if requests is not None:
            requests.calls.remove(observer)
            if not requests.is_wanted:
                self._defaults.services.watching.by = None

    def _watch(self) -> observed.ClusterRequests:
        """Have requests tell of themselves; return whom they tell."""
        requests = self._requests
        if requests is None:
            settings = observed.ReportSettings(self._reports, self._is_redacted)
            requests = self._requests = observed.ClusterRequests(settings)
            requests.calls.wall_clock = self.bucket_class._wall_clock  # noqa: SLF001 - ours
        self._defaults.services.watching.by = requests
        return requests

    # Services

    def _here(self) -> Any:
        """Return the loop that runs here: the hub of this thread, or the reactor."""
        raise NotImplementedError

    def _settings_of(self, authenticator: Authenticator | None) -> Settings:
        arguments = {**self._cluster_arguments(), "authenticator": authenticator}
        return self.bucket_class._make_settings(**arguments)  # noqa: SLF001 - ours

    @property
    def _services_key(self) -> ClusterKey:
        """Which services it asks."""
        known, authenticator = self._key, self.authenticator
        if known is None or known[0] is not authenticator:
            known = self._key = authenticator, key_of(self._settings_of(authenticator))
        return known[1]

    def _ask_services(self) -> ClusterServices:
        """Return the services of the cluster on the loop that runs here; others share them.

        Raises ArgumentError if nobody was authenticated.
        """
        loop = self._here()
        held = self._held_services.get(loop)
        if held is None or not held.serves(self._services_key):
            bucket_class = self.bucket_class
            held = self._held_services[loop] = services_for(
                self,
                loop,
                self._settings_of(self.authenticator),
                self._bucket_arguments(),
                bucket_class._make_driver,  # noqa: SLF001 - ours
                bucket_class._registry,  # noqa: SLF001 - ours
            )
        return held

    def diagnostics(self, report_id: str | None = None, *, version: int = 2) -> DiagnosticsReport:
        """Return how each connection is, without any I/O (RFC 0061).

        Those of the Buckets are told of that this Cluster has open on the loop that runs here, and
        those with which the Cluster itself asks. Without any the state is OFFLINE.

        Args:
            report_id: goes into the report; None: one that nobody else has.
            version: of the report's form; 1 is SDK 2.5's.

        Raises ArgumentError for another version, or if nobody was authenticated.
        """
        held = self._ask_services()
        data = [bucket._driver.session.health for bucket in self._buckets_here()]  # noqa: SLF001 - ours
        services = [*data, held.health]
        if not held.is_unused:
            data.append(held.health)
        return diagnostics_of(data, services, held.now(), report_id, version)

    def _budget(self, loop: object, processes: int, buckets: int) -> ConnectionBudget | None:
        """Count by what a Bucket knows that this Cluster has open on *loop*; None: there is none.

        Raises ArgumentError for numbers that are none.
        """
        check_budget(processes, buckets)
        for bucket in self._buckets():
            if bucket._loop is loop and bucket.connected:  # noqa: SLF001 - ours
                return connection_budget(bucket._driver.session, processes, buckets)  # noqa: SLF001
        return None
