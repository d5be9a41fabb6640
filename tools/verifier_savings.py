"""What settings that save work do to the ranking of clips.

    python tools/verifier_savings.py [--clips 32]

Each setting is compared with the verifier's default on rendered clips that differ in
colour, shape, motion, timbre, loudness and synchrony: Spearman's rank correlation of
the scores, and whether the same clip comes first. Work is counted at full size, for 102
frames of 240x426. The networks are small and have random weights (see
tools/verifier_networks.py). That shows how much of a score a setting can change by what
it leaves out; how much it changes the published weights' ranking must be measured with
them.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import numpy as np  # noqa: E402

from avits_jax.parallel.flops import count_flops  # noqa: E402
from avits_jax.types import Media, PyTree  # noqa: E402
from tools.verifier_clips import rank_correlation, rendered  # noqa: E402
from tools.verifier_flops import CLIP, FPS, used_jaxpr  # noqa: E402
from tools.verifier_networks import FAMILIES, chosen_clips  # noqa: E402


@dataclass(frozen=True)
class Saving:
    """A setting that saves work.

    Attributes:
        family: of `FAMILIES`.
        outputs: the scores that it changes.
        name: what it does.
        settings: arguments of the family's score.
        against: those that it is compared with.
        beside: scores that the same pass gives; they count for the work.
    """

    family: str
    outputs: tuple[str, ...]
    name: str
    settings: dict[str, Any]
    against: dict[str, Any] = field(default_factory=dict)
    beside: tuple[str, ...] = ()


_STILLS, _CLIPS = ("javis_score", "avh_score"), ("av_ib", "tv_ib")
_REWARDS, _VQA = ("ta", "overall"), ("vqa_score",)
SAVINGS = (
    Saving("imagebind", _STILLS, "12 of 24 frames a second", {"frame_share": 1 / 2}),
    Saving("imagebind", _STILLS, "6 of 24 frames a second", {"frame_share": 1 / 4}),
    Saving("imagebind", _STILLS, "3 of 24 frames a second", {"frame_share": 1 / 8}),
    Saving(
        "imagebind",
        _CLIPS,
        "mean of the frames for 15 clips",
        {"share_frames": True},
        beside=_STILLS,
    ),
    Saving("video_reward", _REWARDS, "4 frames for 8", {"num_frames": 4}),
    Saving("video_reward", _REWARDS, "2 frames for 8", {"num_frames": 2}),
    Saving("vqa_score", _VQA, "8 frames for all", {}, {"mode": "its"}),
    Saving("vqa_score", _VQA, "4 frames for 8", {"num_frames": 4}),
    Saving("vqa_score", _VQA, "1 frame for 8", {"num_frames": 1}),
    Saving(
        "desync",
        ("desync", "desync_smooth"),
        "nothing filled up to 8 s",
        {},
        {"mode": "bench"},
    ),
)
_PROMPT_IDS = 836


def work(saving: Saving, settings: dict[str, Any]) -> float:
    """Operations per clip at full size, with some settings."""
    family = FAMILIES[saving.family]
    wanted = (*saving.outputs, *saving.beside)
    if saving.family == "imagebind":
        settings = settings | {"outputs": wanted}
    if saving.family == "video_reward":
        settings = settings | {"num_ids": _PROMPT_IDS}
    run = family.program(family.published, FPS, **settings)

    def chosen(params: PyTree, media: Media):
        found = run(params, media)
        return [found[name] for name in wanted]

    return count_flops(used_jaxpr(chosen, family.build(family.published)[1], CLIP))


class Ranking:
    """Scores of the same clips with different settings; each is computed once."""

    def __init__(self, media: Media):
        self.media = media
        self._found: dict[str, dict[str, np.ndarray]] = {}

    def scores(
        self, name: str, network: str, settings: dict[str, Any]
    ) -> dict[str, np.ndarray]:
        """All scores of a family's network."""
        key = f"{name} {network} {sorted(settings.items())}"
        if key not in self._found:
            family = FAMILIES[name]
            config, params = family.of(network)
            run = jax.jit(family.program(config, FPS, **settings))
            self._found[key] = jax.device_get(run(params, self.media))
        return self._found[key]


def rows(saving: Saving, network: str, ranking: Ranking) -> list[str]:
    """Lines of the table, one for each score."""
    full, less = (work(saving, each) for each in (saving.against, saving.settings))
    before, after = (
        ranking.scores(saving.family, network, each)
        for each in (saving.against, saving.settings)
    )
    lines = []
    for name in saving.outputs:
        old, new = before[name], after[name]
        same = "yes" if old.argmax() == new.argmax() else "no"
        lines.append(
            f"| {name} | {saving.name} | {less / 1e12:.2f} of {full / 1e12:.2f} "
            f"| {less / full:.2f} | {network} | {rank_correlation(old, new):.3f} "
            f"| {same} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and print."""
    chosen = chosen_clips(__doc__ or "", arguments)
    ranking = Ranking(rendered(chosen.clips, fps=FPS, scale=chosen.scale))
    print(
        "| output | setting | TFLOP | share | network | rank correlation | same best |"
    )
    print("|---" * 7 + "|")
    for saving in SAVINGS:
        if saving.family in chosen.families:
            for network in chosen.networks:
                print("\n".join(rows(saving, network, ranking)), flush=True)


if __name__ == "__main__":
    main()
