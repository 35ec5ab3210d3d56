"""A browser for tests: Chromium without a window, by chromedriver's own protocol (WebDriver)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

PROGRAMS: Final = ("chromium", "chromedriver")
"""Both are needed."""
_PORT: Final = re.compile(r"on port ([1-9]\d*)")
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_LIMIT: Final = 60.0
"""Seconds for one command."""


def missing() -> list[str]:
    """Return which of the programs are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Browser:
    """One session; every method blocks its thread."""

    def __init__(self, port: int, session: str) -> None:
        self._port = port
        self._session = session

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        return ask(self._port, method, f"/session/{self._session}{path}", body)

    def show(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        self._ask("POST", "/url", url=url)

    def run(self, script: str) -> Any:
        """Return what a script returns within the page."""
        return self._ask("POST", "/execute/sync", script=script, args=[])

    def screenshot(self, path: Path) -> None:
        """Write what is seen, as PNG."""
        path.write_bytes(b64decode(self._ask("GET", "/screenshot")))

    def command(self, name: str, **parameters: Any) -> Any:
        """Give a command of Chromium's own."""
        return self._ask("POST", "/goog/cdp/execute", cmd=name, params=parameters)

    def close(self) -> None:
        """End the session, and its browser."""
        self._ask("DELETE", "")


def ask(port: int, method: str, path: str, body: dict[str, Any]) -> Any:
    """Ask chromedriver; RuntimeError is what it refuses."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_LIMIT)
    try:
        text = json.dumps(body) if method == "POST" else None
        connection.request(method, path, text, {"Content-Type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
    finally:
        connection.close()
    if isinstance(value, dict) and "error" in value:
        raise RuntimeError(f"{value['error']}: {value.get('message')}")
    return value


@contextmanager
def browser(profile: Path, width: int, height: int) -> Iterator[Browser]:
    """Start a browser of a phone that is *width* times *height*; to be used in a plain thread."""
    driver = subprocess.Popen(
        (shutil.which("chromedriver") or "chromedriver", "--port=0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert driver.stdout is not None
        port = next(int(found[1]) for line in driver.stdout if (found := _PORT.search(line)))
        options = {
            "binary": shutil.which("chromium"),
            "args": [*_FLAGS, f"--user-data-dir={profile}"],
            "mobileEmulation": {
                "deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0}
            },
        }
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        made = Browser(port, ask(port, "POST", "/session", wanted)["sessionId"])
        try:
            yield made
        finally:
            made.close()
    finally:
        driver.terminate()
        driver.communicate()
