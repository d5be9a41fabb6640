"""JavisDiT as a generator: parity, independence of candidates, full size by shapes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import golden_cases

from avits_jax.generators.javisdit import generator as javis
from avits_jax.generators.javisdit import guidance, sizes
from avits_jax.generators.javisdit.generator import JavisDiTConfig
from avits_jax.generators.javisdit.guidance import Latents
from avits_jax.nn.gaussian import Gaussian
from avits_jax.types import Candidates
from tools.parity.javisdit_prior import load_prior, prior_config
from tools.parity.javisdit_transformer import load_transformer, transformer_config
from tools.parity.modules import QUICK, channels_first, channels_last

GOLDEN = golden_cases("javisdit", "sample4_n2")[0].values[0]


@pytest.fixture(scope="module")
def run():
    """The golden's transformer as a generator, with its prompt and priors."""
    inputs, info = GOLDEN.inputs, GOLDEN.info["sampler"]
    config = JavisDiTConfig(transformer=transformer_config(GOLDEN.info["config"]))
    model = load_transformer(GOLDEN)
    params = javis.Networks(
        nnx.to_pure_dict(nnx.split(model)[1]), prior=(), video_vae=(), audio_vae=()
    )
    clip = sizes.clip_sizes(info["height"], info["width"], info["num_frames"])

    @functools.cache
    def denoise(rows: tuple[int, ...], prior_scope: str) -> Latents:
        rows = list(rows)
        made = javis.javisdit(
            config,
            clip,
            num_steps=info["num_sampling_steps"],
            guidance_scale=info["cfg_scale"],
            prior_scope=prior_scope,
            fps=info["fps"],
        )
        # Both samples read the second text, whose mask is full.
        text = jnp.asarray(inputs["y"][1, :1])
        cond = javis.Condition(
            model.prepare_text(guidance.paired_text(model, text)),
            jnp.ones((2, text.shape[1]), bool),
            Gaussian(jnp.zeros(()), jnp.zeros(())),
        )
        priors = model.prepare_priors(
            *guidance.paired_priors(
                model,
                jnp.asarray(inputs["spatial_prior"][rows]),
                jnp.asarray(inputs["temporal_prior"][rows]),
            )
        )
        noise = Latents(
            channels_last(inputs["video_noise"][rows]),
            channels_last(inputs["audio_noise"][rows]),
        )
        candidates = Candidates(noise, javis._rows_last(priors))
        step = jax.jit(made.step, compiler_options=QUICK)
        for i in range(made.num_steps):
            candidates = step(params, None, candidates, i, cond)
        return candidates.latents

    return denoise


def test_a_candidate_does_not_depend_on_its_neighbours(run):
    together = run((0, 1), "candidate")
    alone = run((1,), "candidate")
    for both, one in zip(together, alone, strict=True):
        np.testing.assert_allclose(both[1:], one, atol=2e-4)
    coupled = run((0, 1), "batch")
    assert np.abs(coupled.video - together.video).max() > 0.01


def test_batch_scope_is_the_original(run):
    """Samples are coupled by priors alone: the other one's text does not matter."""
    coupled = run((0, 1), "batch")
    expected = GOLDEN.outputs["video"][1]
    np.testing.assert_allclose(
        channels_first(coupled.video)[1], expected, atol=5e-4, rtol=1e-3
    )


def test_candidates_start_from_their_own_keys_and_priors():
    stib = golden_cases("javisdit", "stib_prior_tiny")[0].values[0]
    config = JavisDiTConfig(
        transformer=transformer_config(GOLDEN.info["config"]),
        prior=prior_config(stib.info["config"]),
    )
    made = javis.javisdit(config, sizes.clip_sizes(16, 16, 17))
    graphs, _ = javis.networks(config)
    params = javis.Networks(
        nnx.to_pure_dict(nnx.split(load_transformer(GOLDEN))[1]),
        nnx.to_pure_dict(nnx.split(load_prior(stib))[1]),
        video_vae=(),
        audio_vae=(),
    )

    def start(params, keys):
        text = jnp.asarray(GOLDEN.inputs["y"][1, 0])
        mask = jnp.ones(len(text), bool)
        ids = jnp.asarray(stib.inputs["ib_tokens"][0])
        cond = javis.make_condition(params, graphs, text, mask, ids)
        return made.init(params, keys, cond)

    keys = jax.random.split(jax.random.key(0), 2)
    run = jax.jit(start, compiler_options=QUICK)
    two, one = run(params, keys), run(params, keys[1:])
    for several, single in zip(jax.tree.leaves(two), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(several[1:], single, atol=1e-5)
    # The first row of a candidate is its own prior, the second the null prior of all.
    spatial = two.extra["video"][0].key
    assert np.abs(spatial[0, 0] - spatial[1, 0]).max() > 0.01
    np.testing.assert_allclose(spatial[0, 1], spatial[1, 1], atol=1e-5)


def test_masked_updates_differ_only_where_frames_enter():
    masks = Latents(jnp.array([[0.0, 0.5, 1.0]]), jnp.array([[1.0, 1.0]]))
    z = Latents(jnp.ones((1, 3, 1, 1, 1)), jnp.ones((1, 2, 1, 1)))
    noise = jax.tree.map(lambda x: 3 * x, z)
    active = guidance.active_frames(masks, 400.0)
    entered = guidance.enter_frames(z, noise, masks, 400.0, 600.0)
    still = jax.tree.map(jnp.zeros_like, z)
    mended = guidance.masked_update(z, entered, still, active, 0.1)
    dropped = guidance.masked_update(z, entered, still, active, 0.1, "reference")
    np.testing.assert_allclose(mended.video[0, :, 0, 0, 0], [1.0, 1.8, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(dropped.video, z.video)


def test_unknown_prior_scope_is_refused():
    clip = sizes.clip_sizes(240, 426, 51)
    with pytest.raises(ValueError, match="'all'.*candidate"):
        javis.javisdit(JavisDiTConfig(), clip, prior_scope="all")


def test_whole_program_fits_together_at_full_size():
    config = JavisDiTConfig()
    graphs, params = javis.networks(config)
    clip = sizes.clip_sizes(*sizes.image_size("240p", "9:16"), sizes.frame_count("4s"))
    made = javis.javisdit(config, clip)

    def program(params, keys, text, mask, ids):
        cond = javis.make_condition(params, graphs, text, mask, ids)
        candidates = made.init(params, keys, cond)
        candidates = made.step(params, keys, candidates, 0, cond)
        return made.decode(params, candidates)

    media = jax.eval_shape(
        program,
        params,
        jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 3)),
        jax.ShapeDtypeStruct((300, 4096), jnp.float32),
        jax.ShapeDtypeStruct((300,), bool),
        jax.ShapeDtypeStruct((77,), jnp.int32),
    )
    assert media.video.shape == (3, 102, 240, 424, 3)
    assert media.audio.shape == (3, 68000)
