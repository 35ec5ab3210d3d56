"""What all probes of a diagnosis share: settings, time limits, and the names looked up."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from couchloop.doctor.advice import Advice, advise_name, failed
from couchloop.doctor.report import Part, Report, Step, Verdict
from couchloop.doctor.requests import Answer, Listener, Request, Resolve, Task
from couchloop.kv.scram import SaltedPasswords
from couchloop.settings.values import Settings


class StopError(Exception):
    """Nothing further can be examined on this way; a step says why."""


class DiagnosisContext:
    """What all probes share: settings, limits, and what was found so far.

    Args:
        listener: hears of each step.
        report: what is found goes there.
        limit: seconds for each step that waits for somebody.
        nonce: gives nonces for SCRAM.
        now: the loop's monotonic time in seconds.
        wall: seconds since the epoch.
    """

    settings: Settings
    """How a program would connect; there once the credentials are known."""

    def __init__(
        self,
        listener: Listener,
        report: Report,
        *,
        limit: float,
        nonce: Callable[[], str],
        now: float,
        wall: float,
    ) -> None:
        self.limit = limit
        self.nonce = nonce
        self.now = now
        """When the last answer came."""
        self.wall = wall
        self.logs_in = True
        """Whether anybody is named to log in."""
        self.addresses: dict[str, tuple[str, ...]] = {}
        """The usable addresses of each name that was looked up, and of each address itself."""
        self.names: dict[str, Step] = {}
        """What was found for each name."""
        self.salted_passwords = SaltedPasswords()
        self.report = report
        self._listener = listener

    def begin(self, name: str, subject: str = "") -> float:
        """Report that a step begins; return the time."""
        self._listener.begins(name, subject)
        return self.now

    def end(self, step: Step) -> None:
        """Report what came of a step."""
        self.report.steps.append(step)
        self._listener.ends(step)

    def ask(self, request: Request) -> Task[Answer]:
        """Yield a request, and return its answer."""
        answer = yield request
        self.now = answer.now
        return answer

    def resolve(self, host: str) -> Task[Step]:
        """Look up *host*, and keep its usable addresses."""
        began = self.begin("addresses", host)
        answer = yield from self.ask(Resolve(host, self.limit))
        seconds = self.now - began
        found = tuple(dict.fromkeys(answer.value or ()))
        v6 = tuple(address for address in found if ":" in address)
        v4 = tuple(address for address in found if ":" not in address)
        wanted = self.settings.ipv6
        used = v4 if wanted == "disabled" else v6 if wanted == "only" else found
        self.addresses[host] = used
        details = {"A": list(v4), "AAAA": list(v6)}
        kinds = [f"{kind} {', '.join(each)}" for kind, each in (("A", v4), ("AAAA", v6)) if each]
        text = f"{host}: {'; '.join(kinds)}"
        advice: Advice | None = None
        if answer.error is not None or not found:
            advice = advise_name(host, answer.error, self.limit)
        elif not used:
            advice = Advice(
                f"{host}: {'; '.join(kinds)}",
                f"No address of {host} may be used: ipv6={wanted}.",
                f"Add ipv6={'allow' if wanted == 'disabled' else 'disabled'} to the connection "
                "string.",
            )
        if advice is not None:
            return failed(
                Part.NAMES, "addresses", advice, subject=host, seconds=seconds, details=details
            )
        return Step(
            part=Part.NAMES,
            name="addresses",
            subject=host,
            verdict=Verdict.OK,
            seconds=seconds,
            text=text,
            details=details,
        )


def is_address(host: str) -> bool:
    """Whether *host* is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
