"""The columns of both benchmarks: what each is, which way is better, how it is made.

A column is either the mean of one number per clip, or a distance of two sets of
features. Its key is the one that the benchmark's own program writes; keys of
av-benchmark, whose short names mean several things, carry their network.

Features are handed over under these names, one array per clip (float32):

=================  =========  =====================================================
``i3d``            [400]      I3D's logits, mean over time
``audioclip``      [1024]     AudioCLIP's raw embedding of the sound
``panns``          [2048]     Cnn14's embedding
``panns_logits``   [527]      its class logits
``vggish``         [K, 128]   VGGish, one row per 0.96 s; K may differ from clip to clip
``passt``          [768]      PaSST's embedding
``passt_logits``   [527]      its class logits
=================  =========  =====================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass

from avits_jax.catalogue.names import parse

BENCH, DEFAULT = "bench", "default"
MODES = (BENCH, DEFAULT)
JAVISBENCH_MINI, VGGSOUND = "javisbench-mini", "vggsound"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: its name in files.
        title: its name in tables.
        higher: whether higher is better.
        bench: what the number is in ``bench`` mode, faults included.
        default: what it is in ``default`` mode.
        features: whose sets are compared; none for the mean of one number per clip.
        paired: every clip's features are compared with those of its own real clip, so
            that it has a number of its own.
        verifiers: rewards that are this column's number, or part of it, or an
            increasing function of it: a search that they guided is marked there.
    """

    key: str
    title: str
    higher: bool
    bench: str
    default: str
    features: tuple[str, ...] = ()
    verifiers: tuple[str, ...] = ()
    paired: bool = False

    @property
    def per_clip(self) -> bool:
        """Tell whether every clip has a number of its own."""
        return self.paired or not self.features

    def variant(self, mode: str) -> str:
        """Return what the number is in a mode."""
        return self.bench if mode == BENCH else self.default


_VIDEO_REWARD = ("video_reward_vq", "video_reward_raw_vq", "video_reward_overall")
_MOTION_REWARD = ("video_reward_mq", "video_reward_raw_mq", "video_reward_overall")
_AUDIOBOX = ("audiobox_ce", "audiobox_cu", "audiobox_pc", "audiobox_pq")
_IMAGEBIND = "ImageBind cosine, prompt column "

JAVISBENCH = (
    Column(
        "fvd",
        "FVD",
        False,
        "I3D logits, mean over time; 24 frames of the whole file, letterboxed to 224, "
        "half range",
        "I3D logits, mean over time; frames in [-1, 1]",
        ("i3d",),
    ),
    Column(
        "kvd",
        "KVD",
        False,
        "cubic kernel on FVD's features less the mean of each set",
        "cubic kernel on FVD's features as they are",
        ("i3d",),
    ),
    Column(
        "fad",
        "FAD",
        False,
        "AudioCLIP, x 10 000; 4 s at 16 kHz in [-1, 1] as if 44.1 kHz in int16 units",
        "AudioCLIP, x 10 000; 44.1 kHz in int16 units",
        ("audioclip",),
    ),
    Column(
        "visual_quality",
        "VQ",
        True,
        "VideoReward's visual quality, not normalised",
        "VideoReward's visual quality, not normalised",
        verifiers=_VIDEO_REWARD,
    ),
    Column(
        "motion_quality",
        "MQ",
        True,
        "VideoReward's motion quality, not normalised",
        "VideoReward's motion quality, not normalised",
        verifiers=_MOTION_REWARD,
    ),
    Column(
        "audio_quality",
        "AQ",
        True,
        "Audiobox, mean of CE, CU, PC and PQ; other rates relabelled as 16 kHz",
        "Audiobox, mean of CE, CU, PC and PQ; resampled to 16 kHz",
        verifiers=_AUDIOBOX,
    ),
    Column(
        "ib_tv",
        "TV-IB",
        True,
        _IMAGEBIND + "text",
        _IMAGEBIND + "text",
        verifiers=("tv_ib",),
    ),
    Column(
        "ib_ta",
        "TA-IB",
        True,
        _IMAGEBIND + "audio_text",
        _IMAGEBIND + "audio_text",
        verifiers=("ta_ib",),
    ),
    Column(
        "ib_av",
        "AV-IB",
        True,
        "ImageBind cosine of picture and sound",
        "ImageBind cosine of picture and sound",
        verifiers=("av_ib",),
    ),
    Column(
        "clip_score",
        "CLIP",
        True,
        "ViT-B/32, mean of 48 frames' cosines, red and blue swapped",
        "ViT-B/32, mean of 48 frames' cosines",
        verifiers=("clip_score",),
    ),
    Column(
        "clap_score",
        "CLAP",
        True,
        "clap-htsat-unfused cosine",
        "clap-htsat-unfused cosine",
        verifiers=("clap",),
    ),
    Column(
        "cavp_score",
        "CAVP",
        True,
        "cosine of features at 4 per second; the program takes a failed clip as 0",
        "cosine of features at 4 per second",
        verifiers=("cavp_score",),
    ),
    Column(
        "av_align",
        "AV-Align",
        True,
        "onsets against optical flow",
        "onsets against optical flow",
        verifiers=("av_align",),
    ),
    Column(
        "avh_score",
        "AVHScore",
        True,
        "ImageBind, every frame against the whole sound",
        "ImageBind, every frame against the whole sound",
        verifiers=("avh_score",),
    ),
    Column(
        "javis_score",
        "JavisScore",
        True,
        "ImageBind, worst 40% of frames of 2 s windows, every 0.5 s",
        "ImageBind, worst 40% of frames of 2 s windows, every 0.5 s",
        verifiers=("javis_score",),
    ),
    Column(
        "desync",
        "DeSync (JavisBench)",
        False,
        "Synchformer, seconds; cut to 4 s, 11 segments tiled to 14",
        "Synchformer, seconds; groups of 14 segments of up to 8 s",
        verifiers=("desync", "desync_smooth"),
    ),
)

_PRODUCT = "root of the product of covariances"
_SYMMETRIC = "symmetric root"


def _distance(key: str, title: str, feature: str, network: str) -> Column:
    return Column(
        key,
        title,
        False,
        f"{network}; {_PRODUCT}",
        f"{network}; {_SYMMETRIC}",
        (feature,),
    )


def _inception(key: str, title: str, feature: str, network: str) -> Column:
    what = f"softmax of {network}'s 527 logits, 10 splits"
    return Column(key, title, True, what, what, (feature,))


def _divergence(key: str, title: str, feature: str, network: str) -> Column:
    what = f"KL(real || generated) of each pair, softmax of {network}'s logits"
    return Column(key, title, False, what, what, (feature,), paired=True)


AV_BENCHMARK = (
    _distance("fd_panns", "FD_PANNs", "panns", "Cnn14's 2048 features"),
    _distance("fd_vgg", "FD_VGG", "vggish", "VGGish, 0.96 s pieces of all clips"),
    _distance("fd_passt", "FD_PaSST", "passt", "PaSST's 768 features"),
    _inception("is_panns", "IS_PANNs", "panns_logits", "Cnn14"),
    _inception("is_passt", "IS_PaSST", "passt_logits", "PaSST"),
    _divergence("kl_panns", "KL_PANNs", "panns_logits", "Cnn14"),
    _divergence("kl_passt", "KL_PaSST", "passt_logits", "PaSST"),
    Column(
        "ib_score",
        "ImageBind (av-benchmark)",
        True,
        "ImageBind cosine of picture and sound, first 8 s",
        "ImageBind cosine of picture and sound, first 8 s",
        verifiers=("av_ib",),
    ),
    Column(
        "desync_first_last",
        "DeSync (av-benchmark)",
        False,
        "Synchformer, seconds; mean of the first and the last 14 segments of 8 s",
        "Synchformer, seconds; mean of the first and the last 14 segments of 8 s",
        verifiers=("desync", "desync_smooth"),
    ),
    Column(
        "clap_htsat_unfused",
        "CLAP (htsat-unfused)",
        True,
        "clap-htsat-unfused cosine: neither of av-benchmark's CLAP networks",
        "clap-htsat-unfused cosine: neither of av-benchmark's CLAP networks",
        verifiers=("clap",),
    ),
)

COLUMNS = {JAVISBENCH_MINI: JAVISBENCH, VGGSOUND: AV_BENCHMARK}
"""The columns of each benchmark, in the order of its tables."""


def columns_of(benchmark: str) -> dict[str, Column]:
    """Return the columns of a benchmark by key.

    Raises:
        ValueError: there is no such benchmark.
    """
    if benchmark not in COLUMNS:
        known = ", ".join(COLUMNS)
        raise ValueError(f"benchmark must be one of {known}, got {benchmark!r}")
    return {column.key: column for column in COLUMNS[benchmark]}


def guided_columns(benchmark: str, guides: Sequence[str]) -> frozenset[str]:
    """Return the keys of the columns that rewards of a search have guided.

    Args:
        benchmark: whose columns.
        guides: verifiers as a run names them, ``NAME[@CHECKPOINT][:MODE]``; one that no
            column measures marks none.
    """
    names = {parse(guide).name for guide in guides}
    return frozenset(
        key
        for key, column in columns_of(benchmark).items()
        if names & set(column.verifiers)
    )
