"""gunicorn's configuration for the Flask and Django recipes: gevent workers, preloaded.

With `preload_app` the application is imported before gunicorn's gevent worker patches the standard
library, so this file, which is read before all else, does it.
"""

from gevent import monkey

monkey.patch_all()

bind = "127.0.0.1:8000"
worker_class = "gevent"
workers = 2
preload_app = True
