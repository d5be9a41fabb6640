"""VideoReward: goldens, merged weights, and the network beyond them."""

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import jitted, random_network, with_dtype

from avits_jax.verifiers.video_reward.config import VideoRewardConfig, VisionConfig
from avits_jax.verifiers.video_reward.modeling import VideoReward, patch_angles
from avits_jax.verifiers.video_reward.params import (
    build,
    merge_lora,
    video_reward_rules,
)
from avits_jax.verifiers.video_reward.scores import (
    named_rewards,
    normalise_rewards,
    num_video_tokens,
    score_clips,
)
from avits_jax.weights import name_map as weights

VISION = VisionConfig(depth=1, width=16, num_heads=2)
TINY = VideoRewardConfig(
    vision=VISION,
    vocab_size=20,
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    video_token=16,
    reward_tokens=(17, 18, 19),
)
CASES = [
    *goldens.golden_cases("verifiers", "videoreward"),
    *goldens.golden_cases("verifiers", "manifest_videoreward"),
]


@pytest.mark.parametrize("golden", CASES)
def test_golden(golden):
    goldens.assert_golden(golden)


def lora_state():
    """A linear with its update, and a norm, as PEFT stores them."""
    rng = np.random.default_rng(0)
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    shapes = {
        f"{name}.base_layer.weight": (4, 6),
        f"{name}.base_layer.bias": (4,),
        f"{name}.lora_A.default.weight": (2, 6),
        f"{name}.lora_B.default.weight": (4, 2),
        "base_model.model.model.norm.weight": (6,),
    }
    return {k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()}


def test_updates_are_added_when_read():
    state = lora_state()
    merged = merge_lora(state, scale=2.0)
    plain = "model.layers.0.self_attn.q_proj"
    assert set(merged) == {f"{plain}.weight", f"{plain}.bias", "model.norm.weight"}
    base, down, up = (
        state[f"base_model.model.{plain}.{part}.weight"]
        for part in ("base_layer", "lora_A.default", "lora_B.default")
    )
    weight = merged[f"{plain}.weight"]
    assert weight.shape == (4, 6) and weight.dtype == np.float32
    np.testing.assert_allclose(np.asarray(weight), base + 2 * up @ down, rtol=1e-6)


def test_adapter_layout_gives_the_same():
    state = lora_state()
    prefix = "base_model.model."
    adapter = {k.replace(".default", ""): v for k, v in state.items() if "lora" in k}
    rest = {k: v for k, v in state.items() if "lora" not in k}
    base = {
        k.removeprefix(prefix).replace(".base_layer", ""): v for k, v in rest.items()
    }
    tuned = {f"{prefix}model.norm.weight": base.pop("model.norm.weight")}
    base["model.norm.weight"] = np.zeros(6, np.float32)
    found, want = (
        merge_lora(base, tuned, adapter, scale=2.0),
        merge_lora(state, scale=2),
    )
    assert set(found) == set(want)
    for key, value in want.items():
        np.testing.assert_array_equal(np.asarray(found[key]), np.asarray(value))


@pytest.mark.parametrize("part", ["base_layer", "lora_A.default", "lora_B.default"])
def test_missing_half_is_named(part):
    state = lora_state()
    del state[f"base_model.model.model.layers.0.self_attn.q_proj.{part}.weight"]
    with pytest.raises(ValueError, match="state dict lacks model.layers.0.self_attn"):
        merge_lora(state, scale=2.0)


def test_moved_encoders_are_found():
    state = {"model.visual.x": 1, "model.language_model.y": 2, "model.layers.z": 3}
    assert set(merge_lora(state, scale=1.0)) == {
        "visual.x",
        "model.y",
        "model.layers.z",
    }


def test_tied_output_embedding_stands_in():
    like = {"embed": {"embedding": jax.ShapeDtypeStruct((3, 2), np.float32)}}
    rules = [r for r in video_reward_rules() if r.target == "embed.embedding"]
    table = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = weights.load({"lm_head.weight": table}, like, rules)
    np.testing.assert_array_equal(found["embed"]["embedding"], table)


def test_angles_follow_the_merge_order():
    angles = patch_angles(VisionConfig(width=16, num_heads=2), 4, 4)
    rows, columns = angles[:, 0], angles[:, 2]
    np.testing.assert_array_equal(rows[:8], [0, 0, 1, 1, 0, 0, 1, 1])
    np.testing.assert_array_equal(columns[:8], [0, 1, 0, 1, 2, 3, 2, 3])


def prompt(num_video: int, reward=(17, 18, 19)) -> jax.Array:
    """Ids with the video first, then words between the reward tokens."""
    ids = [1, *[16] * num_video, 2, reward[0], 3, reward[1], 4, reward[2], 5]
    return jnp.array(ids)


@pytest.fixture(scope="module")
def network():
    return random_network(lambda rngs: VideoReward(TINY, rngs=rngs))


def test_reading_is_causal_and_marks_what_is_missing(network):
    graph, params = network
    video = jax.random.normal(jax.random.key(0), (2, 3, 16))
    run = jitted(graph, lambda m, ids, v: m.read(m.hidden(ids, v), ids))
    ids = jnp.stack([prompt(3), prompt(3, reward=(17, 18, 6))])
    rewards = run(params, ids, video)
    np.testing.assert_array_equal(np.isnan(rewards), [[0, 0, 0], [0, 0, 1]])
    # The caption stands after the first two reward tokens, so they cannot see it.
    later = run(params, ids.at[0, 8].set(7), video)
    np.testing.assert_allclose(later[0, :2], rewards[0, :2], rtol=1e-5)
    assert abs(later[0, 2] - rewards[0, 2]) > 1e-4


def test_clips_do_not_depend_on_each_other(network):
    graph, params = network
    clips = jax.random.uniform(jax.random.key(1), (3, 4, 280, 364, 3))
    tokens = num_video_tokens(4, 280, 364, TINY, fps=2.0)
    assert tokens == 2 * 20 * 26 // 4
    ids = prompt(tokens)
    score = jitted(
        graph, lambda m, clips: score_clips(m, clips, ids, fps=2.0, candidate_batch=2)
    )
    raw = score(params, clips)
    assert raw.shape == (3, 3) and np.all(np.isfinite(raw))
    np.testing.assert_allclose(score(params, clips[::-1]), raw[::-1], rtol=1e-4)
    bad = score(params, clips.at[0, 1].set(jnp.nan))
    assert np.all(np.isnan(bad[0]))
    np.testing.assert_allclose(bad[1:], raw[1:], rtol=1e-4)


@pytest.mark.parametrize(
    ("fps", "mode", "want"),
    [(24.0, "its", 270), (24.0, "default", 540), (12.0, "bench", 1080)],
)
def test_video_tokens_of_the_paper_s_clip(fps, mode, want):
    config = VideoRewardConfig()
    assert num_video_tokens(102, 240, 426, config, fps=fps, mode=mode) == want


def test_rewards_by_name():
    raw = jnp.array([[3.6757, 1.1646 + 1.3811, 2.8105 - 2.5121]])
    rewards = named_rewards(raw)
    np.testing.assert_allclose(normalise_rewards(raw), [[0, 1, -1]], atol=1e-6)
    found = {name: float(value[0]) for name, value in rewards.items()}
    want = {"vq": 0, "mq": 1, "ta": -1, "overall": 0}
    want |= {"raw_vq": 3.6757, "raw_mq": 2.5457, "raw_ta": 0.2984}
    assert found == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_full_size_lowers(dtype):
    graph, like = build(VideoRewardConfig())
    patches = jax.ShapeDtypeStruct((1, 2, 18 * 30, 1176), jnp.float32)
    ids = jax.ShapeDtypeStruct((1, 1105), jnp.int32)

    def run(params, patches, ids):
        model = nnx.merge(graph, params)
        hidden = model.hidden(ids, model.vision(patches, 18, 30))
        return hidden, model.read(hidden, ids)

    hidden, raw = jax.eval_shape(run, with_dtype(like, dtype), patches, ids)
    assert hidden.shape == (1, 1105, 1536) and hidden.dtype == dtype
    assert raw.shape == (1, 3) and raw.dtype == jnp.float32
