"""Django: JSON documents over HTTP, served by gunicorn and its gevent workers.

    pip install couchloop[gevent] django gunicorn
    COUCHBASE=couchbase://host gunicorn --config examples/gunicorn_conf.py --chdir examples \
        'django_app:create()'

GET and PUT /documents/KEY. A project has its parts in files of their own; here all is in one.

The Bucket belongs to an AppConfig, of which there is one in a process. Django's own places for
connections (`django.db.connections`, `django.core.cache.caches`, anything made of
`BaseConnectionHandler`) are no place for it: they keep one value per greenlet, so that each request
would open a Bucket.
"""

import atexit
import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_http_methods
from gevent_wsgi import STATUSES

from couchloop.exceptions import CouchbaseError, WrongLoopError
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator


def close(bucket: Bucket) -> None:
    """Close *bucket* as the process ends, from the thread in which it was opened."""
    # `flask run --debug` and `runserver` answer in threads, which are no more by then.
    with suppress(WrongLoopError):
        bucket.close()


class DocumentsConfig(AppConfig):
    """The Django application of the documents, and the Bucket that they are in."""

    name = "django_app"
    label = "documents"

    def ready(self) -> None:
        """Make the Cluster, which does no I/O: with `--preload` this is in gunicorn's master."""
        given = settings.COUCHBASE
        self._cluster = Cluster(given["CLUSTER"])
        self._cluster.authenticate(PasswordAuthenticator(given["USER"], given["PASSWORD"]))

    @cached_property
    def bucket(self) -> Bucket:
        """The Bucket of this process. An opening that fails is tried again by the next request."""
        # Requests that come meanwhile are given the same Bucket.
        bucket = self._cluster.open_bucket(settings.COUCHBASE["BUCKET"])
        atexit.register(close, bucket)
        return bucket


class CouchbaseErrors:
    """A middleware that maps the client's errors to statuses of HTTP."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer *request*."""
        return self._get_response(request)

    def process_exception(self, _: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the answer to *error*, None if it is none of the client's."""
        if not isinstance(error, CouchbaseError):
            return None
        statuses = (int(status[:3]) for kind, status in STATUSES if isinstance(error, kind))
        body = {"error": type(error).__name__, "message": error.message}
        return JsonResponse(body, status=next(statuses, 500))


@require_http_methods(["GET", "PUT"])
def document(request: HttpRequest, key: str) -> HttpResponse:
    """Return or store a document."""
    bucket: Bucket = apps.get_app_config("documents").bucket
    if request.method == "GET":
        return JsonResponse(bucket.get(key).value, safe=False)
    try:
        value = json.loads(request.body)
    except ValueError as error:
        return JsonResponse({"error": "NotJson", "message": str(error)}, status=400)
    bucket.upsert(key, value)
    return HttpResponse(status=204)


urlpatterns = [path("documents/<str:key>", document)]


def create() -> Any:
    """Make the WSGI application, without any I/O."""
    settings.configure(
        ALLOWED_HOSTS=["*"],
        COUCHBASE={
            "CLUSTER": os.environ.get("COUCHBASE", "couchbase://localhost"),
            "BUCKET": "default",
            "USER": "user",
            "PASSWORD": "password",
        },
        INSTALLED_APPS=["django_app.DocumentsConfig"],
        MIDDLEWARE=["django_app.CouchbaseErrors"],
        ROOT_URLCONF="django_app",
        SECRET_KEY=os.urandom(32).hex(),
    )
    return get_wsgi_application()
