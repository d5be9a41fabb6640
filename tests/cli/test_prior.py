"""What is known of rewards beforehand: to start ARW from, and beside a score."""

import numpy as np
import pytest

import avits_jax as avits
from avits_jax.cli.aggregators import choose_aggregator
from avits_jax.cli.errors import CliError
from avits_jax.cli.options import GenerateOptions
from avits_jax.cli.table import print_rewards


def options(**changes):
    return GenerateOptions(prompt="a red circle bounces once with a bell", **changes)


def test_arw_starts_from_the_catalogue():
    chosen = choose_aggregator(options(prior="catalogue"))
    mean, std = avits.verifiers.priors(["mini_tv", "mini_ta", "mini_av"])
    assert chosen.parameters["prior_mean"] == mean
    state = chosen.aggregator.init(3)
    np.testing.assert_allclose(avits.sigmas(state), std, rtol=1e-4)
    plain = choose_aggregator(options()).aggregator.init(3)
    assert not np.allclose(avits.sigmas(plain), std)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": "catalog"}, "unknown prior 'catalog' .*; did you mean 'catalogue'"),
        (
            {"prior": "catalogue", "prior_mean": (1.0,), "prior_std": (1.0,)},
            "--prior is instead of --prior-mean and --prior-std",
        ),
        (
            {"prior": "catalogue", "verifiers": ("mini_tv", "av_align")},
            "--prior catalogue: no mean and deviation are known of .* av_align",
        ),
        (
            {"prior": "catalogue", "aggregator": "rank"},
            "--prior is for .* arw",
        ),
    ],
)
def test_a_prior_that_cannot_be_is_refused(changes, message):
    with pytest.raises(CliError, match=message):
        choose_aggregator(options(**changes))


def test_a_score_stands_beside_its_scale(capsys):
    print_rewards({"mini_tv": 0.5, "av_align": None, "mini_av": -2.0, "unheard": 1.0})
    found, failed, bounded, unknown = capsys.readouterr().out.splitlines()[3:7]
    assert found.split() == ["mini_tv", "0.500", "-1", "to", "1", "0.26", "±", "0.24"]
    assert failed.split() == ["av_align", "failed", "at", "least", "0", "-"]
    assert bounded.split()[2:5] == ["at", "most", "0"]
    assert unknown.split() == ["unheard", "1.000"]
