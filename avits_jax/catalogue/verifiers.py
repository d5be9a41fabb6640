"""The verifiers that there are, by family: one network folder, one set of weights."""

from typing import NamedTuple

from avits_jax.catalogue.records import Download, Info, converted, shipped

NON_COMMERCIAL = (
    "ImageBind's weights are licensed for non-commercial use only (CC BY-NC-SA 4.0)"
)


class Family(NamedTuple):
    """Verifiers that one network gives.

    Attributes:
        module: folder under `avits_jax.verifiers` whose ``verifier.py`` makes them.
        outputs: name -> what it measures.
        checkpoint: folder of the converted weights, "" where there are none.
        downloads: what is converted.
        notice: what the user must know of the licence, or "".
        settings: arguments of its ``make`` that trade work for exactness.
    """

    module: str
    outputs: dict[str, str]
    checkpoint: str = ""
    downloads: tuple[Download, ...] = ()
    notice: str = ""
    settings: tuple[str, ...] = ()


FAMILIES = (
    Family(
        "imagebind",
        {
            "javis_score": "audio-video synchrony: each window's worst frames "
            "against its sound (cosine)",
            "avh_score": "audio-video agreement: all frames against the sound (cosine)",
            "av_ib": "audio-video agreement of short clips (cosine)",
            "ta_ib": "text-audio agreement (cosine)",
            "tv_ib": "text-video agreement (cosine)",
        },
        "imagebind",
        (
            Download(
                "imagebind_huge.pth",
                "facebookresearch/ImageBind",
                4.8,
                "CC BY-NC-SA 4.0",
            ),
        ),
        NON_COMMERCIAL,
        ("frame_rate", "share_frames"),
    ),
    Family(
        "video_reward",
        {
            "video_reward": "text-video alignment, normalised (the paper's reward)",
            "video_reward_vq": "visual quality, normalised",
            "video_reward_mq": "motion quality, normalised",
            "video_reward_overall": "sum of alignment, visual and motion quality",
            "video_reward_raw_ta": "text-video alignment as the network gives it",
            "video_reward_raw_vq": "visual quality as the network gives it",
            "video_reward_raw_mq": "motion quality as the network gives it",
        },
        "video-reward",
        (
            Download("all files", "KwaiVGI/VideoReward", 4.7, "Apache-2.0"),
            Download(
                "base/ (its tokenizer; its weights with the adapter alone)",
                "Qwen/Qwen2-VL-2B-Instruct",
                4.4,
                "Apache-2.0",
            ),
        ),
    ),
    Family(
        "clap",
        {"clap": "text-audio agreement (cosine)"},
        "clap",
        (Download("all files", "laion/clap-htsat-unfused", 0.6, "Apache-2.0"),),
    ),
    Family(
        "vqa_score",
        {"vqa_score": 'text-video agreement: likelihood of the answer "Yes"'},
        "vqa-score",
        (
            Download("all files", "zhiqiulin/clip-flant5-xxl", 23.0, "Apache-2.0"),
            Download("tokenizer", "google/flan-t5-xxl", 0.003, "Apache-2.0"),
        ),
        settings=("num_frames",),
    ),
    Family("av_align", {"av_align": "onsets of the sound against bursts of motion"}),
    Family(
        "desync",
        {
            "desync": "minus the offset of picture and sound in seconds (most likely)",
            "desync_smooth": "minus the same offset, expected: smooth, for search",
        },
        "synchformer",
        (Download("synchformer_state_dict.pth", "hkchengrex/MMAudio", 1.0, "MIT"),),
    ),
)
MINI = {
    "mini_tv": "text-video match of mini's clips (log-probability)",
    "mini_ta": "text-audio match of mini's clips (log-probability)",
    "mini_av": "audio-video synchrony of mini's clips (log-probability)",
}


def family_of(name: str) -> Family:
    """Return the family that a known name belongs to; not for mini's."""
    return next(family for family in FAMILIES if name in family.outputs)


def infos() -> list[Info]:
    """Return what is known of every verifier."""
    found = [
        Info(name, text, "nothing", "Apache-2.0", shipped(f"mini/{name}"))
        for name, text in MINI.items()
    ]
    for family in FAMILIES:
        found += [_info(family, name, text) for name, text in family.outputs.items()]
    return found


def _info(family: Family, name: str, text: str) -> Info:
    needs = ", ".join(each.repository for each in family.downloads)
    licences = dict.fromkeys(each.licence for each in family.downloads)
    return Info(
        name,
        text,
        needs or "nothing",
        ", ".join(licences) or "no weights",
        converted(family.checkpoint) if family.checkpoint else None,
        family.downloads,
        family.checkpoint,
        family.notice,
    )
