"""How many candidates are worked on at once where nobody says."""

import jax

# Larger chunks leave the caches: tables (b) of tools/bench_search.py.
CPU_BATCH = 16


def default_batch() -> int | None:
    """Return 16 on a CPU, None (all at once) on accelerators, which larger ones fill.

    Results do not depend on it, up to rounding.
    """
    return CPU_BATCH if jax.default_backend() == "cpu" else None
