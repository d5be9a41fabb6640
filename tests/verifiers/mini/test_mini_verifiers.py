"""Mini's verifiers on rendered clips: their scales, what they tell, what fools one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avits_jax as avits
from avits_jax.files.resources import data_folder
from avits_jax.mini_world import grammar, world
from avits_jax.verifiers.mini.parts import GUIDES, JUDGES

NUM = 24


@pytest.fixture(scope="module")
def rendered():
    """Scenes that no training saw, and their clips."""

    @jax.jit
    @jax.vmap
    def draw(key):
        scene = world.sample_scene(key)
        return scene, world.render(jax.random.fold_in(key, 1), scene)

    return draw(jax.random.split(jax.random.key(77), NUM))


@pytest.fixture(scope="module")
def loaded():
    names = (*GUIDES, *JUDGES)
    return dict(zip(names, zip(*avits.verifiers.load(names), strict=True), strict=True))


def prompt_of(scenes, i, **changes):
    fields = scenes.color, scenes.shape, scenes.impacts, scenes.sound
    asked = grammar.Attributes(*(int(field[i]) for field in fields))
    return grammar.paraphrase(asked._replace(**changes), np.random.default_rng(i))


def scores(loaded, name, media, prompts=None):
    """Reward of clip i under prompt i."""
    verifier, params = loaded[name]
    if prompts is None:
        return np.asarray(jax.jit(verifier.score)(params, media, ()))
    words = jnp.stack([verifier.encode(prompt) for prompt in prompts])
    each = jax.vmap(verifier.score, in_axes=(None, 0, 0))
    clips = jax.tree.map(lambda leaf: leaf[:, None], media)
    return np.asarray(jax.jit(each)(params, clips, words))[:, 0]


@pytest.mark.parametrize("name", ["mini_tv", "mini_tv_judge"])
def test_frames_match_their_words(loaded, rendered, name):
    scenes, media = rendered
    found = scores(loaded, name, media, [prompt_of(scenes, i) for i in range(NUM)])
    wrong = [
        prompt_of(scenes, i, color=(int(scenes.color[i]) + 1) % 5) for i in range(NUM)
    ]
    assert (found > scores(loaded, name, media, wrong)).mean() > 0.9
    assert (np.abs(found) <= 1).all() and found.mean() > 0.2  # a cosine


@pytest.mark.parametrize("name", ["mini_ta", "mini_ta_judge"])
def test_sound_matches_its_words(loaded, rendered, name):
    scenes, media = rendered
    found = scores(loaded, name, media, [prompt_of(scenes, i) for i in range(NUM)])
    wrong = [
        prompt_of(scenes, i, sound=(int(scenes.sound[i]) + 1) % 4) for i in range(NUM)
    ]
    others = scores(loaded, name, media, wrong)
    assert (found > others).mean() > 0.9
    assert np.median(found) > 0 > np.median(others)  # log-odds


@pytest.mark.parametrize("name", ["mini_av", "mini_av_judge"])
def test_late_sound_is_noticed(loaded, rendered, name):
    _, media = rendered
    late = jnp.pad(media.audio, ((0, 0), (4_000, 0)))[:, : world.NUM_SAMPLES]
    found = scores(loaded, name, media)
    assert (found > scores(loaded, name, media._replace(audio=late))).mean() > 0.9
    assert (found <= 0).all()  # a log-probability


@pytest.mark.parametrize("name", ["mini_quality", "mini_quality_judge"])
def test_opinions_like_clean_clips_and_calm_ones(loaded, rendered, name):
    _, media = rendered
    noise = 0.15 * jax.random.normal(jax.random.key(1), media.video.shape)
    noisy = media._replace(video=jnp.clip(media.video + noise, 0, 1))
    still = media.video.at[:, 4:].set(media.video[:, 4:5])
    calm = media._replace(video=still, audio=media.audio.at[:, 8_000:].set(0))
    found = scores(loaded, name, media)
    assert (found > scores(loaded, name, noisy)).mean() > 0.9
    assert (found < scores(loaded, name, calm)).mean() > 0.75  # how it is hacked
    assert ((found >= 1) & (found <= 5)).all()


def test_judges_are_networks_of_their_own(loaded):
    for name in GUIDES:
        guide, judge = (
            sum(leaf.size for leaf in jax.tree.leaves(loaded[each][1]))
            for each in (name, f"{name}_judge")
        )
        assert judge < 0.75 * guide


def test_all_of_mini_is_small():
    folder = data_folder("checkpoints") / "mini"
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert sum(sizes) < 15e6
