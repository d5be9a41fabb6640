"""Count the matrix operations of every verifier for one clip, at full size.

    python tools/verifier_flops.py

The clip has 102 frames of 240x426 at 24 fps, and 68,000 samples at 16 kHz. Needed is
the work of the published model without passes that repeat an equal input. Exit status 1
where a count is more than 1.05 times that. By shapes alone: nothing is computed.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax.interpreters import partial_eval  # noqa: E402

from avits_jax.catalogue.verifiers import family_of  # noqa: E402
from avits_jax.parallel.flops import count_flops  # noqa: E402
from avits_jax.types import Media, PyTree, Verifier  # noqa: E402
from avits_jax.verifiers.stack import stack  # noqa: E402
from avits_jax.verifiers.video_reward import tokens  # noqa: E402
from avits_jax.verifiers.vqa_score import verifier as vqa_score  # noqa: E402
from avits_jax.weights.network import Weights, as_dtype  # noqa: E402

LIMIT = 1.05
FPS, SAMPLE_RATE = 24.0, 16_000
CLIP: Media = jax.eval_shape(
    lambda: Media(jnp.zeros((1, 102, 240, 426, 3)), jnp.zeros((1, 68_000)))
)
CAPTION = "A dog barks twice while waves crash on a rocky shore at sunset."
# Ids of the caption's prompt under the published tokenizers, with one of the video or
# picture, and what their number is padded to. Dummy tokenizers cut texts otherwise.
PROMPT_IDS = {
    "video_reward": (836, tokens.PAD_MULTIPLE),
    "vqa_score": (71, vqa_score.PAD_MULTIPLE),
}

# Operations of one pass, in GFLOP (2 for a multiply-add).
_FRAME, _SOUND, _TEXT = 335.0, 40.9, 47.1
_FRAMES, _WINDOWS, _PAIRS = 102, 6, 15
_CLAP, _CLAP_ID, _CLAP_IDS = 11.8, 0.17, 16
_CLIP_FRAME, _CLIP_FRAMES, _CLIP_TEXT = 8.8, 48, 5.9
_POPULATION = 16
_SEGMENT, _GROUP = 393.4 + 13.9, 9.0
_VQA_FRAME = 7_600.0
_AUDIOBOX_FRAME, _AUDIOBOX_PAIR = 139.0 / 499, 12 * 4 * 768 / 1e9  # attention's apart


@dataclass(frozen=True)
class Case:
    """Verifiers in one program.

    Attributes:
        names: of one family.
        mode: how clips are read.
        needed: GFLOP.
        note: what the number is made of.
        clips: how many share the text.
    """

    names: tuple[str, ...]
    mode: str
    needed: float
    note: str
    clips: int = 1


def _imagebind(mode: str) -> list[Case]:
    # Different clips of the whole sound: the server repeats one, the others hear three.
    heard = 1 if mode == "its" else 3
    frames, pairs = _FRAME * _FRAMES, _FRAME * _PAIRS
    sound, windows = _SOUND * heard, _SOUND * _WINDOWS
    seen = f"{_FRAMES} frames"

    def case(names: str, needed: float, note: str) -> Case:
        return Case(tuple(names.split()), mode, needed, note)

    return [
        case("avh_score", frames + sound, f"{seen}, {heard} sounds"),
        case("javis_score", frames + windows, f"{seen}, {_WINDOWS} windows"),
        case(
            "avh_score javis_score",
            frames + sound + windows,
            f"{seen}, {heard} + {_WINDOWS} sounds",
        ),
        case("av_ib", pairs + sound, f"{_PAIRS} pairs, {heard} sounds"),
        case("ta_ib", _TEXT + sound, f"text, {heard} sounds"),
        case("tv_ib", _TEXT + pairs, f"text, {_PAIRS} pairs"),
        case(
            "javis_score avh_score av_ib ta_ib tv_ib",
            frames + pairs + sound + windows + _TEXT,
            f"{seen}, {_PAIRS} pairs, {heard} + {_WINDOWS} sounds, text",
        ),
    ]


def cases() -> list[Case]:
    """Every verifier in every mode that it has, and ImageBind's in one pass."""
    found = [case for mode in ("default", "bench", "its") for case in _imagebind(mode)]
    for mode, needed, frames in (
        ("default", 6_880.0, 8),
        ("bench", 6_880.0, 8),
        ("its", 4_590.0, 4),
    ):
        found.append(Case(("video_reward",), mode, needed, f"{frames} frames"))
    for mode in ("default", "bench", "its"):
        needed = _CLAP + _CLAP_ID * _CLAP_IDS / _POPULATION
        note = f"10 s; {_CLAP_IDS} ids once for {_POPULATION} clips"
        found.append(Case(("clap",), mode, needed, note, _POPULATION))
    for mode in ("default", "bench"):
        needed = _CLIP_FRAMES * _CLIP_FRAME + _CLIP_TEXT
        found.append(
            Case(("clip_score",), mode, needed, f"{_CLIP_FRAMES} frames, text")
        )
    for mode, segments, groups in (("default", 12, 1), ("bench", 24, 2)):
        needed = segments * _SEGMENT + groups * _GROUP
        note = f"{segments} segments, {groups} comparisons"
        found.append(Case(("desync", "desync_smooth"), mode, needed, note))
    for mode, frames in (("default", 8), ("its", _FRAMES)):
        needed = frames * _VQA_FRAME
        found.append(Case(("vqa_score",), mode, needed, f"{frames} frames"))
    axes = tuple(family_of("audiobox_pq").outputs)
    for mode, frames in (("default", 213), ("bench", 200)):
        needed = frames * (_AUDIOBOX_FRAME + frames * _AUDIOBOX_PAIR)
        found.append(Case(axes, mode, needed, f"{frames} of a window's 499 frames"))
    return found


def full_size(case: Case, dtype: str) -> tuple[tuple[Verifier, ...], PyTree]:
    """The case's verifiers at full size, and the shapes of their weights."""
    home = f"avits_jax.verifiers.{family_of(case.names[0]).module}"
    (part,) = importlib.import_module(f"{home}.parts").MODEL.parts
    made = importlib.import_module(f"{home}.verifier").make(
        list(case.names),
        part.config,
        Weights(None, dtype),
        fps=FPS,
        sample_rate=SAMPLE_RATE,
        mode=case.mode,
        candidate_batch=1,
    )
    like = part.build(part.config)[1]
    return made, as_dtype(like, dtype)


def with_ids(cond: PyTree, count: int, multiple: int) -> PyTree:
    """Shapes of an encoded prompt whose longest text has `count` ids, padded."""
    length = max(leaf.shape[0] for leaf in jax.tree.leaves(cond))
    padded = -(-count // multiple) * multiple

    def fit(leaf: Any) -> jax.ShapeDtypeStruct:
        size = padded if leaf.shape[0] == length else leaf.shape[0]
        return jax.ShapeDtypeStruct((size,), leaf.dtype)

    return jax.tree.map(fit, cond)


def used_jaxpr(function: Callable[..., Any], *shapes: Any) -> Any:
    """The program without what its results do not need, which compilers drop."""
    jaxpr = jax.make_jaxpr(function)(*shapes).jaxpr
    return partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0]


def program(case: Case, dtype: str = "bfloat16") -> Any:
    """The jaxpr of a case."""
    verifiers, like = full_size(case, dtype)
    encode = verifiers[0].encode
    cond = () if encode is None else jax.tree.map(jnp.asarray, encode(CAPTION))
    family = family_of(case.names[0]).module
    if family in PROMPT_IDS:
        cond = with_ids(cond, *PROMPT_IDS[family])
    count = len(verifiers)
    clips = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((case.clips, *x.shape[1:]), x.dtype), CLIP
    )
    return used_jaxpr(stack(verifiers), (like,) * count, clips, (cond,) * count)


def table(chosen: Sequence[Case]) -> tuple[str, float]:
    """A Markdown table, and the worst ratio of counted to needed work."""
    rows = ["| verifiers | mode | GFLOP | needed | ratio | of |", "|---" * 6 + "|"]
    worst = 0.0
    for case in chosen:
        counted = count_flops(program(case)) / case.clips / 1e9
        ratio = counted / case.needed
        worst = max(worst, ratio)
        rows.append(
            f"| {' + '.join(case.names)} | {case.mode} | {counted:,.1f} "
            f"| {case.needed:,.1f} | {ratio:.3f} | {case.note} |"
        )
    return "\n".join(rows), worst


def main() -> int:
    """Print the table; 0 if every count is within the limit."""
    text, worst = table(cases())
    print(text)
    print(f"\nworst ratio {worst:.3f}; accepted {LIMIT}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
