"""Sound files as JavisBench reads them, against their goldens."""

import tempfile
import wave
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from avits_jax.metrics.audioclip.config import BENCH_RATE
from avits_jax.metrics.bench_sound import read_bench_sound
from avits_jax.nn.resample import resample
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.registry import register
from tools.parity.stored import named, stated_stride

_CLAP_RATE = 48_000


def write_wav(path: Path, pcm: np.ndarray, rate: int) -> None:
    """Write 16-bit samples ``[S, C]`` as they are."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(pcm.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(pcm, "<i2").tobytes())


@register("pre_bench_audio*", holds=("in.pcm_*", "out.fad_*", "quality_tap"))
def run_sound(golden: Golden) -> dict[str, Expect]:
    """A file for FAD, for CLAP and for the audio quality."""
    stated, seconds = golden.info["tol_float32_abs"], golden.info["max_audio_len_s"]
    checks = {}
    for name, rate in golden.info["rates"].items():
        pcm = golden.inputs[f"pcm_{name}"]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sound.wav"
            write_wav(path, pcm, rate)
            fad = read_bench_sound(path, BENCH_RATE, seconds)
            clap = read_bench_sound(path, _CLAP_RATE)
        seen = named(golden.outputs, f"clap_{name}_sub")
        atol = stated["fad" if rate == BENCH_RATE else "fad resampled"]
        checks[f"fad_{name}"] = Expect(fad[None], None, atol)
        checks[seen] = Expect(clap[None, :: stated_stride(seen)], None, stated["clap"])
        quality = _relabelled(pcm, rate, int(seconds * BENCH_RATE))
        checks[f"quality_{name}"] = Expect(quality[None], None, stated["quality"])
    return checks


def _relabelled(pcm: np.ndarray, rate: int, length: int) -> np.ndarray:
    """The wave for the audio quality: each sample resampled on its own, then cut."""
    mono = jnp.mean(jnp.asarray(pcm, jnp.float32) / 32_768, 1)
    cut = np.asarray(resample(mono[:, None], rate, BENCH_RATE))[:length, 0]
    return np.pad(cut, (0, length - len(cut)))
