"""What the command line lays over eight devices; test_eight_devices.py runs it."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest

from avits_jax import runs
from avits_jax.cli.devices import ONE_MACHINE, choose_devices, idle_notices
from avits_jax.cli.options import MeshOptions
from avits_jax.parallel import place_params, sharing
from avits_jax.parallel.hlo import collectives
from avits_jax.search import best_of_n

sys.path.append(str(Path(__file__).parent))
import on_eight_devices as toys  # noqa: E402

IDLE = "{} of 8 devices have nothing to do: fewer candidates ({}) than devices"
SHARED = "; --share-guidance puts two to each candidate's step"
WHOLE, BLOCK = (toys.DEPTH, 3, 16), (3, 16)


class Seen(runs.Compiled):
    """A compiled function whose program's text is kept."""

    texts: list[str] = []

    def compile(self, *arguments):
        """Compile the function for such arguments."""
        made = self._jitted.lower(*arguments).compile(toys.AS_WRITTEN)
        self.texts.append(made.as_text())
        return made


def searched(toy, devices, num_candidates):
    """What a run finds for a prompt."""
    work = runs.make_work(
        functools.partial(best_of_n, num_candidates=num_candidates),
        toy.params,
        toys.KEY,
        generator=toy.generator._replace(encode=lambda _: toy.cond.generator),
        verifiers=toy.verifiers,
        aggregator=toys.AGGREGATOR,
        devices=devices,
    )
    return work.search(0, toy.cond, work.state)


@pytest.mark.parametrize(
    ("memory", "num_candidates", "shape", "times"),
    [
        (None, 8, WHOLE, 1),
        (None, 3, WHOLE, 1),  # most devices have none
        (1.0, 8, BLOCK, toys.STEPS * toys.DEPTH),
        (1.0, 5, BLOCK, toys.STEPS * toys.DEPTH),
    ],
)
def test_weights_that_devices_share_are_gathered(
    toy_extra, monkeypatch, memory, num_candidates, shape, times
):
    """Once where they fit, block by block where they do not: no activation crosses."""
    toy = toys.with_layers(toy_extra)
    toy = toy._replace(
        generator=toy.generator._replace(rules=toys.RULES.generator, prepare=None)
    )
    machine = choose_devices(MeshOptions(devices=8, share_weights=4))
    monkeypatch.setattr(sharing, "device_memory", lambda mesh: memory)
    # As the command line reads them, each device its part.
    split = place_params(toy.params, machine.mesh, toys.RULES)
    up = split.generator["layers"]["up"]["kernel"]
    assert up.addressable_shards[0].data.shape == (toys.DEPTH, 3, 4)
    texts: list[str] = []
    monkeypatch.setattr(Seen, "texts", texts)
    found = searched(
        toy._replace(params=split),
        machine.devices._replace(compiled=Seen),
        num_candidates,
    )
    (text,) = texts
    gathered = [each for each in collectives(text) if each.kind != "all-reduce"]
    layers = [
        each.times
        for each in gathered
        for _, sizes in each.shapes
        if tuple(sorted(sizes)) == shape  # XLA may turn them
    ]
    assert layers == [times] * 2, gathered
    assert all(each.bytes <= 4 * np.prod(shape) for each in gathered), gathered
    toys.assert_same(
        found.output, searched(toy, runs.ONE_DEVICE, num_candidates).output
    )


@pytest.mark.parametrize(
    ("flags", "population", "abilities", "notices"),
    [
        ({}, 8, {"share_guidance"}, []),
        ({}, 7, (), [IDLE.format(1, 7)]),
        ({"share_weights": 2}, 3, {"share_guidance"}, [IDLE.format(5, 3) + SHARED]),
        ({"share_guidance": True}, 3, {"share_guidance"}, []),
    ],
)
def test_idle_devices_are_told(flags, population, abilities, notices):
    machine = choose_devices(MeshOptions(devices=8, **flags))
    for told, expected in (machine, notices), (ONE_MACHINE, []):
        assert idle_notices(told, population, lambda: abilities) == expected
