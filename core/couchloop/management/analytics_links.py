"""Links of the analytics service: where datasets have their data from (RFC 57).

A link's secrets are kept as `Secret`s, and no repr shows them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from couchloop.exceptions import InvalidSettingError
from couchloop.hot.operation import Defaults
from couchloop.http.service import Service, ServiceAnswer, ServiceRequest
from couchloop.management.analytics_statements import check_answer, name_of
from couchloop.management.answers import get, read_json, segment, send_form, unreadable
from couchloop.operations.procedure import Procedure, Steps
from couchloop.safety.secret import Secret, sealed

__all__ = [
    "AnalyticsEncryptionLevel",
    "AnalyticsLink",
    "AnalyticsLinkType",
    "AzureBlobExternalAnalyticsLink",
    "CouchbaseRemoteAnalyticsLink",
    "S3ExternalAnalyticsLink",
]

_ROOT: Final = "/analytics/link"


class AnalyticsLinkType(Enum):
    """Whose data a link leads to."""

    CouchbaseRemote = "couchbase"
    S3External = "s3"
    AzureBlobExternal = "azureblob"


class AnalyticsEncryptionLevel(Enum):
    """How a link to another cluster is encrypted."""

    NONE = "none"
    HALF = "half"
    """The password is."""
    FULL = "full"
    """Everything is: that takes a certificate."""


class AnalyticsLink(ABC):
    """What all links are.

    Args:
        dataverse: which it is of.
        name: its name.
    """

    TYPE: ClassVar[AnalyticsLinkType]

    def __init__(self, dataverse: str, name: str) -> None:
        self.dataverse = name_of(dataverse, "the name of a dataverse")
        self.name = name_of(name, "the name of a link")

    @property
    def link_type(self) -> AnalyticsLinkType:
        """Return whose data it leads to."""
        return self.TYPE

    @abstractmethod
    def _members(self) -> dict[str, str | Secret | None]:
        """Return what is sent beside its name; None is left out."""

    @property
    def form(self) -> dict[str, str]:
        """Return what is sent, in the clear."""
        given = {
            name: value.text() if isinstance(value, Secret) else value
            for name, value in self._members().items()
            if value
        }
        return {"type": self.TYPE.value, **given}

    def __eq__(self, other: object) -> bool:
        """Whether it is the same link, with the same settings."""
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]  # it may be changed

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if value)
        return f"{type(self).__name__}({shown})"


class CouchbaseRemoteAnalyticsLink(AnalyticsLink):
    """A link to another cluster.

    Args:
        dataverse: which it is of.
        name: its name.
        hostname: of a node of the other cluster, with a port if it is none of the usual.
        encryption: how it is encrypted.
        username: who logs in there; with a certificate nobody needs to.
        password: of that user; a Secret, or a text.
        certificate: of the other cluster (PEM), for full encryption.
        client_certificate: in place of user and password (PEM).
        client_key: of that certificate (PEM); a Secret, or a text.

    Raises InvalidSettingError (a TypeError), InvalidNameError.
    """

    TYPE = AnalyticsLinkType.CouchbaseRemote

    @sealed
    def __init__(
        self,
        dataverse: str,
        name: str,
        hostname: str,
        *,
        encryption: AnalyticsEncryptionLevel = AnalyticsEncryptionLevel.NONE,
        username: str | None = None,
        password: str | Secret | None = None,
        certificate: str | None = None,
        client_certificate: str | None = None,
        client_key: str | Secret | None = None,
    ) -> None:
        super().__init__(dataverse, name)
        self.hostname = name_of(hostname, "the hostname of a link")
        if not isinstance(encryption, AnalyticsEncryptionLevel):
            text = f"encryption is an AnalyticsEncryptionLevel, not {type(encryption).__name__}"
            raise InvalidSettingError(text)
        self.encryption = encryption
        self.username = _text(username, "username")
        self.password = _secret(password, "password")
        self.certificate = _text(certificate, "certificate")
        self.client_certificate = _text(client_certificate, "client_certificate")
        self.client_key = _secret(client_key, "client_key")

    def _members(self) -> dict[str, str | Secret | None]:
        return {
            "hostname": self.hostname,
            "encryption": self.encryption.value,
            "username": self.username,
            "password": self.password,
            "certificate": self.certificate,
            "clientCertificate": self.client_certificate,
            "clientKey": self.client_key,
        }


class S3ExternalAnalyticsLink(AnalyticsLink):
    """A link to Amazon's S3, or what is like it.

    Args:
        dataverse: which it is of.
        name: its name.
        access_key_id: who logs in there.
        region: where.
        secret_access_key: of that; a Secret, or a text. The service does not tell it.
        session_token: likewise.
        service_endpoint: of a service that is like S3.

    Raises InvalidSettingError (a TypeError), InvalidNameError.
    """

    TYPE = AnalyticsLinkType.S3External

    @sealed
    def __init__(
        self,
        dataverse: str,
        name: str,
        access_key_id: str,
        region: str,
        *,
        secret_access_key: str | Secret | None = None,
        session_token: str | Secret | None = None,
        service_endpoint: str | None = None,
    ) -> None:
        super().__init__(dataverse, name)
        self.access_key_id = name_of(access_key_id, "access_key_id")
        self.region = name_of(region, "region")
        self.secret_access_key = _secret(secret_access_key, "secret_access_key")
        self.session_token = _secret(session_token, "session_token")
        self.service_endpoint = _text(service_endpoint, "service_endpoint")

    def _members(self) -> dict[str, str | Secret | None]:
        return {
            "accessKeyId": self.access_key_id,
            "secretAccessKey": self.secret_access_key,
            "sessionToken": self.session_token,
            "region": self.region,
            "serviceEndpoint": self.service_endpoint,
        }


class AzureBlobExternalAnalyticsLink(AnalyticsLink):
    """A link to Azure's blobs: by a connection string, or by an account and one of its keys.

    Args:
        dataverse: which it is of.
        name: its name.
        connection_string: has all of it; a Secret, or a text.
        account_name: whose blobs.
        account_key: of that account; a Secret, or a text.
        shared_access_signature: likewise, in place of the key.
        blob_endpoint: where they are.
        endpoint_suffix: likewise.

    Raises InvalidSettingError (a TypeError), InvalidNameError.
    """

    TYPE = AnalyticsLinkType.AzureBlobExternal

    @sealed
    def __init__(
        self,
        dataverse: str,
        name: str,
        *,
        connection_string: str | Secret | None = None,
        account_name: str | None = None,
        account_key: str | Secret | None = None,
        shared_access_signature: str | Secret | None = None,
        blob_endpoint: str | None = None,
        endpoint_suffix: str | None = None,
    ) -> None:
        super().__init__(dataverse, name)
        self.connection_string = _secret(connection_string, "connection_string")
        self.account_name = _text(account_name, "account_name")
        self.account_key = _secret(account_key, "account_key")
        self.shared_access_signature = _secret(shared_access_signature, "shared_access_signature")
        self.blob_endpoint = _text(blob_endpoint, "blob_endpoint")
        self.endpoint_suffix = _text(endpoint_suffix, "endpoint_suffix")
        has_key = bool(self.account_key or self.shared_access_signature)
        if not self.connection_string and not (self.account_name and has_key):
            raise InvalidSettingError(
                "a link to Azure has a connection_string, or an account_name with an account_key "
                "or a shared_access_signature"
            )

    def _members(self) -> dict[str, str | Secret | None]:
        return {
            "connectionString": self.connection_string,
            "accountName": self.account_name,
            "accountKey": self.account_key,
            "sharedAccessSignature": self.shared_access_signature,
            "blobEndpoint": self.blob_endpoint,
            "endpointSuffix": self.endpoint_suffix,
        }


@sealed
def create_link(
    defaults: Defaults,
    link: AnalyticsLink,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make a link.

    Args:
        link: what it is called, and where it leads.

    Raises LinkExistsError, DataverseNotFoundError, NotAuthorizedError, ServerInvalidArgumentError.
    """
    return Procedure("create_link", defaults, None, timeout, _changed("POST", _checked(link)))


@sealed
def replace_link(
    defaults: Defaults,
    link: AnalyticsLink,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Change a link.

    Args:
        link: what it is called, and where it leads from now on.

    Raises LinkNotFoundError, DataverseNotFoundError, NotAuthorizedError,
    ServerInvalidArgumentError.
    """
    return Procedure("replace_link", defaults, None, timeout, _changed("PUT", _checked(link)))


def drop_link(
    defaults: Defaults,
    link_name: str,
    dataverse_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop a link.

    Args:
        link_name: the link's name.
        dataverse_name: which it is of.

    Raises LinkNotFoundError, DataverseNotFoundError, NotAuthorizedError.
    """
    dataverse = name_of(dataverse_name, "the name of a dataverse")
    steps = _dropped(dataverse, name_of(link_name, "the name of a link"))
    return Procedure("drop_link", defaults, None, timeout, steps)


def get_links(
    defaults: Defaults,
    *,
    dataverse_name: str | None = None,
    name: str | None = None,
    link_type: AnalyticsLinkType | None = None,
    timeout: float | None = None,
) -> Procedure[list[AnalyticsLink]]:
    """Return links, without the secrets that the service keeps to itself.

    Args:
        dataverse_name: only those of one. None: of all.
        name: only the one of that name; goes with dataverse_name.
        link_type: only those of one type.

    Raises DataverseNotFoundError, LinkNotFoundError, NotAuthorizedError.
    """
    if name is not None and dataverse_name is None:
        raise InvalidSettingError("name goes with dataverse_name")
    if link_type is not None and not isinstance(link_type, AnalyticsLinkType):
        kind = type(link_type).__name__
        raise InvalidSettingError(f"link_type is an AnalyticsLinkType, not {kind}")
    dataverse = dataverse_name and name_of(dataverse_name, "the name of a dataverse")
    wanted = name and name_of(name, "the name of a link")
    steps = _listed(dataverse, wanted, link_type)
    return Procedure("get_links", defaults, None, timeout, steps, idempotent=True)


def _checked(link: object) -> AnalyticsLink:
    if not isinstance(link, AnalyticsLink):
        kind = type(link).__name__
        raise InvalidSettingError(f"a link is an AnalyticsLink, not {kind}", objextra=link)
    return link


def _place(dataverse: str, name: str) -> tuple[str, dict[str, str]]:
    """Return the path of a link, and what the form says of it beside."""
    if "/" in dataverse:
        return f"{_ROOT}/{segment(dataverse)}/{segment(name)}", {}
    return _ROOT, {"dataverse": dataverse, "name": name}


def _changed(method: str, link: AnalyticsLink) -> Steps[None]:
    path, beside = _place(link.dataverse, link.name)
    request = send_form(Service.ANALYTICS, method, path, beside | link.form)
    answer: ServiceAnswer = yield request
    check_answer(answer)


def _dropped(dataverse: str, name: str) -> Steps[None]:
    path, beside = _place(dataverse, name)
    request: ServiceRequest = send_form(Service.ANALYTICS, "DELETE", path, beside)
    answer: ServiceAnswer = yield request
    check_answer(answer)


def _listed(
    dataverse: str | None, name: str | None, link_type: AnalyticsLinkType | None
) -> Steps[list[AnalyticsLink]]:
    path = _ROOT
    asked = {} if link_type is None else {"type": link_type.value}
    if dataverse is not None and "/" in dataverse:
        path += f"/{segment(dataverse)}" + (f"/{segment(name)}" if name else "")
    elif dataverse is not None:
        asked["dataverse"] = dataverse
        if name is not None:
            asked["name"] = name
    query = f"?{urlencode(asked)}" if asked else ""
    answer: ServiceAnswer = yield get(Service.ANALYTICS, path + query)
    check_answer(answer)
    document = read_json(answer)
    if not isinstance(document, list):
        raise unreadable(answer)
    return [_link(each, answer) for each in document]


def _link(said: Any, answer: ServiceAnswer) -> AnalyticsLink:
    """Return a link as the service tells of it. Raises ProtocolError."""
    try:
        told = {name: value for name, value in said.items() if isinstance(value, str)}
        dataverse = told.get("scope") or told["dataverse"]
        link = _MADE[told["type"]](dataverse, told["name"], told)
    except (LookupError, ValueError, TypeError, AttributeError):
        raise unreadable(answer) from None
    return link


def _remote(dataverse: str, name: str, told: Mapping[str, str]) -> AnalyticsLink:
    return CouchbaseRemoteAnalyticsLink(
        dataverse,
        name,
        told.get("activeHostname") or told["hostname"],
        encryption=AnalyticsEncryptionLevel(told.get("encryption", "none")),
        username=told.get("username"),
        certificate=told.get("certificate"),
        client_certificate=told.get("clientCertificate"),
    )


def _s3(dataverse: str, name: str, told: Mapping[str, str]) -> AnalyticsLink:
    return S3ExternalAnalyticsLink(
        dataverse,
        name,
        told["accessKeyId"],
        told["region"],
        service_endpoint=told.get("serviceEndpoint"),
    )


def _azure(dataverse: str, name: str, told: Mapping[str, str]) -> AnalyticsLink:
    link = AzureBlobExternalAnalyticsLink.__new__(AzureBlobExternalAnalyticsLink)
    # It does not tell what it would take to make one.
    AnalyticsLink.__init__(link, dataverse, name)
    link.connection_string = link.account_key = link.shared_access_signature = None
    link.account_name = told.get("accountName")
    link.blob_endpoint = told.get("blobEndpoint")
    link.endpoint_suffix = told.get("endpointSuffix")
    return link


_MADE: Final = {"couchbase": _remote, "s3": _s3, "azureblob": _azure}


def _text(given: object, what: str) -> str | None:
    if given is None or isinstance(given, str):
        return given or None
    raise InvalidSettingError(f"{what} is a str, not {type(given).__name__}")


def _secret(given: object, what: str) -> Secret | None:
    if given is None or isinstance(given, Secret):
        return given
    if isinstance(given, str):
        return Secret(given) if given else None
    raise InvalidSettingError(f"{what} is a str, not {type(given).__name__}")
