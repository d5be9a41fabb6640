"""How each column is measured: by which verifiers or network, of what of a clip.

JavisBench hears the prompt column ``audio_text`` where sound is compared with text, and
``text`` where pictures are; VGGSound's prompts are its labels.

Upstream: JavisVerse/JavisDiT at b505b37, JavisEvaluator of eval/javisbench/main.py;
hkchengrex/av-benchmark at 050a5cd.
"""

from typing import NamedTuple

from avits_jax.bench.columns import BENCH, JAVISBENCH_MINI, VGGSOUND

TEXT, AUDIO_TEXT, LABEL = "text", "audio_text", "label"
COLUMNS_NEEDED = {JAVISBENCH_MINI: (TEXT,), VGGSOUND: ("id", LABEL)}
"""Columns that a benchmark's table of prompts must have."""
PROMPT_COLUMN = {JAVISBENCH_MINI: TEXT, VGGSOUND: LABEL}
"""What clips are generated from."""

# What JavisBench's published command hears of a clip for DeSync.
_DESYNC_SECONDS = 4.0
_VGGSOUND_SECONDS = 8.0


class Measure(NamedTuple):
    """A column that verifiers give, one number a clip.

    Attributes:
        column: its key.
        verifiers: names; the column is their mean.
        text: column of the prompts that they are told; where there is none, `TEXT`.
        sign: 1, or -1 where a verifier's reward is the negated metric.
        seconds: how much of a clip they see; None for all.
    """

    column: str
    verifiers: tuple[str, ...]
    text: str = TEXT
    sign: float = 1.0
    seconds: float | None = None


class Network(NamedTuple):
    """A network of `avits_jax.metrics` that gives features, or a column.

    Attributes:
        name: in the catalogue.
        gives: names of what `bench.columns` lists.
    """

    name: str
    gives: tuple[str, ...]


NETWORKS = {
    JAVISBENCH_MINI: (
        Network("i3d", ("i3d",)),
        Network("audioclip", ("audioclip",)),
        Network("cavp", ("cavp_score",)),
    ),
    VGGSOUND: (
        Network("cnn14", ("panns", "panns_logits")),
        Network("vggish", ("vggish",)),
        Network("passt", ("passt", "passt_logits")),
    ),
}
"""Networks of each benchmark."""

_AUDIOBOX = ("audiobox_ce", "audiobox_cu", "audiobox_pc", "audiobox_pq")


def measures_of(benchmark: str, mode: str) -> tuple[Measure, ...]:
    """Return the columns of a benchmark that verifiers give.

    Args:
        benchmark: one of `bench.columns.COLUMNS`.
        mode: "bench" or "default".
    """
    if benchmark == VGGSOUND:
        return _vggsound()
    ending = ":bench" if mode == BENCH else ""

    def named(*names: str) -> tuple[str, ...]:
        return tuple(f"{name}{ending}" for name in names)

    desync = _DESYNC_SECONDS if mode == BENCH else None
    return (
        Measure("visual_quality", named("video_reward_raw_vq")),
        Measure("motion_quality", named("video_reward_raw_mq")),
        Measure("audio_quality", named(*_AUDIOBOX)),
        Measure("ib_tv", named("tv_ib")),
        Measure("ib_ta", named("ta_ib"), AUDIO_TEXT),
        Measure("ib_av", named("av_ib")),
        Measure("clip_score", named("clip_score")),
        Measure("clap_score", named("clap"), AUDIO_TEXT),
        Measure("av_align", ("av_align",)),
        Measure("avh_score", named("avh_score")),
        Measure("javis_score", named("javis_score")),
        # Cut by hand: its mode "bench" is of 8 s, the published command's of 4.
        Measure("desync", ("desync",), sign=-1.0, seconds=desync),
    )


def _vggsound() -> tuple[Measure, ...]:
    """Return av-benchmark's columns; both of its modes measure clips alike."""
    first = _VGGSOUND_SECONDS
    return (
        Measure("ib_score", ("av_ib",), LABEL, seconds=first),
        Measure("desync_first_last", ("desync",), LABEL, -1.0, first),
        Measure("clap_htsat_unfused", ("clap",), LABEL, seconds=first),
    )
