"""One of several processes that search together; started by test_hosts.py.

python host_process.py HOST NUM_HOSTS PORT OUT, with HOST -1 for a process on its own
that has all devices.
"""

import json
import sys
import time
from pathlib import Path

import conftest
import jax
import numpy as np

from avits_jax import parallel
from avits_jax.aggregation import arw
from avits_jax.search import best_of_n

NUM_CANDIDATES = 12


def main(host: int, num_hosts: int, port: int, out: Path) -> None:
    """Search twice, write the results, and talk to the others until told to end."""
    if host >= 0:
        parallel.initialize(f"127.0.0.1:{port}", num_hosts, host, heartbeat_seconds=8)
        assert jax.process_count() == num_hosts
    toy = conftest.make_toy(with_extra=True)
    aggregator = arw([0.7, 0.3])
    search, params = parallel.jit_search(
        best_of_n,
        toy.params,
        parallel.make_mesh(model=2),
        generator=toy.generator,
        verifiers=toy.verifiers,
        aggregator=aggregator,
        num_candidates=NUM_CANDIDATES,
        keep_latents=True,
    )
    state = parallel.from_writer(aggregator.init(2))
    for seed in (3, 4):
        output = search(params, jax.random.key(seed), toy.cond, state)
        state = parallel.to_host(output.aggregator_state)
    with parallel.lost_hosts():
        leaves = jax.tree.leaves(parallel.to_host(output))
    # What only the writer knows reaches the others.
    told = parallel.from_writer(np.int32(host * 10 + 7))
    if parallel.is_writer():
        np.savez(out / "output.npz", *leaves)
    (out / f"told{host}.json").write_text(json.dumps(int(told)))
    while host >= 0 and not parallel.from_writer(np.bool_((out / "end").exists())):
        time.sleep(0.2)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
