"""The generators that there are."""

from avits_jax.catalogue.records import Download, Info, converted, shipped

JAVISDIT, JAVISDIT_TINY = "javisdit-v0.1", "javisdit-tiny"
_UNSTATED = "licence not stated"
# Gigabytes are those of float32 weights; half as many where bfloat16 is published.
_JAVISDIT_DOWNLOADS = (
    Download("transformer/", "JavisVerse/JavisDiT-v0.1-jav-240p4s", 14.9, _UNSTATED),
    Download(
        "prior/",
        "JavisVerse/JavisDiT-v0.1-prior",
        1.5,
        f"{_UNSTATED}; holds ImageBind's text tower: CC BY-NC-SA 4.0",
    ),
    Download("t5/", "DeepFloyd/t5-v1_1-xxl", 19.0, _UNSTATED),
    Download("video_vae/", "hpcai-tech/OpenSora-VAE-v1.2", 1.6, _UNSTATED),
    Download(
        "audio_vae/vae/ and audio_vae/vocoder/",
        "cvssp/audioldm2",
        0.45,
        "CC BY-NC-SA 4.0",
    ),
)
_JAVISDIT_NOTICE = (
    "JavisDiT's prior holds ImageBind's text tower, and its sound decoder is "
    "AudioLDM2's: both are licensed for non-commercial use only (CC BY-NC-SA 4.0)"
)


def infos() -> list[Info]:
    """Return what is known of every generator."""
    return [
        Info(
            "mini",
            "a coloured shape bounces with a sound: 2 s, 32x32, for trying out",
            "nothing",
            "Apache-2.0",
            shipped("mini/generator"),
        ),
        Info(
            JAVISDIT,
            "JavisDiT v0.1: joint audio and video from text, 240p, 2 s to 32 s",
            ", ".join(each.repository for each in _JAVISDIT_DOWNLOADS),
            "CC BY-NC-SA 4.0 in part",
            converted(JAVISDIT),
            _JAVISDIT_DOWNLOADS,
            "javisdit",
            _JAVISDIT_NOTICE,
        ),
        Info(
            JAVISDIT_TINY,
            "JavisDiT with small networks and random weights: noise, for trying out",
            "nothing",
            "Apache-2.0",
            None,
            random=True,
        ),
    ]
