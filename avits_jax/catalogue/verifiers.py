"""The one table of verifiers, by family: one network, one set of weights."""

import math
from typing import NamedTuple

from avits_jax.catalogue.records import Info, converted, shipped

_ANY = (-math.inf, math.inf)
_COSINE = (-1.0, 1.0)
_LOG_PROBABILITY = (-math.inf, 0.0)


class Output(NamedTuple):
    """One reward of a family.

    Attributes:
        description: what it measures.
        range: lowest and highest value that it can take.
        prior: mean and standard deviation of its rewards, where measured or published.
        good: what three of four clips have that are entirely right, where measured.
        prior_of: what ``prior`` is of, where not of samples.
    """

    description: str
    range: tuple[float, float]
    prior: tuple[float, float] | None = None
    good: float | None = None
    prior_of: str = ""


class VerifierFamily(NamedTuple):
    """Verifiers that one network gives.

    Attributes:
        module: folder under `avits_jax.verifiers` whose ``parts.py`` has the network as
            ``MODEL`` and whose ``verifier.py`` makes the verifiers.
        outputs: name -> reward.
        licence: of the weights.
        checkpoint: folder of the converted weights, and name of the model for
            ``avits convert``; "" where there are none.
        settings: arguments of its ``make`` that trade work for exactness.
    """

    module: str
    outputs: dict[str, Output]
    licence: str = "no weights"
    checkpoint: str = ""
    settings: tuple[str, ...] = ()


# Means and deviations of people's scores, as the published configuration has them.
_AUDIOBOX = {
    f"audiobox_{axis}": Output(
        f"{what} of the sound: people's score, 1 to 10",
        _ANY,
        prior,
        prior_of="people's scores",
    )
    for axis, what, prior in (
        ("pq", "production quality", (6.57505, 1.51466)),
        ("ce", "enjoyment", (5.06865, 1.93029)),
        ("cu", "usefulness", (5.73633, 1.75669)),
        ("pc", "complexity", (3.18591, 1.86637)),
    )
}
FAMILIES = (
    VerifierFamily(
        "imagebind",
        {
            "javis_score": Output(
                "audio-video synchrony: each window's worst frames against its sound "
                "(cosine)",
                _COSINE,
            ),
            "avh_score": Output(
                "audio-video agreement: all frames against the sound (cosine)", _COSINE
            ),
            "av_ib": Output("audio-video agreement of short clips (cosine)", _COSINE),
            "ta_ib": Output("text-audio agreement (cosine)", _COSINE),
            "tv_ib": Output("text-video agreement (cosine)", _COSINE),
        },
        "CC BY-NC-SA 4.0",
        "imagebind",
        ("frame_rate", "share_frames"),
    ),
    VerifierFamily(
        "video_reward",
        {
            "video_reward": Output(
                "text-video alignment, normalised (the paper's reward)", _ANY
            ),
            "video_reward_vq": Output("visual quality, normalised", _ANY),
            "video_reward_mq": Output("motion quality, normalised", _ANY),
            "video_reward_overall": Output(
                "sum of alignment, visual and motion quality", _ANY
            ),
            "video_reward_raw_ta": Output(
                "text-video alignment as the network gives it", _ANY
            ),
            "video_reward_raw_vq": Output(
                "visual quality as the network gives it", _ANY
            ),
            "video_reward_raw_mq": Output(
                "motion quality as the network gives it", _ANY
            ),
        },
        "Apache-2.0",
        "video-reward",
    ),
    VerifierFamily(
        "clap",
        {"clap": Output("text-audio agreement (cosine)", _COSINE)},
        "Apache-2.0",
        "clap",
    ),
    VerifierFamily(
        "clip",
        {
            "clip_score": Output(
                "text-picture agreement, the mean over frames (cosine)", _COSINE
            )
        },
        "MIT",
        "clip",
        ("num_frames",),
    ),
    VerifierFamily(
        "vqa_score",
        {
            "vqa_score": Output(
                'text-video agreement: likelihood of the answer "Yes"', (0.0, 1.0)
            )
        },
        "Apache-2.0",
        "vqa-score",
        ("num_frames",),
    ),
    VerifierFamily(
        "av_align",
        {
            "av_align": Output(
                "onsets of the sound against bursts of motion", (0.0, math.inf)
            )
        },
    ),
    VerifierFamily(
        "desync",
        {
            "desync": Output(
                "minus the offset of picture and sound in seconds (most likely)",
                (-2.0, 0.0),
            ),
            "desync_smooth": Output(
                "minus the same offset, expected: smooth, for search", (-2.0, 0.0)
            ),
        },
        "MIT",
        "synchformer",
    ),
    VerifierFamily("audiobox", _AUDIOBOX, "CC-BY 4.0", "audiobox"),
)
# Priors and good values of mini's: of 1,280 samples for 80 prompts, 327 of them
# entirely right (tools/evaluate_mini.py --seed 515 --num-prompts 80
# --num-candidates 16).
_MINI = {
    "mini_tv": Output(
        "text-video match of mini's clips (cosine)", _COSINE, (0.26, 0.24), 0.42
    ),
    "mini_ta": Output(
        "text-audio match of mini's clips (log-odds)", _ANY, (0.2, 4.6), 2.7
    ),
    "mini_av": Output(
        "audio-video synchrony of mini's clips (log-probability)",
        _LOG_PROBABILITY,
        (-3.3, 3.1),
        -0.55,
    ),
    "mini_quality": Output(
        "picture and sound of mini's clips, without a prompt (opinion score)",
        (1.0, 5.0),
        (2.7, 0.78),
    ),
}
_JUDGE_GOOD = {"mini_tv": 0.44, "mini_ta": 2.1, "mini_av": -0.57}
_JUDGE_PRIORS = {
    "mini_tv": (0.3, 0.22),
    "mini_ta": (0.6, 3.2),
    "mini_av": (-4.1, 3.4),
    "mini_quality": (2.5, 0.78),
}
MINI = {
    **_MINI,
    **{
        f"{name}_judge": Output(
            f"{each.description}; to judge by",
            each.range,
            _JUDGE_PRIORS[name],
            _JUDGE_GOOD.get(name),
        )
        for name, each in _MINI.items()
    },
}
OUTPUTS: dict[str, Output] = {
    **MINI,
    **{name: each for family in FAMILIES for name, each in family.outputs.items()},
}


def family_of(name: str) -> VerifierFamily:
    """Return the family that a known name belongs to; not for mini's."""
    return next(family for family in FAMILIES if name in family.outputs)


def infos() -> list[Info]:
    """Return what is known of every verifier."""
    found = [
        Info(name, each.description, "Apache-2.0", shipped(f"mini/{name}"))
        for name, each in MINI.items()
    ]
    for family in FAMILIES:
        found += [
            _info(family, name, each.description)
            for name, each in family.outputs.items()
        ]
    return found


def _info(family: VerifierFamily, name: str, text: str) -> Info:
    return Info(
        name,
        text,
        family.licence,
        converted(family.checkpoint) if family.checkpoint else None,
        f"avits_jax.verifiers.{family.module}.parts",
        family.checkpoint,
    )
