"""Success against the number of candidates, as a picture."""

from pathlib import Path

import matplotlib
import numpy as np
from mini_selections import ARW, KNOWN, ONE, RANK, SINGLES, SUM, Evidence
from mini_selections import selections as select

from avits_jax.study import counts_up_to, interval

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

_STYLES = {
    ARW: ("tab:red", "-", 2.2),
    KNOWN: ("black", ":", 1.2),
    SUM: ("tab:orange", "-", 1.4),
    RANK: ("tab:brown", "-", 1.4),
    **{
        name: (color, "--", 1.2)
        for name, color in zip(
            SINGLES, ("tab:blue", "tab:green", "tab:purple", "gray"), strict=True
        )
    },
}


def plot(evidence: Evidence, path: Path) -> None:
    """Draw the rate of entirely right winners by selection, with 95% intervals."""
    counts = counts_up_to(evidence.rewards.shape[1])
    chosen = [select(evidence, num) for num in counts]
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    for name, (color, line, width) in _STYLES.items():
        rates = np.array([interval(evidence.right(each[name])) for each in chosen])
        mean, low, high = 100 * rates.T
        axes.plot(counts, mean, line, color=color, lw=width, label=name)
        axes.fill_between(counts, low, high, color=color, alpha=0.1, lw=0)
    one = 100 * evidence.right(chosen[0][ONE]).mean()
    axes.axhline(one, color="gray", lw=0.8)
    axes.annotate("one sample", (counts[-1], one), ha="right", va="bottom", fontsize=8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(num) for num in counts])
    axes.set(xlabel="candidates", ylabel="entirely right, %", ylim=(0, 100))
    axes.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
