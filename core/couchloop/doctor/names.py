"""Where to begin: seeds, by their names and by DNS SRV records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from couchloop.doctor.context import StopError, is_address
from couchloop.doctor.report import Part, Step, Verdict, count
from couchloop.doctor.requests import LookUpSrv
from couchloop.safety.printable import printable
from couchloop.session.bootstrap.srv import srv_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from couchloop.doctor.context import DiagnosisContext
    from couchloop.doctor.requests import Task
    from couchloop.settings.values import Address, Settings


def find_seeds(
    context: DiagnosisContext, settings: Settings
) -> Task[tuple[Sequence[Address], Sequence[Address]]]:
    """Return where to begin, data ports and web ports; every name is looked up."""
    seeds: Sequence[Address] = settings.seeds
    web_seeds: Sequence[Address] = settings.web_seeds
    if settings.srv:
        named = yield from _srv(context, settings)
        if named:
            seeds = named
            web_seeds = settings.web_ports(named)
    if settings.bootstrap_on == "http":
        seeds = ()
    elif settings.bootstrap_on == "cccp" or not context.logs_in:
        # A web port tells nothing to those whom it does not know.
        web_seeds = ()
    hosts = dict.fromkeys(seed.host for seed in (*seeds, *web_seeds))
    names = [name for name in hosts if not is_address(name)]
    for name in names:
        context.names[name] = yield from context.resolve(name)
        context.end(context.names[name])
    if not names and not settings.srv:
        context.end(
            Step(
                part=Part.NAMES,
                name="addresses",
                verdict=Verdict.SKIPPED,
                text="hosts are given by address: there is no name to look up",
            )
        )
    return seeds, web_seeds


def _srv(context: DiagnosisContext, settings: Settings) -> Task[Sequence[Address]]:
    name, required = settings.srv, settings.srv_required
    began = context.begin("srv", name)
    answer = yield from context.ask(LookUpSrv(name, context.limit))
    found, wrong = srv_targets(name, answer.value or ())
    verdict, text, cause, cure = Verdict.OK, "", "", ""
    notes: tuple[str, ...] = ()
    if found:
        text = f"{name} names {count(len(found), 'node')}"
        notes = tuple([str(address) for address in found] + [each.message for each in wrong])
    else:
        why = wrong[0].message if wrong else "there is none"
        if isinstance(answer.error, TimeoutError):
            why = "no name server answered in time"
        elif answer.error is not None:
            why = getattr(answer.error, "message", None) or printable(str(answer.error))
        verdict = Verdict.FAILED if required else Verdict.SKIPPED
        text = "no such record: the host itself is used"
        if required:
            text, cause = "not found", f"The DNS SRV record {name}: {why}."
            scheme = "couchbases" if settings.tls else "couchbase"
            cure = (
                "Have the record made, correct the name, or name the nodes themselves under "
                f"{scheme}://."
            )
        elif answer.error is not None or wrong:
            text, notes = "not known: the host itself is used", (why,)
    context.end(
        Step(
            part=Part.NAMES,
            name="srv",
            subject=name,
            verdict=verdict,
            seconds=context.now - began,
            text=text,
            notes=notes,
            cause=cause,
            cure=cure,
            details={"found": [str(address) for address in found]},
        )
    )
    if not found and required:
        raise StopError
    return found
