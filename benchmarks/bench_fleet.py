"""A simulation, no measurement: what 20 mail hosts ask the lists, with and without a cache that they share.

    python benchmarks/bench_fleet.py [--seconds N] [--connections N] [--hosts N] [--clients N]

No packet is sent. Connections come at an even pace, each to a host at random, from a Zipf-shaped population
of clients (the n-th comes 1/n as often as the first). Each asks six lists; an answer is held for its TTL: 300 s
where the client is not listed, 900 s where it is (one in ten). What is counted is the queries that reach the
lists, once every cache has been full for a whole TTL. The shared cache is contrib/unbound's: an answer that one
host has asked for is there for all, with what is left of its TTL.
"""

from __future__ import annotations

import argparse
import random

from common import table

ZONES = 6
TTL_S, LISTED_TTL_S = 300, 900
LISTED_EVERY = 10
WARM_S = LISTED_TTL_S


def simulate(seconds: int, pace: int, hosts: int, clients: int, seed: int = 1) -> tuple[float, float]:
    """Queries a second that reach all lists: each host by itself, and with one cache behind all."""
    rng = random.Random(seed)
    own: list[dict[int, float]] = [{} for _ in range(hosts)]
    behind: list[dict[int, float]] = [{} for _ in range(hosts)]
    shared: dict[int, float] = {}
    alone = together = 0
    for number in range((WARM_S + seconds) * pace):
        now = number / pace
        client = int(clients ** rng.random())  # density 1/rank
        host = int(rng.random() * hosts)
        ends = now + (LISTED_TTL_S if client % LISTED_EVERY == 0 else TTL_S)
        if own[host].get(client, 0.0) <= now:
            own[host][client] = ends
            alone += now >= WARM_S
        if behind[host].get(client, 0.0) <= now:
            if shared.get(client, 0.0) <= now:
                shared[client] = ends
                together += now >= WARM_S
            behind[host][client] = shared[client]
    return alone * ZONES / seconds, together * ZONES / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300, help="counted, after 900 s that are not")
    parser.add_argument("--connections", type=int, default=10_000, help="a second, over all hosts")
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--clients", type=int, default=2_000_000, help="different ones")
    options = parser.parse_args()
    asked = options.connections * ZONES
    alone, together = simulate(options.seconds, options.connections, options.hosts, options.clients)
    print(
        f"Simulated: {options.connections:,} connections/s over {options.hosts} hosts, "
        f"{options.clients:,} clients, {ZONES} lists.\n"
    )
    rows = [
        ["no cache at all", f"{asked:,.0f}", "100 %"],
        ["each host's own cache", f"{alone:,.0f}", f"{alone / asked:.1%}"],
        ["one cache behind all hosts", f"{together:,.0f}", f"{together / asked:.1%}"],
    ]
    table(["", "queries/s to the lists", "of all"], rows)


if __name__ == "__main__":
    main()
