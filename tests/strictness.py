"""How tests start programs in which a warning is an error."""

from __future__ import annotations

from typing import Final

FORKS: Final = "ignore:This process:DeprecationWarning"
"""Python warns of a fork beside other threads; gevent has them, and starts programs by a fork.

What stands on the command line, or in the environment, is how a message literally begins.
"""

STRICT: Final = ("-W", "error", "-W", FORKS)
"""Options of the interpreter."""
