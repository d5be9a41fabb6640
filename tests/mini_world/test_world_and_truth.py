"""The analysers are right on rendered clips, and fooled by nothing simple."""

import functools

import jax
import numpy as np
import pytest

from avits_jax.mini_world import world
from avits_jax.mini_world.grammar import Attributes
from avits_jax.mini_world.truth import judge, measure

NUM_CLIPS = 200


@functools.cache
def rendered():
    """Scenes, clips and true impact times of a fixed seed."""

    @jax.jit
    @jax.vmap
    def draw(key):
        scene = world.sample_scene(key)
        media = world.render(jax.random.fold_in(key, 1), scene)
        return scene, media, world.impact_times(scene)

    keys = jax.random.split(jax.random.key(5), NUM_CLIPS)
    return jax.tree.map(np.asarray, draw(keys))


def asked(scenes, i: int) -> Attributes:
    fields = (scenes.color, scenes.shape, scenes.impacts, scenes.sound)
    return Attributes(*(int(field[i]) for field in fields))


def test_analysers_are_right_on_rendered_clips():
    scenes, media, _ = rendered()
    verdicts = [
        judge(measure(media.video[i], media.audio[i]), asked(scenes, i))
        for i in range(NUM_CLIPS)
    ]
    right = np.mean([verdict.right for verdict in verdicts])
    assert right >= 0.98, np.mean(verdicts, axis=0)


def test_impact_times_are_measured_to_a_few_milliseconds():
    scenes, media, times = rendered()
    for i in range(40):
        found = measure(media.video[i], media.audio[i])
        truth = times[i][: scenes.impacts[i]]
        np.testing.assert_allclose(found.seen, truth, atol=0.03)
        np.testing.assert_allclose(found.heard, truth, atol=0.02)


def test_a_wrong_attribute_is_noticed():
    scenes, media, _ = rendered()
    right = asked(scenes, 0)
    found = measure(media.video[0], media.audio[0])
    for field, size in (("color", 5), ("shape", 3), ("impacts", 4), ("sound", 4)):
        other = (getattr(right, field) + 1) % size
        verdict = judge(found, right._replace(**{field: other}))
        assert not getattr(verdict, field)
        assert sum(verdict) == 4


@pytest.mark.parametrize("late", [0.05, 0.3])
def test_lag_is_measured(late):
    scenes, media, _ = rendered()
    i = int(np.argmin(np.where(scenes.impacts == 1, scenes.first, np.inf)))
    shift = int(late * world.SAMPLE_RATE)
    audio = np.concatenate([np.zeros(shift), media.audio[i][:-shift]])
    found = measure(media.video[i], audio)
    assert found.lag == pytest.approx(late, abs=0.03)
    assert judge(found, asked(scenes, i)).lag == (late <= 0.125)


def test_noise_does_not_disturb_the_analysers():
    scenes, media, _ = rendered()
    rng = np.random.default_rng(0)
    right = 0
    for i in range(40):
        video = media.video[i] + 0.03 * rng.normal(size=media.video[i].shape)
        audio = media.audio[i] + 0.003 * rng.normal(size=media.audio[i].shape)
        right += judge(measure(video, audio), asked(scenes, i)).right
    assert right >= 38


def test_empty_clip_measures_nothing():
    found = measure(np.zeros((16, 32, 32, 3)), np.zeros(world.NUM_SAMPLES))
    assert found.color == found.shape == found.sound == -1
    assert found.seen == found.heard == () and np.isinf(found.lag)


def test_render_is_within_range():
    _, media, _ = rendered()
    assert media.video.shape == (NUM_CLIPS, 16, 32, 32, 3)
    assert media.video.min() >= 0 and media.video.max() <= 1
    assert np.abs(media.audio).max() <= 1
    assert np.abs(media.audio).max(1).min() > 0.2
