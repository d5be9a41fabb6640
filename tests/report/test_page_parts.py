"""What the page is made of: sentences on verifiers, settings in words, kept clips."""

import numpy as np
import pytest

from avits_jax.catalogue.scales import judges_in_words, limits_of
from avits_jax.catalogue.verifiers import OUTPUTS
from avits_jax.report.embedded import candidate_clips, data_uri
from avits_jax.report.run_charts import over_counts
from avits_jax.report.settings import in_words
from avits_jax.runs.results import candidate_clip, first_is_one_sample


def test_every_verifier_of_the_catalogue_is_said_in_a_sentence():
    for name in OUTPUTS:
        sentence = judges_in_words(name)
        assert sentence[0].isupper() and sentence.endswith(".")
        assert "higher is better" in sentence
    assert judges_in_words("mini_tv@elsewhere:its") == judges_in_words("mini_tv")
    assert judges_in_words("someone's own") == ""
    assert limits_of("mini_tv") == (-1, 1)
    assert limits_of("someone's own") == (-np.inf, np.inf)


def test_settings_are_words_and_leave_out_what_was_not_set():
    settings = {
        "num_candidates": 16,
        "prior": None,
        "set": [],
        "keep_candidates": True,
        "weights": [0.5, 0.25],
        "plan": {"chunk": 4},
    }
    assert in_words(settings) == {
        "num candidates": "16",
        "keep candidates": "yes",
        "weights": "0.5, 0.25",
        "plan": "chunk 4",
    }


def test_clips_are_embedded_while_the_budget_lasts(tmp_path):
    for index, size in ((0, 60), (1, 50), (3, 40)):
        path = candidate_clip(tmp_path, index)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(size))
    assert list(candidate_clips(tmp_path, (0, 1, 2, 3), budget=100)) == [0, 3]
    assert list(candidate_clips(tmp_path, (1, 0), budget=10)) == []
    assert data_uri(tmp_path / "absent", "video/mp4") is None


@pytest.mark.parametrize(
    ("search", "is_one"),
    [("best_of_n", True), ("adaptive_best_of_n", True), ("evosearch", False)],
)
def test_the_first_candidate_is_one_sample_where_samples_are_independent(
    search, is_one
):
    assert first_is_one_sample({"search": search}) is is_one


def test_axes_end_where_values_can():
    lines = np.array([[0.50], [0.99]])
    assert over_counts((1, 2), lines, (-1, 1)).high == 1
    assert over_counts((1, 2), lines).high > 1
    # Values that the limits rule out are drawn all the same.
    assert over_counts((1, 2), 2 * lines, (-1, 1)).high > 1.98
