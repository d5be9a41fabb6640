"""Memory is checked before the work, on made-up numbers and on small checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax import generators
from avits_jax.catalogue import generators as known_models
from avits_jax.catalogue import verifiers as known
from avits_jax.catalogue.records import Info
from avits_jax.catalogue.resolve import resolve
from avits_jax.cli import memory
from avits_jax.cli.compiled import Checked
from avits_jax.cli.errors import CliError
from avits_jax.cli.memory import Memory, Need
from avits_jax.weights import checkpoint

NEED = Need(arguments=6_000_000_000, outputs=1_000_000_000, temporaries=4_000_000_000)


@pytest.mark.parametrize(
    "there",
    [Memory(None, True), Memory(11 * 10**9, True), Memory(5 * 10**9, False)],
)
def test_what_fits_is_let_through(there):
    memory.check_program(NEED, there)
    memory.check_program(None, there)


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (
            Memory(10_999_999_999, True),
            "this needs about 11.0 GB of memory (4.0 GB to work in and 1.0 GB for "
            "results, beside 6.0 GB of weights and inputs), and 11.0 GB are available",
        ),
        (Memory(2 * 10**9, False), "this needs about 5.0 GB of memory (4.0 GB to work"),
    ],
)
def test_what_does_not_fit_is_refused(there, message):
    with pytest.raises(CliError) as caught:
        memory.check_program(NEED, there)
    assert str(caught.value).startswith(message)
    for setting in ("--candidate-batch", "--num-candidates", "--resolution"):
        assert setting in str(caught.value)


def test_need_of_a_program_follows_its_sizes():
    compiled = jax.jit(lambda x: (x @ x.T, x.sum())).lower(jnp.ones((64, 32))).compile()
    need = memory.need_of(compiled)
    assert need.arguments == 64 * 32 * 4
    assert 64 * 64 * 4 <= need.outputs <= 64 * 64 * 4 + 256


def test_what_is_yet_to_go_to_a_device_is_told_apart(monkeypatch):
    """A text tower's weights wait in the host's memory, those of a search do not."""
    there, waiting = jnp.ones((64, 32)), np.ones((64, 32), np.float32)
    compiled = jax.jit(lambda x, y: x @ y.T).lower(there, waiting).compile()
    assert memory.need_of(compiled, (there, waiting)).absent == 0
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    need = memory.need_of(compiled, (there, waiting))
    assert (need.arguments, need.absent) == (2 * 64 * 32 * 4, 64 * 32 * 4)
    assert memory.need_of(compiled, (there, there)).absent == 0


def test_what_is_yet_to_go_to_a_device_counts():
    need, there = NEED._replace(absent=2 * 10**9), Memory(7 * 10**9 - 1, False)
    memory.check_program(need, there._replace(num_bytes=7 * 10**9))
    with pytest.raises(CliError, match="about 7.0 GB .* beside 2.0 GB of weights"):
        memory.check_program(need, there)
    # Where nothing is left out, all arguments count, once.
    memory.check_program(need, Memory(11 * 10**9, True))


def test_this_machine_has_memory():
    for found in (memory.device_memory(), memory.free_memory()):
        assert found.num_bytes > 10**8 and not found.holds_weights


class Card:
    """A device of 80 GB of which 30 are in use."""

    platform = "gpu"

    def __init__(self, **stats):
        self.stats = stats

    def memory_stats(self):
        """Return what the allocator tells."""
        return self.stats


@pytest.mark.parametrize(
    ("stats", "hosts", "free"),
    [
        ({"bytes_limit": 80, "bytes_in_use": 30}, 1, Memory(50, False)),
        # Several hosts decide alike, by what all of them have.
        ({"bytes_limit": 80, "bytes_in_use": 30}, 2, Memory(80, True)),
        ({"bytes_limit": 80}, 1, Memory(80, True)),
        ({}, 1, Memory(None, True)),
    ],
)
def test_what_is_in_use_is_not_left(monkeypatch, stats, hosts, free):
    monkeypatch.setattr(jax, "local_devices", lambda: [Card(**stats)])
    monkeypatch.setattr(jax, "process_count", lambda: hosts)
    assert memory.free_memory() == free
    # Before weights are read they have all of it.
    assert memory.device_memory() == Memory(stats.get("bytes_limit"), True)


def test_a_program_is_held_against_what_is_left(monkeypatch):
    """Weights that lie on the device already are in use, and count once."""
    weights = jnp.ones((64, 64))
    function = Checked(lambda x: x @ x)
    found = memory.need_of(function.compile(weights))
    needed = found.outputs + found.temporaries

    def left(free):
        card = Card(bytes_limit=10**6, bytes_in_use=10**6 - free)
        monkeypatch.setattr(jax, "local_devices", lambda: [card])
        return function.compile(weights)

    assert left(needed)
    with pytest.raises(CliError, match="this needs about"):
        left(needed - 1)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Two verifiers of one checkpoint of 4000 bytes, and a generator of 8000, named."""
    for name, count in (("judge", 1000), ("toy", 2000)):
        tree = {"kernel": jnp.zeros(count)}
        checkpoint.save(tmp_path / name, tree, {"model": name})

    def info(name, folder):
        return Info(name, name, "", tmp_path / folder)

    judges = [info("red", "judge"), info("green", "judge")]
    monkeypatch.setattr(known_models, "infos", lambda *_: [info("toy", "toy")])
    monkeypatch.setattr(known, "infos", lambda: judges)
    return resolve("toy", ("red", "green"))


@pytest.mark.parametrize(
    ("dtype", "num_bytes", "num_shards"),
    [("float32", 12_000, 1), ("bfloat16", 6000, 1), ("float32", 6000, 2)],
)
def test_weights_are_counted_before_they_are_read(
    weights, monkeypatch, dtype, num_bytes, num_shards
):
    there = Memory(num_bytes, True)
    monkeypatch.setattr(memory, "device_memory", lambda: there)
    memory.check_weights(weights, dtype, num_shards)
    monkeypatch.setattr(memory, "device_memory", lambda: Memory(num_bytes - 1, True))
    with pytest.raises(CliError, match=r"\(toy .*, red 0.000 GB\)") as caught:
        memory.check_weights(weights, dtype, num_shards)
    assert ("--dtype bfloat16 halves them" in str(caught.value)) == (dtype == "float32")


def test_drawn_weights_are_counted_by_their_shapes(monkeypatch, tmp_path):
    def shapes(name, *, families, dtype):
        return None, {"kernel": jax.ShapeDtypeStruct((50_000, 50_000), dtype)}

    toy = Info("toy", "toy", "", tmp_path / "none")
    monkeypatch.setattr(known_models, "infos", lambda *_: [toy])
    monkeypatch.setattr(generators, "shapes", shapes)
    monkeypatch.setattr(memory, "device_memory", lambda: Memory(10**9, True))
    names = resolve("toy", (), random_weights=True)
    with pytest.raises(CliError, match=r"about 10.0 GB of memory \(toy 10.0 GB\)"):
        memory.check_weights(names, "float32")
