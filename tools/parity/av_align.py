"""AV-Align against its golden."""

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.verifiers.av_align import flow, onsets, score
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.registry import register
from tools.parity.stored import found_stride


def _subset(found, stored: np.ndarray, atol: float) -> Expect:
    """``found`` at the stride with which it was stored."""
    down, right = map(found_stride, found.shape[:2], stored.shape[:2])
    return Expect(np.asarray(found)[::down, ::right], stored, atol)


@register("score_av_align*", holds=("gray_u8", "wave"))
def run_av_align(golden: Golden) -> dict[str, Expect]:
    """Onsets, motion, peaks and score of one clip."""
    arrays, info = golden.arrays, golden.info
    stated, fps, rate = info["tol_float32"], info["fps"], info["sr"]
    settings = dict(info["constants"]["farneback"])
    settings.pop("flags")
    config = flow.FlowConfig(**settings)
    gray = jnp.asarray(arrays["gray_u8"], jnp.float32)
    wave = jnp.asarray(arrays["wave"])

    @jax.jit
    def between(first, second):
        both = jnp.stack([first, second])
        pyramids = jax.vmap(lambda gray: flow.pyramid(gray, config))(both)
        one, two = ([level[i] for level in pyramids] for i in (0, 1))
        return flow.flow_between(one, two, config)

    motion = jax.jit(lambda gray: flow.mean_motion(gray, config))(gray)
    strength = onsets.onset_strength(wave, rate)
    heard = np.flatnonzero(onsets.pick_peaks(strength, rate))
    seen = np.flatnonzero(score.motion_peaks(motion))
    times = onsets.onset_times(len(strength), rate)
    value = score.agreement(motion, strength, fps=fps, sample_rate=rate)
    results = {
        "onset_strength": Expect(
            strength, arrays["onset_strength"], stated["onset_strength_abs"]
        ),
        "onset_frames": Expect(heard, arrays["onset_frames"], 0.0),
        "audio_peaks": Expect(times[heard], arrays["audio_peaks"], 1e-6),
        "video_peaks": Expect(seen / fps, arrays["video_peaks"], 1e-6),
        "flow_mag": Expect(motion, arrays["flow_mag"], stated["flow_mag_abs"]),
        "iou": Expect(value, arrays["iou"], stated["iou_abs"]),
    }
    for name, stored in arrays.items():
        if name.startswith("flow_") and name != "flow_mag":
            first, second = (int(frame) for frame in name.split("_")[1:])
            found = between(gray[first], gray[second])
            results[name] = _subset(found, stored, stated["flow_mag_abs"])
        if name.startswith("mel_power_first"):
            count = stored.shape[1]
            power = onsets.mel_power(wave, rate)[:count].T
            results[name] = Expect(power, stored, 1e-5, 1e-4)
    return results
