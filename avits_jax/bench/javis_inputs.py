"""Inputs of JavisBench's program from what our evaluation knows of the clips."""

import numpy as np

from avits_jax.bench.columns import BENCH, JAVISBENCH, JAVISBENCH_MINI
from avits_jax.bench.evaluated import Evaluated
from avits_jax.bench.javis_program import GROUPS, Inputs
from avits_jax.bench.javis_summary import DISTANCES
from avits_jax.bench.prompt_rows import PromptRows
from avits_jax.bench.references import References

# The program takes a clip as 0 whose video CAVP cannot read; it has no other guess.
_ZERO_IF_FAILED = "cavp_score"
# The one score that it keeps in float64.
_DOUBLE = "audio_quality"


def javis_inputs(
    evaluated: Evaluated,
    prompts: PromptRows,
    references: References | None,
    folder: str,
) -> tuple[Inputs, tuple[str, ...]]:
    """Return what JavisBench's program would have computed, and of which groups.

    Args:
        evaluated: in ``bench`` mode.
        prompts: the CSV; as many rows as were evaluated.
        references: features of real clips; None leaves the distances out.
        folder: of the clips.

    Returns:
        The inputs, and the groups of metrics whose columns are all there.

    Raises:
        ValueError: the mode is another, or a clip is missing or broken: the program
            stops at such a clip before it computes anything.
    """
    protocol = evaluated.protocol
    if protocol.benchmark != JAVISBENCH_MINI or protocol.mode != BENCH:
        raise ValueError(
            f"JavisBench's own JSON is of mode {BENCH!r} of its prompts, got mode "
            f"{protocol.mode!r} of {protocol.benchmark}"
        )
    if evaluated.faults:
        raise ValueError(
            "JavisBench's own JSON is not written: "
            f"{len(evaluated.faults)} of {protocol.num_prompts} clips are missing or "
            "broken, where its program stops"
        )
    scores = {
        column.key: _as_theirs(column.key, evaluated)
        for column in JAVISBENCH
        if column.key in evaluated.scores
    }
    names = dict.fromkeys(DISTANCES.values())
    generated = {name: _stacked(evaluated.features.get(name, {})) for name in names}
    whole = all(len(rows) == protocol.num_prompts for rows in generated.values())
    real = {} if references is None else _real(references, protocol.num_prompts)
    there = {*scores, *(DISTANCES if whole and real else ())}
    groups = tuple(group for group, items in GROUPS.items() if there.issuperset(items))
    return Inputs(prompts, folder, scores, real, generated), groups


def _as_theirs(key: str, evaluated: Evaluated) -> np.ndarray:
    scores = evaluated.scores[key]
    if key == _ZERO_IF_FAILED:
        scores = np.where(np.isnan(scores), 0.0, scores)
    return scores if key == _DOUBLE else scores.astype(np.float32)


def _stacked(rows: dict[int, np.ndarray]) -> np.ndarray:
    return np.stack([rows[row] for row in sorted(rows)]) if rows else np.zeros((0, 0))


def _real(references: References, count: int) -> dict[str, np.ndarray]:
    """Return the references if they are of the first rows, each of which has one."""
    rows = references.rows
    if rows is None or not np.array_equal(rows[:count], np.arange(count)):
        return {}
    names = DISTANCES.values()
    if not all(name in references.features for name in names):
        return {}
    return {name: np.stack(references.features[name]) for name in names}
