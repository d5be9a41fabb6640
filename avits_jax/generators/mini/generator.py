"""Mini as a `Generator`: sampling with guidance, decoding to pixels and samples."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int

from avits_jax.generators.mini.config import MiniConfig
from avits_jax.generators.mini.modeling import (
    HOP,
    LEVEL_FEATURES,
    N_FFT,
    NUM_BINS,
    NUM_TOKENS,
    expand,
)
from avits_jax.generators.mini.parts import build
from avits_jax.generators.mini.sharding import RULES
from avits_jax.mini_world import world
from avits_jax.mini_world.grammar import tokenize
from avits_jax.nn.audio import griffin_lim
from avits_jax.sampling import (
    Blocks,
    Guidance,
    combine,
    euler,
    noise_like,
    repeat_rows,
    shared_branches,
    shares_branches,
    shifted_sigmas,
    split_branches,
    usual_drafts,
)
from avits_jax.types import Candidates, Generator, Keys, Media, PyTree

PHASE_ITERATIONS = 24


def mini(
    config: MiniConfig | None = None,
    *,
    num_steps: int = 24,
    guidance_scale: float = 1.2,
    shift: float = 1.0,
) -> Generator:
    """Build the mini generator.

    Its training captions named a wrong colour, shape or sound one time in five each,
    and a wrong number of impacts one time in eleven, as captions of web data do: one
    sample rarely shows all of its prompt, which is what search is for.

    Latents are ``{"video": [N, 16, 32], "audio": [N, 16, 24]}``; the condition is the
    word ids ``[24]`` of one prompt. Clips are 16 frames of 32x32 at 8 fps with 2 s of
    sound at 16 kHz. Its drafts are those of `sampling.usual_drafts`; without guidance
    the first of them.

    Args:
        config: sizes of the networks; those of the shipped weights by default.
        num_steps: denoising steps, at least 1.
        guidance_scale: classifier-free guidance; 1 turns it off and halves the cost.
        shift: warp of the noise levels, see `sampling.shift_sigmas`.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> generator, params = avits.generators.load("mini")
        >>> cond = generator.encode("a red circle bounces twice with a drum")
    """
    if not (np.isfinite(guidance_scale) and guidance_scale >= 0):
        raise ValueError(f"guidance_scale must be at least 0, got {guidance_scale}")
    config = config or MiniConfig()
    sigmas = shifted_sigmas(num_steps, shift)
    graphs, _ = build(config)

    def network(params: PyTree, name: str) -> Any:
        return nnx.merge(graphs[name], params[name])

    levels = np.asarray(sigmas, np.float32)
    branches = 1 if guidance_scale == 1 else 2

    def init(params: PyTree, keys: Keys, cond: Int[Array, " L"]) -> Candidates:
        shapes = {"video": config.video_latent, "audio": config.audio_latent}
        blank = {
            name: jnp.zeros((len(keys), NUM_TOKENS, size))
            for name, size in shapes.items()
        }
        return Candidates(noise_like(keys, blank))

    def rows(
        params: PyTree,
        candidates: Candidates,
        i: Array | int,
        cond: Int[Array, " L"],
        num_branches: int,
        added: PyTree | None = None,
    ) -> tuple[tuple[PyTree, ...], PyTree]:
        """Return clean latents with the prompt, and without it if there are two.

        And what the blocks added to all rows, or are said to have.
        """
        found, added = _clean(
            network(params, "transformer"),
            repeat_rows(candidates.latents, num_branches),
            jnp.asarray(levels)[i],
            jnp.stack([cond, jnp.zeros_like(cond)])[:num_branches],
            added,
        )
        return split_branches(found, num_branches), added

    def shared(
        params: PyTree, candidates: Candidates, i: Array | int, cond: Int[Array, " L"]
    ) -> tuple[PyTree, ...]:
        """Return what `rows` does on devices that make one branch each."""

        def one(branch: Array) -> PyTree:
            words = jnp.where(branch == 0, cond, jnp.zeros_like(cond))
            model, level = network(params, "transformer"), jnp.asarray(levels)[i]
            return _clean(model, candidates.latents, level, words[None], None)[0]

        return split_branches(shared_branches(one), branches)

    def guided(found: tuple[PyTree, ...]) -> PyTree:
        conditional, *others = found
        return combine(conditional, others, (guidance_scale - 1,) * len(others))

    def both(
        params: PyTree, candidates: Candidates, i: Array | int, cond: Int[Array, " L"]
    ) -> tuple[PyTree, PyTree]:
        found, _ = rows(params, candidates, i, cond, branches)
        return found[0], guided(found)

    def conditional_alone(
        params: PyTree, candidates: Candidates, i: Array | int, cond: Int[Array, " L"]
    ) -> PyTree:
        return rows(params, candidates, i, cond, 1)[0][0]

    def reusing(
        params: PyTree,
        candidates: Candidates,
        i: Array | int,
        cond: Int[Array, " L"],
        added: PyTree | None,
    ) -> tuple[PyTree, PyTree]:
        found, added = rows(params, candidates, i, cond, branches, added)
        return guided(found), added

    def predict(
        params: PyTree, candidates: Candidates, i: Array | int, cond: Int[Array, " L"]
    ) -> PyTree:
        if branches > 1 and shares_branches(branches):
            return guided(shared(params, candidates, i, cond))
        return reusing(params, candidates, i, cond, None)[0]

    def decode(params: PyTree, candidates: Candidates) -> Media:
        stats, latents = params["stats"], candidates.latents
        codes = {
            name: latents[name] * stats[f"{name}_std"] + stats[f"{name}_mean"]
            for name in ("video", "audio")
        }
        flat = codes["video"].reshape(-1, config.video_latent)
        frames = network(params, "video_autoencoder").decode(flat)
        video = frames.reshape(-1, NUM_TOKENS, *frames.shape[1:])
        spectrum = network(params, "audio_autoencoder").decode(codes["audio"])
        return Media(jnp.clip(video, 0, 1), _sound(expand(spectrum)))

    generator = Generator(
        init=init,
        step=euler(predict, sigmas),
        decode=decode,
        predict=predict,
        sigmas=sigmas,
        nfe_per_step=branches,
        fps=world.FPS,
        sample_rate=world.SAMPLE_RATE,
        encode=tokenize,
        rules=RULES,
        flops_per_evaluation=evaluation_flops(config),
    )
    guidance = None if branches == 1 else Guidance(both, conditional_alone)
    blocks = Blocks(reusing, flops_outside_blocks(config))
    return generator._replace(drafts=usual_drafts(generator, guidance, blocks))


def evaluation_flops(config: MiniConfig) -> float:
    """Return the operations of one evaluation of one candidate, in matrix products.

    Its text is left out: it is read once a step for all candidates.
    """
    width, tokens = config.width, 2 * NUM_TOKENS
    attention = 4 * width**2 + 2 * tokens * width
    condition = (config.text_width + LEVEL_FEATURES + width + 6 * width) * width
    blocks = config.depth * tokens * (attention + 8 * width**2) + condition
    return 2.0 * blocks + flops_outside_blocks(config)


def flops_outside_blocks(config: MiniConfig) -> float:
    """Return the operations that `evaluation_flops` leaves without the blocks."""
    latents = NUM_TOKENS * (config.video_latent + config.audio_latent)
    return 2.0 * 2 * latents * config.width  # into tokens, and back


def _clean(
    model,
    latents: PyTree,
    sigma: Array,
    words: Int[Array, "P L"],
    added: PyTree | None,
) -> tuple[PyTree, PyTree]:
    """Return clean latents, and what the blocks added or are said to have.

    The P prompts serve the rows in turn.
    """
    rows = len(latents["video"])
    text = jnp.tile(model.encode_text(words), (rows // len(words), 1))
    levels = jnp.broadcast_to(sigma, (rows,))
    (video, audio), added = model(
        latents["video"], latents["audio"], levels, text, added
    )
    return {"video": video, "audio": audio}, added


def _sound(magnitude: Array) -> Array:
    """Return a waveform of STFT magnitudes; all clips have the same first phase."""
    shape = (NUM_TOKENS * 8, NUM_BINS)
    phase = jax.random.uniform(jax.random.key(0), shape, maxval=2 * jnp.pi)
    audio = griffin_lim(
        magnitude, phase, N_FFT, HOP, world.NUM_SAMPLES, PHASE_ITERATIONS
    )
    return jnp.clip(audio, -1.0, 1.0)
