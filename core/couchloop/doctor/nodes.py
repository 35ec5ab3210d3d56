"""The cluster, as a seed has told of it: its network, its nodes, the other seeds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from couchloop.doctor.addresses import service_of, without_address
from couchloop.doctor.advice import HANGS, NO_ANSWER
from couchloop.doctor.context import StopError
from couchloop.doctor.probe import Probe
from couchloop.doctor.report import Part, Step, Verdict, listed
from couchloop.doctor.requests import Gather
from couchloop.doctor.services import behind_mapped_ports
from couchloop.topology.networks import data_networks, select_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from couchloop.doctor.context import DiagnosisContext
    from couchloop.doctor.requests import Task
    from couchloop.settings.values import Address
    from couchloop.topology.configuration import ClusterConfig, Node

_AT_ONCE: Final = 16
"""Nodes that are examined at the same time: behind a silent firewall each takes its whole limit."""
_SOMEBODY_ELSE: Final = frozenset({"tls", "hello"})
"""Where a probe fails if the address means another machine here."""


class SeedConfig(NamedTuple):
    """A configuration, and the seed that gave it."""

    seed: Address
    config: ClusterConfig


def in_order(context: DiagnosisContext, tasks: Sequence[Task[Step]]) -> Task[None]:
    """Run several tasks at a time; report their steps in order."""
    steps: list[Step | None] = [None] * len(tasks)
    told = 0

    def take(index: int) -> Task[None]:
        nonlocal told
        steps[index] = yield from tasks[index]
        while told < len(steps) and (step := steps[told]) is not None:
            told += 1
            context.end(step)

    for begin in range(0, len(tasks), _AT_ONCE):
        batch = range(begin, min(begin + _AT_ONCE, len(tasks)))
        answer = yield from context.ask(Gather([take(index) for index in batch]))
        if answer.error is not None:
            # A mistake of ours: no node may silently be missing.
            raise answer.error


def examine_server(context: DiagnosisContext, address: Address) -> Task[Step]:
    """Greet a plain memcached server, and measure a round trip."""
    probe = Probe(context, address, lambda _: None)
    began = context.now
    with suppress(StopError):
        yield from probe.connect()
        yield from probe.greet()
        yield from probe.noop()
    yield from probe.close()
    text = "a plain memcached server"
    return probe.summary(Part.NODES, "node", text, context.now - began)


def examine_other_seed(context: DiagnosisContext, seed: Address, found: SeedConfig) -> Task[Step]:
    """Check whether a program could have begun at *seed* too: one step."""
    probe = Probe(context, seed, lambda _: None)
    began = context.now
    with suppress(StopError):
        yield from probe.connect()
        negotiated = yield from probe.handshake()
        probe.configuration(negotiated.text, found.config)
    yield from probe.close()
    text = "gives a configuration too"
    step = probe.summary(Part.OTHER_SEEDS, "seed", text, context.now - began)
    return replace(step, text=f"{seed}  {step.text}")


def choose_network(context: DiagnosisContext, found: SeedConfig) -> str:
    """Report on which network the nodes are reached; return it."""
    settings, config = context.settings, found.config
    context.begin("network")
    name, why = select_network(config, found.seed, settings.network)
    usable = data_networks(config, service_of(settings))
    others = [each for each in usable if each != name]
    details = {"network": name, "usable": usable, "why": why}
    step = Step(
        part=Part.CLUSTER,
        name="network",
        verdict=Verdict.OK,
        text=f"{name} ({why})",
        notes=(f"The nodes have addresses on {listed(others)} too",) if others else (),
        details=details,
    )
    if name not in usable:
        port = "TLS data port" if settings.tls else "data port"
        cure = f"Try network={' or network='.join(usable)} in the connection string."
        if not usable:
            cure = "Try couchbase:// for ports without TLS." if settings.tls else ""
        step = replace(
            step,
            verdict=Verdict.FAILED,
            cause=f"No node has a {port} on network {name}.",
            cure=cure or "See which nodes of the cluster run the data service.",
        )
    context.end(step)
    if step.verdict is Verdict.FAILED:
        raise StopError
    return name


def examine_node(
    context: DiagnosisContext, found: SeedConfig, node: Node, network: str
) -> Task[Step]:
    """Connect to a node of the map as a program would, and measure a round trip."""
    settings = context.settings
    service = service_of(settings)
    address = node.address(network, service)
    if address is None:
        return without_address(node, network, service)
    probe = Probe(context, address, lambda _: None)
    began = context.now
    with suppress(StopError):
        yield from probe.connect()
        yield from probe.handshake()
        yield from probe.noop()
    yield from probe.close()
    text = "the seed" if address.one_form == found.seed.one_form else ""
    step = probe.summary(Part.NODES, "node", text, context.now - began)
    if step.verdict is Verdict.FAILED and probe.steps[-1].text == NO_ANSWER:
        step = replace(step, cure=HANGS)
    if step.verdict is Verdict.FAILED and step.details["failed"] in {"tcp", *_SOMEBODY_ELSE}:
        step = yield from _on_other_networks(context, step, node, network, service)
    return behind_mapped_ports(step, found.seed, node, address)


def _on_other_networks(
    context: DiagnosisContext, step: Step, node: Node, network: str, service: str
) -> Task[Step]:
    """Try a node that cannot be reached on its other networks; say which to use."""
    tried: list[str] = []
    for name in node.networks:
        address = node.address(name, service)
        if name == network or address is None:
            continue
        tried.append(name)
        probe = Probe(context, address, lambda _: None)
        with suppress(StopError):
            if step.details["failed"] in _SOMEBODY_ELSE:
                yield from probe.connect()
                yield from probe.handshake()
            else:
                yield from probe.dial()
        yield from probe.close()
        if probe.link is not None and probe.steps[-1].verdict is not Verdict.FAILED:
            details = {**step.details, "answers": {"network": name, "address": str(address)}}
            cure = f"Add network={name} to the connection string: there the node answers."
            return replace(step, cure=cure, details=details)
    if tried:
        cure = f"It does not answer on network {listed(tried)} either. {step.cure}"
        return replace(step, cure=cure)
    return step
