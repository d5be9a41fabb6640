"""Make tests/golden/search/lbfgs.npz anew: what torch's L-BFGS learns, unconverged.

Run it where torch 2.13 is installed (the "parity" extra):

    python tools/goldens/lbfgs_golden.py tests/golden/search/lbfgs.npz

One optimiser step per update, as ``num_steps=1``, so that the weights are still on
their way. Near a straight line the cubic interpolation of the line search divides
rounding errors, and what follows is chance; rewards are drawn again until small changes
of them change little.
"""

import itertools
import sys
from typing import Any

import numpy as np
import torch

NUM_UPDATES, NUM_CANDIDATES = 4, 6
NUM_CHANGES = 12
TOLERANCE = 1e-5  # relative beyond 1


def learn(rewards: np.ndarray, learning_rate: float, dtype: torch.dtype) -> np.ndarray:
    """Return the log variances ``[updates, V]`` after every update.

    Args:
        rewards: ``[updates, N, V]``.
        learning_rate: of `torch.optim.LBFGS`.
        dtype: of all arithmetic.
    """
    log_vars = torch.zeros(rewards.shape[-1], dtype=dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [log_vars],
        lr=learning_rate,
        max_iter=5,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    learned = []
    for last in range(1, len(rewards) + 1):
        history = torch.from_numpy(np.concatenate(rewards[:last])).to(dtype)
        squares = (history - history.mean(0)) ** 2 + 1e-6

        def closure(squares: torch.Tensor = squares) -> torch.Tensor:
            optimizer.zero_grad()
            terms = 0.5 * torch.exp(-log_vars) * squares + 0.5 * log_vars
            loss = terms.mean(0).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        learned.append(log_vars.detach().numpy().copy())
    return np.stack(learned)


def is_steady(rewards: np.ndarray, learning_rate: float, learned: np.ndarray) -> bool:
    """Tell whether rounding errors of the rewards do not matter."""
    rng = np.random.default_rng(0)
    for _ in range(NUM_CHANGES):
        noise = 1 + 1e-7 * rng.standard_normal(rewards.shape)
        for dtype in (torch.float32, torch.float64):
            again = learn(rewards * noise, learning_rate, dtype)
            if not np.allclose(learned, again, TOLERANCE, TOLERANCE):
                return False
    return True


def make_case(num_verifiers: int, scale: float, learning_rate: float) -> dict:
    """Return rewards, what is learned from them, and the learning rate."""
    for seed in itertools.count():
        noise = np.random.default_rng(seed).standard_normal(
            (NUM_UPDATES, NUM_CANDIDATES, num_verifiers)
        )
        spread = np.arange(1, num_verifiers + 1) / 2
        rewards = (scale * (spread * noise + 1)).astype(np.float32)
        learned = learn(rewards, learning_rate, torch.float32)
        if is_steady(rewards, learning_rate, learned):
            break
    print(f"V={num_verifiers} scale={scale} lr={learning_rate}: seed {seed}")
    return {"rewards": rewards, "log_vars": learned, "lr": learning_rate}


def main(path: str) -> None:
    """Write all cases to ``path``."""
    arrays: dict[str, Any] = {}
    for case in itertools.product((2, 3), (1.0, 1000.0), (0.05, 1.0)):
        name = "v{}_scale{:g}_lr{:g}".format(*case)
        for key, value in make_case(*case).items():
            arrays[f"{name}.{key}"] = value
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
