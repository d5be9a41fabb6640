"""Records and states come back bit for bit."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avits_jax import aggregation
from avits_jax.runs import log, read_records, states
from avits_jax.runs.records import DONE, RECORDS, REFUSED, Record, to_entry


def record(rewards, judged=None, **changes):
    rewards = np.asarray(rewards, np.float32)
    judged = np.zeros((len(rewards), 0)) if judged is None else judged
    fields = {
        "row": 0,
        "prompt": "a red circle",
        "status": DONE,
        "reason": None,
        "best": 0,
        "rewards": rewards,
        "judged": np.asarray(judged, np.float32),
        "sigmas": (0.1, None),
        "nfe": 8,
        "decodes": 2,
        "verifier_calls": 4,
        "state": b"\x00\xff\n",
    }
    return Record(**(fields | changes))


def round_trip(folder, one):
    (folder / RECORDS).unlink(missing_ok=True)
    log.append(folder / RECORDS, to_entry(one), sync=False)
    (read,) = read_records(folder)
    return read


def test_everything_comes_back(tmp_path):
    one = record([[1, 2], [3, np.nan]], [[np.inf], [-np.inf]], prompt='ß\u2028\n"')
    read = round_trip(tmp_path, one)
    for name in Record.__slots__:
        np.testing.assert_array_equal(getattr(read, name), getattr(one, name))
    nothing = record(np.zeros((0, 0)), status=REFUSED, reason="no", best=-1)
    assert round_trip(tmp_path, nothing).rewards.shape == (0, 0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_rewards_keep_their_bits(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("bits")
    rewards = np.asarray([values], np.float32)
    read = round_trip(folder, record(rewards)).rewards
    np.testing.assert_array_equal(read.view(np.uint32), rewards.view(np.uint32))


def test_other_programs_can_read_it(tmp_path):
    log.append(tmp_path / RECORDS, to_entry(record([[0.1, np.nan]])), sync=False)
    (line,) = (tmp_path / RECORDS).read_text().splitlines()
    assert json.loads(line)["rewards"] == [[0.1, None]]


def test_entries_of_another_kind_are_refused(tmp_path):
    log.append(tmp_path / RECORDS, {"row": 1}, sync=False)
    with pytest.raises(ValueError, match="records.jsonl holds no records of a run"):
        list(read_records(tmp_path))


@pytest.mark.parametrize("optimizer", ["closed_form", "adam", "lbfgs"])
def test_states_keep_their_bits(optimizer):
    aggregator = aggregation.arw([0.5, 0.5], optimizer)
    rewards = jax.random.normal(jax.random.key(0), (5, 2))
    fresh = states.on_host(aggregator.init(2))
    state = aggregator.update(jnp.asarray(rewards), fresh)[1]
    data = states.pack(state)
    again = states.unpack(data, fresh)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == np.asarray(b).tobytes()
    with pytest.raises(ValueError, match=f"must be the {len(data)} bytes"):
        states.unpack(data[:-1], fresh)
    names = [leaf["name"] for leaf in states.layout(state)]
    assert names[0] == "log_vars" and list(states.numbers(state)) == names
