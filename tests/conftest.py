"""Settings that all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: how long an example takes says more about the machine than about the code.
# In CI a change is judged by the same examples each time; elsewhere every run explores.
settings.register_profile(
    "couchloop", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("couchloop")
