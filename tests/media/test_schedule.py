"""Rates for pictures at any times: none lost, none moved far, limits kept."""

import numpy as np
import pytest

from avits_jax.media.schedule import schedule, thinned


def plan(times, declared=(30.0,), end=None, limit=30.0):
    times = np.asarray(times, float)
    return schedule(times, times[-1] + 0.04 if end is None else end, declared, limit)


@pytest.mark.parametrize("fps", [5.0, 23.976, 25.0, 29.97, 30.0, 60.0, 120.0])
def test_constant_rates_stay_though_clocks_count_milliseconds(fps):
    times = np.round(np.arange(240) / fps, 3)
    found = plan(times, (fps, 1000.0), limit=100)
    assert found.constant and found.fps == pytest.approx(fps, 1e-4)
    np.testing.assert_array_equal(found.picks, np.arange(240))


def test_a_wrong_declared_rate_is_not_believed():
    found = plan(np.arange(300) / 29.97)
    assert found.constant and found.fps == pytest.approx(29.97, 1e-4)


def test_close_pairs_are_shown_once_each():
    times = [0.1 * pair + late for pair in range(30) for late in (0, 0.002)]
    found = plan(times)
    assert found.fps == 20 and not found.constant
    np.testing.assert_array_equal(found.picks, np.arange(60))


@pytest.mark.parametrize(
    ("times", "fps"),
    [
        ([0, 0.5, 0.6, 1.9], 10),
        ([0, 0.04, 0.08, 0.6, 0.64], 25),
        ([0, 0.0440625, 0.0640625, 0.0840625], 50),
        ([0, 5, 7.03], 60),
    ],
)
def test_no_picture_is_lost_and_none_is_late(times, fps):
    found = plan(times, (9.2,))
    assert found.fps == fps
    assert sorted(set(found.picks.tolist())) == list(range(len(times)))
    first = [found.picks.tolist().index(index) for index in range(len(times))]
    np.testing.assert_allclose(np.array(first) / fps, times, atol=0.01)


def test_jitter_and_dropped_pictures_leave_the_rate():
    rng = np.random.default_rng(0)
    times = np.arange(300) / 30 + rng.uniform(-0.006, 0.006, 300)
    found = plan(np.delete(times - times[0], [5, 9, 100]))
    assert found.fps == 30 and len(found.picks) == 300
    assert len(set(found.picks.tolist())) == 297


def test_a_burst_cannot_raise_the_rate_for_all():
    times = [*np.arange(50) / 25, *(2 + np.arange(500) / 1000)]
    found = plan(times, (25.0,))
    assert found.fps == 60 and len(found.picks) < 160
    moments = np.asarray(times)[found.picks]
    np.testing.assert_allclose(moments, np.arange(len(moments)) / 60, atol=0.05)


@pytest.mark.parametrize("end", [1.0, np.inf])
def test_limit(end):
    found = plan(np.arange(4) * 0.1, (10.0,), end, limit=0.7)
    assert len(found.picks) == 7 and found.picks.tolist() == [0, 1, 2, 3, 3, 3, 3]
    assert len(plan([0.0], (25.0,), end, limit=1e-3).picks) == 1


def test_thinning_leaves_24_a_second_and_never_more_than_240():
    found = thinned(plan(np.arange(120) / 120, (120.0,)), 1)
    assert found.fps == 24 and found.picks.tolist() == list(range(0, 120, 5))
    assert thinned(plan(np.arange(120) / 120, (120.0,)), 70).fps == 60
    assert thinned(plan(np.arange(90) / 30), 90).fps == 30
    assert thinned(plan(np.arange(480) / 480, (480.0,)), 1e9).fps == 240
