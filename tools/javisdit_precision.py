"""Measure what bfloat16 weights and activations do to JavisDiT on its tiny goldens.

    python tools/javisdit_precision.py [GOLDEN_FOLDER]

Prints, for every output, the largest and the root-mean-square difference from the
original in float32, both over the output's root-mean-square.
"""

import functools
import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402

from avits_jax.generators.javisdit import generator as javis  # noqa: E402
from avits_jax.generators.javisdit import guidance, sizes  # noqa: E402
from avits_jax.generators.javisdit import params as names  # noqa: E402
from avits_jax.generators.javisdit.audio_vae import (  # noqa: E402
    AudioVae,
    AudioVaeConfig,
)
from avits_jax.generators.javisdit.guidance import Latents  # noqa: E402
from avits_jax.generators.javisdit.parts import PARTS  # noqa: E402
from avits_jax.generators.javisdit.video_vae import (  # noqa: E402
    VideoVae,
    VideoVaeConfig,
)
from avits_jax.nn.gaussian import Gaussian  # noqa: E402
from avits_jax.types import Candidates  # noqa: E402
from avits_jax.weights.network import as_dtype  # noqa: E402
from tools.parity import javisdit_transformer as transformer  # noqa: E402
from tools.parity import javisdit_vae as vae  # noqa: E402
from tools.parity.golden import Golden  # noqa: E402
from tools.parity.modules import (  # noqa: E402
    QUICK,
    channels_first,
    channels_last,
    load_module,
)

_jit = functools.partial(jax.jit, compiler_options=QUICK)


FLOAT32 = tuple(name for part in PARTS for name in part.float32)


def _split(model: nnx.Module, dtype: str):
    """Static graph, and weights as `load` holds them at that dtype."""
    graph, state = nnx.split(model)
    weights = nnx.to_pure_dict(state)
    like = as_dtype(jax.eval_shape(lambda: weights), dtype, FLOAT32)
    return graph, jax.tree.map(lambda x, to: jnp.asarray(x, to.dtype), weights, like)


def prediction(golden: Golden, dtype: str) -> dict[str, np.ndarray]:
    """One call of the transformer."""
    inputs = golden.inputs
    graph, params = _split(transformer.load_transformer(golden), dtype)

    def run(params):
        model = nnx.merge(graph, params)
        return model(
            channels_last(inputs["video"]),
            channels_last(inputs["audio"]),
            jnp.asarray(inputs["timestep"]),
            transformer.prepare(model, inputs),
            fps=jnp.asarray(inputs["fps"]),
            height=float(inputs["height"][0]),
            width=float(inputs["width"][0]),
        )[0]

    video, audio = _jit(run)(params)
    return {"video": channels_first(video), "audio": channels_first(audio)}


def trajectory(golden: Golden, dtype: str) -> dict[str, np.ndarray]:
    """A guided run of one candidate through the generator, with its default options."""
    inputs, info = golden.inputs, golden.info["sampler"]
    config = transformer.transformer_config(golden.info["config"])
    made = javis.javisdit(
        javis.PUBLISHED._replace(transformer=config),
        sizes.clip_sizes(info["height"], info["width"], info["num_frames"]),
        num_steps=info["num_sampling_steps"],
        guidance_scale=info["cfg_scale"],
        fps=info["fps"],
    )
    graph, params = _split(transformer.load_transformer(golden), dtype)

    def run(params, noise):
        model = nnx.merge(graph, params)
        text = jnp.asarray(inputs["y"][:, 0])
        cond = javis.Condition(
            model.prepare_text(guidance.paired_text(model, text)),
            jnp.repeat(jnp.asarray(inputs["mask"] != 0), 2, axis=0),
            Gaussian(jnp.zeros(()), jnp.zeros(())),
        )
        drawn = (
            jnp.asarray(inputs[f"{kind}_prior"]) for kind in ("spatial", "temporal")
        )
        priors = model.prepare_priors(*guidance.paired_priors(model, *drawn))
        start = Candidates(noise, javis.by_candidate(priors))
        weights = javis.Networks(params, (), (), ())

        def body(candidates, i):
            return made.step(weights, None, candidates, i, cond), None

        return jax.lax.scan(body, start, jnp.arange(made.num_steps))[0].latents

    noise = (channels_last(inputs[f"{s}_noise"]) for s in Latents._fields)
    latents = _jit(run)(params, Latents(*noise))
    return {name: channels_first(x) for name, x in latents._asdict().items()}


def sound(golden: Golden, dtype: str) -> dict[str, np.ndarray]:
    """Latents to a waveform."""
    config = golden.info["config"]
    sizes_of = AudioVaeConfig(
        vae.kl_config(config["vae"]),
        vae.hifigan_config(config["vocoder"]),
        config["vae"]["scaling_factor"],
    )
    model = load_module(
        golden, lambda rngs: AudioVae(sizes_of, rngs=rngs), names.AUDIO_VAE_RULES
    )
    graph, params = _split(model, dtype)
    z = channels_last(golden.inputs["latents"])
    waveform = _jit(lambda params: nnx.merge(graph, params).decode(z))(params)
    return {"waveform_uncropped": np.asarray(waveform)}


def picture(golden: Golden, dtype: str) -> dict[str, np.ndarray]:
    """Latents to frames."""
    config = golden.info["config"]
    sizes_of = VideoVaeConfig(
        vae.kl_config(config["autoencoder"]),
        vae.temporal_config(config["temporal"]),
        config["wrapper"]["scaling_factor"],
        config["micro_frame_size"],
    )
    model = load_module(
        golden, lambda rngs: VideoVae(sizes_of, rngs=rngs), names.VIDEO_VAE_RULES
    )
    graph, params = _split(model, dtype)
    z = channels_last(golden.inputs["z"])
    frames = int(golden.inputs["num_frames"])
    video = _jit(lambda params: nnx.merge(graph, params).decode(z, frames))(params)
    return {"x": channels_first(video)}


CASES = {
    "vastdit3_tiny": prediction,
    "sample4_n1": trajectory,
    "opensora_vae_tiny": picture,
    "audio_decode_tiny": sound,
}


def main() -> int:
    """Print a line per case, output and dtype."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else _ROOT / "tests/golden/javisdit"
    for name, run in CASES.items():
        golden = Golden(folder, name)
        for dtype in ("float32", "bfloat16"):
            for output, found in run(golden, dtype).items():
                expected = golden.outputs[output]
                off = np.asarray(found, np.float64) - expected
                size = float(np.sqrt(np.mean(np.square(expected))))
                rms = float(np.sqrt(np.mean(np.square(off)))) / size
                print(
                    f"{name:18} {output:19} {dtype:9} "
                    f"largest {np.abs(off).max() / size:.1e}  rms {rms:.1e}"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
