"""memcached://: the hosts are plain memcached servers, which know no users, and no cluster."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, Final

from couchloop.auth import Authenticator, Credentials
from couchloop.exceptions import InvalidConnectionStringError
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import AUTO_NETWORK, Notice, Settings

SCHEME: Final = "memcached"
BUCKET: Final = "default"
"""What a Bucket is called whose connection string names none."""
_WITHOUT_EFFECT: Final = (
    "bootstrap_on",
    "compression",
    "config_cache",
    "config_cache_ro",
    "config_poll_interval",
    "network",
    "sasl_mech_force",
)
"""Options that are about a cluster."""


class Nobody(Authenticator):
    """Who connects where nobody logs in.

    Args:
        cert_path: PEM file with the CA certificates to trust.
    """

    def __init__(self, cert_path: str | None) -> None:
        self.cert_path = cert_path

    def credentials_for(self, bucket: str | None) -> Credentials:  # noqa: ARG002 - the same for all
        """See `Authenticator`."""
        return Credentials("", "")

    def _values(self) -> tuple[Hashable, ...]:
        return (self.cert_path,)


def check_plain(connection_string: ConnectionString) -> None:
    """Raise InvalidConnectionStringError for what makes no sense with plain servers."""
    if connection_string.srv_host is not None:
        raise InvalidConnectionStringError(
            "plain memcached servers have no DNS SRV record: name them all, without dnssrv",
            text=connection_string.masked(),
        )


def of_plain_servers(
    settings: Settings, options: Mapping[str, Any], *, is_login_given: bool
) -> Settings:
    """Return *settings* as they are for plain servers; notices tell what has no effect."""
    notices = [
        Notice(f"the option {name} has no effect: memcached:// knows no cluster", once=True)
        for name in _WITHOUT_EFFECT
        if name in options
    ]
    if is_login_given:
        text = "memcached:// logs in nowhere: the username and the password are not used"
        notices.append(Notice(text, once=True))
    return replace(
        settings,
        is_plain=True,
        bootstrap_on="cccp",
        network=AUTO_NETWORK,
        config_cache="",
        config_cache_ro=False,
        config_poll_interval=0.0,
        notices=(*settings.notices, *notices),
    )
