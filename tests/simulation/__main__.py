"""Run worlds: `python -m tests.simulation SEED [--worlds N] [--trace] [--faults a,b] [--kind x]`.

Each world follows from its seed alone: SEED, SEED + 1 and so on. The exit status is 1 if a promise
was broken in any.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from time import perf_counter

from tests.simulation.world import KINDS, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; give the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description="Run simulated worlds."
    )
    parser.add_argument("seed", type=int, help="of the first world")
    parser.add_argument("--worlds", type=int, default=1, help="how many; 1 by default")
    say = sys.stdout.write
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    parser.add_argument("--faults", type=lambda text: text.split(","), help="a,b: no others")
    parser.add_argument("--kind", choices=sorted(set(KINDS)), help="all worlds are of this kind")
    options = parser.parse_args(arguments)
    trace = say if options.trace else None
    started = perf_counter()
    calls, seconds, broken = 0, 0.0, 0
    outcomes: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    deeds: Counter[str] = Counter()
    for seed in range(options.seed, options.seed + options.worlds):
        report = run(seed, trace, options.faults, kind=options.kind)
        calls += report.calls
        seconds += report.seconds
        outcomes += report.outcomes
        faults += report.faults
        deeds += report.deeds
        if options.worlds == 1:
            say(f"digest {report.digest}\n")
        for violation in report.violations[:20]:
            say(f"world {seed}: {violation}\n")
        if report.violations:
            broken += 1
            say(f"world {seed}: again by: python -m tests.simulation {seed} --trace\n")
    elapsed = perf_counter() - started
    say(
        f"{options.worlds} worlds, {calls} calls, {seconds:.0f} virtual seconds in {elapsed:.1f} s "
        f"({options.worlds / elapsed:.1f} worlds/s, {calls / elapsed:.0f} calls/s)\n"
    )
    for name, counted in (("outcomes", outcomes), ("with documents", deeds), ("faults", faults)):
        say(f"{name}: {', '.join(f'{what} {n}' for what, n in counted.most_common())}\n")
    say(f"{broken} worlds broke a promise\n" if broken else "no promise was broken\n")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
