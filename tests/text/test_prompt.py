"""Parting the text tower from the rest of the weights."""

import jax.numpy as jnp

from avits_jax.text.prompt import precompute_text, split_text
from avits_jax.types import Generator

TOWER = Generator(
    *[lambda *args: None] * 4,
    sigmas=(1.0, 0.0),
    text=lambda params, cond: cond | {"text": params["scale"] * cond["text"]},
    text_part="tower",
)
PARAMS = {"tower": {"scale": jnp.float32(3)}, "network": jnp.float32(2)}


def test_weights_in_a_mapping_are_parted():
    tower, rest = split_text(TOWER, PARAMS)
    assert tower is PARAMS["tower"]
    assert rest == {"tower": (), "network": PARAMS["network"]}


def test_states_take_the_place_of_ids():
    rest, cond = precompute_text(TOWER, PARAMS, {"text": jnp.arange(2.0), "mask": 1})
    assert rest["tower"] == ()
    assert cond["text"].tolist() == [0.0, 3.0] and cond["mask"] == 1


def test_without_a_tower_all_stays_as_it_is():
    plain = TOWER._replace(text=None, text_part="")
    assert split_text(plain, PARAMS) == ((), PARAMS)
    assert precompute_text(plain, PARAMS, "cond") == (PARAMS, "cond")
