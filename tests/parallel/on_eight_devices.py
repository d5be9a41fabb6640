"""Searches on a mesh of eight devices; test_eight_devices.py runs this file."""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import avits_jax as avits
from avits_jax import runs
from avits_jax.aggregation import arw
from avits_jax.catalogue.generators import FAMILIES, SHARE
from avits_jax.parallel import (
    jit_search,
    make_mesh,
    place,
    place_params,
    replicate,
    shard_search,
    to_host,
)
from avits_jax.parallel.edge import Edge, spread_generator
from avits_jax.parallel.flops import count_flops
from avits_jax.parallel.hlo import collectives
from avits_jax.parallel.search import POPULATION
from avits_jax.search import (
    BeamOptions,
    SMCOptions,
    adaptive_best_of_n,
    beam_search,
    best_of_n,
    draft_best_of_n,
    evosearch,
    pruned_best_of_n,
    smc,
    zero_order,
)
from avits_jax.types import Params, SharedPass, Verifier
from avits_jax.verifiers.stack import from_pass
from avits_jax.weights import checkpoint
from avits_jax.weights.model import Model, Part, read_parts
from avits_jax.weights.network import Weights

sys.path.append(str(Path(__file__).parents[1] / "generators"))
import staged_family  # noqa: E402

KEY = jax.random.key(3)
AGGREGATOR = arw([0.7, 0.3])
STATE = AGGREGATOR.init(2)


def settings_of(toy, **settings):
    return settings | {
        "generator": toy.generator,
        "verifiers": toy.verifiers,
        "aggregator": AGGREGATOR,
    }


def on_one_device(toy, search, **settings):
    whole = jax.jit(functools.partial(search, **settings_of(toy, **settings)))
    return whole(toy.params, KEY, toy.cond, STATE)


def compiled_text(toy, mesh, search, **settings):
    """The optimised program."""
    run, params = jit_search(search, toy.params, mesh, **settings_of(toy, **settings))
    return run.trace(params, KEY, toy.cond, STATE).lower().compile().as_text()


def assert_same(actual, wanted):
    assert jax.tree.structure(actual) == jax.tree.structure(wanted)
    assert actual.best_index == wanted.best_index >= 0
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6),
        actual,
        wanted,
    )


@pytest.mark.parametrize(
    ("model", "num_devices", "num_candidates", "batch"),
    [(1, 8, 16, None), (4, 8, 13, None), (2, 6, 3, None), (1, 8, 21, 8)],
)
def test_best_of_n_is_that_of_one_device(
    toy_extra, model, num_devices, num_candidates, batch
):
    settings = {
        "num_candidates": num_candidates,
        "candidate_batch": batch,
        "keep_latents": True,
    }
    mesh = make_mesh(model=model, num_devices=num_devices)
    run, params = jit_search(
        best_of_n, toy_extra.params, mesh, **settings_of(toy_extra, **settings)
    )
    output = run(params, KEY, toy_extra.cond, STATE)
    even = num_candidates % num_devices == 0
    assert output.latents.latents["video"].sharding.is_fully_replicated != even
    assert output.best.video.sharding.is_fully_replicated
    assert_same(to_host(output), on_one_device(toy_extra, best_of_n, **settings))


OTHERS = {
    "adaptive_best_of_n": (
        adaptive_best_of_n,
        {"num_candidates": 32, "chunk": 8, "tolerance": 0.3},
    ),
    "evosearch": (evosearch, {"schedule": (0, 3), "population_sizes": (8, 5, 9)}),
    "smc": (
        smc,
        {
            "num_candidates": 16,
            "resample_steps": (1, 4),
            "options": SMCOptions(strength=3.0),
        },
    ),
    "beam_search": (
        beam_search,
        {
            "num_beams": 3,
            "num_children": 3,
            "options": BeamOptions(branch_steps=(2,)),
        },
    ),
    "zero_order": (zero_order, {"num_candidates": 8, "num_iterations": 2}),
    "pruned_best_of_n": (
        pruned_best_of_n,
        {"num_candidates": 16, "rungs": ((1, 7), (3, 2))},
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_searches_are_those_of_one_device_and_move_no_clip(toy_extra, name):
    search, settings = OTHERS[name]
    assert_same_and_no_clip_moves(toy_extra, search, **settings)


def test_drafts_are_spread_as_well(toy_extra, build_toy):
    rows, cheap = [], build_toy(3, with_extra=True).generator

    def step(params, keys, candidates, i, cond):
        rows.append(len(keys))
        return cheap.step(params, keys, candidates, i, cond)

    draft = cheap._replace(step=step)
    sizes = {"num_candidates": 16, "num_kept": 8}
    assert_same_and_no_clip_moves(toy_extra, draft_best_of_n, draft=draft, **sizes)
    # Two on each of eight devices; then all of them on one.
    assert set(rows) == {2, 16}


def test_a_second_stage_is_that_of_one_device():
    """As a run lays it out; each half of the mesh's weights is split over two."""
    rules = ((r"painter/kernel", 0),)
    configs = {part.name: part.config for part in staged_family.MODEL.parts}
    small = staged_family.make(configs, None, staged_family.Options(half_size=True))
    second = staged_family.make_refiner(configs, None, staged_family.Options())
    second = second._replace(generator=second.generator._replace(rules=rules))
    red = Verifier("red", lambda p, media, c: media.video[..., 0].mean((1, 2, 3)))
    params = Params({"painter": {"kernel": jnp.zeros((4, 3))}}, ((),))
    parts = {"verifiers": [red], "aggregator": arw([1.0])}
    mesh = make_mesh(model=2)
    laid = runs.Devices(
        bind=functools.partial(shard_search, mesh=mesh),
        place=functools.partial(place_params, mesh=mesh),
        share=functools.partial(replicate, mesh=mesh),
        fetch=to_host,
    )
    search = functools.partial(best_of_n, num_candidates=8, keep_latents=True)
    found = []
    for devices in (runs.ONE_DEVICE, laid):
        work = runs.make_work(
            search,
            params,
            KEY,
            generator=small._replace(rules=rules),
            devices=devices,
            **parts,
        )
        work = runs.refined_work(
            work,
            runs.Refinement(second, params.generator, 3),
            params.verifiers,
            KEY,
            devices=devices,
            **parts,
        )
        found.append(work.search(0, work.encode("a toy"), work.state))
    one, many = found
    assert_same(many.output, one.output)
    np.testing.assert_allclose(
        many.refined.output.rewards, one.refined.output.rewards, 1e-5
    )
    np.testing.assert_array_equal(many.refined.output.kept, one.refined.output.kept)


def test_a_verifier_that_only_watches_does_so_on_a_mesh(toy_extra):
    watcher = toy_extra.verifiers[0]._replace(guides=False)
    toy = toy_extra._replace(
        verifiers=(*toy_extra.verifiers, watcher),
        params=Params(
            toy_extra.params.generator,
            (*toy_extra.params.verifiers, 2 * toy_extra.params.verifiers[0]),
        ),
        cond=toy_extra.cond._replace(
            verifiers=(*toy_extra.cond.verifiers, toy_extra.cond.verifiers[0])
        ),
    )
    output = assert_same_and_no_clip_moves(toy, best_of_n, num_candidates=16)
    np.testing.assert_allclose(output.rewards[:, 2], 2 * output.rewards[:, 0], 1e-5)


def assert_same_and_no_clip_moves(toy, search, **settings):
    mesh = make_mesh(model=2)
    run, params = jit_search(search, toy.params, mesh, **settings_of(toy, **settings))
    arguments = params, *replicate((KEY, toy.cond, STATE), mesh)
    compiled = run.trace(*arguments).lower().compile()
    output = to_host(compiled(*arguments))
    assert_same(output, on_one_device(toy, search, **settings))
    clip = output.best.video.shape
    for each in collectives(compiled.as_text()):
        for _, shape in each.shapes:
            assert shape == clip or shape[-len(clip) :] != clip, each
    return output


@pytest.mark.parametrize("batch", [None, 16])
def test_only_sums_and_the_winner_cross_devices(toy_extra, batch):
    """Neither latents nor media are gathered, and bytes do not grow with N."""
    totals = []
    for num in (32, 96):
        text = compiled_text(
            toy_extra,
            make_mesh(),
            best_of_n,
            num_candidates=num,
            candidate_batch=batch,
        )
        found = collectives(text)
        assert found
        for each in found:
            if each.kind != "all-reduce":
                # The best score of each device, and where it is.
                assert each.kind == "all-gather", each
                assert all(np.prod(shape) == 8 for _, shape in each.shapes), each
        totals.append(sum(each.total_bytes for each in found))
    assert totals[0] == totals[1]


def test_a_plain_index_would_be_caught():
    """What the test above looks for does show in a program that gathers."""
    mesh = make_mesh()
    clips = jax.ShapeDtypeStruct((16, 7), jnp.float32)
    scores = jax.ShapeDtypeStruct((16,), jnp.float32)
    spread = NamedSharding(mesh, PartitionSpec("candidate"))
    whole = jax.jit(
        lambda x, s: jnp.sort(x, axis=0)[jnp.argmax(s)], in_shardings=(spread, spread)
    )
    found = collectives(whole.lower(clips, scores).compile().as_text())
    assert any(shape[0] >= 16 for each in found for _, shape in each.shapes)


def paired(generator):
    """A generator that works on two copies of its candidates, as guidance does."""

    def step(params, keys, candidates, i, cond):
        twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), candidates)
        keys = jnp.concatenate([keys, keys])
        done = generator.step(params, keys, twice, i, cond)
        return jax.tree.map(lambda x: jnp.split(x, 2)[0], done)

    return generator._replace(step=step)


def test_a_verifier_that_returns_the_wrong_shape_is_named(toy):
    wrong = toy.verifiers[1]._replace(score=lambda params, media, cond: jnp.zeros(5))
    with pytest.raises(ValueError, match=r"'sound' must return .* \(2,\), got \(5,\)"):
        jax.eval_shape(
            shard_search(
                best_of_n,
                make_mesh(),
                generator=toy.generator,
                verifiers=(toy.verifiers[0], wrong),
                aggregator=AGGREGATOR,
                num_candidates=16,
            ),
            toy.params,
            KEY,
            toy.cond,
        )


def test_operations_of_every_device_are_counted():
    product = jax.shard_map(
        lambda x, w: x @ w,
        mesh=make_mesh(),
        in_specs=(PartitionSpec("candidate"), PartitionSpec()),
        out_specs=PartitionSpec("candidate"),
    )
    traced = jax.jit(product).trace(jnp.ones((16, 4)), jnp.ones((4, 3)))
    assert count_flops(traced.jaxpr) == 2 * 16 * 4 * 3


def test_guidance_pairs_stay_on_their_device(toy_extra):
    pairs = toy_extra._replace(generator=paired(toy_extra.generator))
    text = compiled_text(pairs, make_mesh(), best_of_n, num_candidates=16)
    scan = [each for each in collectives(text) if "while" in each.scope]
    assert not scan


SHARING = [family.name for family in FAMILIES if SHARE in family.abilities]


@pytest.mark.parametrize("name", [n for n in SHARING if n != "javisdit-v0.1"])
@pytest.mark.parametrize("model", [1, 2])
def test_two_devices_share_the_rows_of_a_candidate(name, model):
    scope = {} if name == "mini" else {"prior_scope": "separate"}
    generator, params = avits.generators.load(name, **scope)
    cond = generator.encode("a red circle bounces twice with a drum")
    if generator.prepare is not None:
        cond = jax.jit(generator.prepare)(params, jax.tree.map(jnp.asarray, cond))
    keys = jax.random.split(KEY, 3)
    start = jax.jit(generator.init)(params, keys, cond)
    arguments = params, keys, start, 1, cond
    alone = jax.jit(generator.step).lower(*arguments).compile()
    mesh = make_mesh(branch=2, model=model, num_devices=2 * model)
    spread = spread_generator(generator, Edge(mesh, POPULATION))
    shared = jax.jit(spread.step).lower(*replicate(arguments, mesh)).compile()
    for one, two in zip(
        jax.tree.leaves(alone(*arguments)),
        jax.tree.leaves(shared(*replicate(arguments, mesh))),
        strict=True,
    ):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-4)
    # Of three candidates, or of two where they are spread as well, half the rows.
    counted = [each.cost_analysis()["flops"] for each in (shared, alone)]
    assert counted[0] / counted[1] < (0.62 if model == 1 else 0.45)


def with_layers(toy, depth=3):
    """The toy with stacked layers that a model axis can split, scanned in a map."""
    generator, weights = toy.generator, toy.params.generator
    rng = np.random.default_rng(0)
    up = jnp.asarray(rng.normal(size=(depth, 3, 16)), jnp.float32)

    @jax.jit
    def mixed(params, row):
        def layer(x, one):
            return jnp.tanh(x @ one["up"]["kernel"]) @ one["down"]["kernel"], None

        return jax.lax.scan(layer, row, params["layers"])[0] @ params["last"]["kernel"]

    def step(params, keys, candidates, i, cond):
        video = candidates.latents["video"]
        again = jax.lax.map(lambda row: mixed(params, row), video)
        latents = candidates.latents | {"video": video + 0.1 * again}
        return generator.step(
            params, keys, candidates._replace(latents=latents), i, cond
        )

    layers = {"up": {"kernel": up}, "down": {"kernel": jnp.swapaxes(up, 1, 2)}}
    last = {"kernel": jnp.eye(3, 4)[:, :3]}
    # For the text alone, no step reads it; an unprepared prompt is another one.
    wide = {"kernel": jnp.full((4, 8), 1.5)}
    weights = weights | {"layers": layers, "last": last, "text": wide}

    def prepare(params, cond):
        factor = (jnp.ones(4) @ params["text"]["kernel"]).mean() / 4
        return jax.tree.map(lambda target: factor * target, cond)

    return toy._replace(
        generator=generator._replace(step=step, prepare=prepare),
        params=Params(weights, toy.params.verifiers),
    )


# XLA for CPUs takes out of loops what does not change in them, weights among it; that
# for TPUs did not.
AS_WRITTEN = {"xla_disable_hlo_passes": "while-loop-invariant-code-motion"}

RULES = Params(
    ((r"layers/up/.*", -1), (r"layers/down/.*", -2), (r"text/.*", -1)), ((), ())
)
STEPS, DEPTH = 6, 3


@pytest.mark.parametrize(
    ("population", "gather", "shape", "times"),
    [
        (("candidate", "model"), "once", (DEPTH, 3, 16), 1),
        (("candidate", "model"), "entry", (DEPTH, 3, 16), STEPS),
        (("candidate", "model"), "block", (3, 16), STEPS * DEPTH),
        (("candidate",), "auto", None, 0),
    ],
)
def test_split_weights_change_nothing(toy_extra, population, gather, shape, times):
    """They are gathered when they should be, and no activation crosses for them."""
    toy = with_layers(toy_extra)
    mesh = make_mesh(model=4)
    run, params = jit_search(
        best_of_n,
        toy.params,
        mesh,
        RULES,
        population=population,
        gather=gather,
        **settings_of(toy, num_candidates=8),
    )
    up = params.generator["layers"]["up"]["kernel"]
    assert up.addressable_shards[0].data.shape == (3, 3, 4)
    lowered = run.trace(params, KEY, toy.cond, STATE).lower()
    compiled = lowered.compile(AS_WRITTEN)
    found = collectives(compiled.as_text())
    large = [e for e in found if e.kind != "all-reduce" and e.bytes > 8 * 4]
    if shape is None:
        assert not [e for e in large if e.kind == "all-gather" and e.bytes > 96], large
    else:
        # Two matrices of the same size; XLA may turn them.
        sent = [(tuple(sorted(s)), e.times) for e in large for _, s in e.shapes]
        layers = [times for sizes, times in sent if sizes == shape]
        assert layers == [times] * 2, large
        assert {sizes for sizes, _ in sent} <= {shape, (4, 8)}, large
    arguments = params, *replicate((KEY, toy.cond, STATE), mesh)
    output = to_host(compiled(*arguments))
    assert_same(output, on_one_device(toy, best_of_n, num_candidates=8))


@pytest.mark.parametrize("bound", [False, True])
def test_a_draft_shares_the_prepared_prompt(toy, bound):
    """Given, or bound by a partial as the command line does."""
    layers = with_layers(toy)
    mesh, search = make_mesh(model=4), draft_best_of_n
    settings = settings_of(layers, num_candidates=8) | {"num_kept": 2}
    if bound:
        search = functools.partial(search, draft=layers.generator)
    else:
        settings["draft"] = layers.generator
    run, params = jit_search(search, layers.params, mesh, RULES, **settings)
    output = jax.eval_shape(run.jitted, params, KEY, layers.cond, STATE)
    assert output.scores.shape == (2,)


def test_an_unknown_way_to_gather_is_refused(toy):
    with pytest.raises(ValueError, match=r"gather is 'never'; accepted are .*'block'"):
        shard_search(
            best_of_n,
            make_mesh(),
            gather="never",
            **settings_of(toy, num_candidates=8),
        )


def test_mini_sends_sums_its_winner_and_split_weights():
    generator, weights = avits.generators.load("mini", num_steps=2)
    names = ("mini_tv", "mini_ta", "mini_av")
    verifiers, judges = avits.verifiers.load(names)
    aggregator = arw([1.0, 1.0, 1.0])
    cond = avits.encode_prompt(
        "a red circle bounces twice with a drum", generator, verifiers
    )
    run, params = jit_search(
        best_of_n,
        Params(weights, judges),
        make_mesh(model=4),
        generator=generator,
        verifiers=verifiers,
        aggregator=aggregator,
        num_candidates=24,
    )
    traced = run.trace(params, KEY, cond, aggregator.init(3))
    found = collectives(traced.lower().compile().as_text())
    clip = 16 * 32 * 32 * 3 * 4 + 32_000 * 4
    sums = [each for each in found if each.kind == "all-reduce"]
    assert clip <= sum(each.total_bytes for each in sums) <= clip + 500
    whole = {leaf.shape for leaf in jax.tree.leaves(params)}
    for each in found:
        if each.kind != "all-reduce" and each.bytes > 8 * 4:
            assert each.kind == "all-gather", each
            assert all(shape in whole for _, shape in each.shapes), each
    split = params.generator["transformer"]["blocks"]["mlp"]["up"]["kernel"][...]
    assert split.addressable_shards[0].data.shape == (6, 160, 160)


@pytest.mark.parametrize("stored", [True, False])
def test_weights_are_read_or_drawn_where_they_belong(stored, tmp_path):
    """Split over the mesh from the start, and the same numbers as on one device."""
    like = {"up": {"kernel": jax.ShapeDtypeStruct((1024, 2048), jnp.float32)}}
    folder = None
    if stored:
        kernel = np.arange(2**21, dtype=np.float32).reshape(1024, 2048)
        folder = checkpoint.save(
            tmp_path / "x", {"up": {"kernel": kernel}}, {"model": "x", "config": {}}
        )
    part = Part("", None, lambda _: (None, like), split=((r"up/kernel", -1),))
    model, mesh = Model("x", (part,)), make_mesh(model=4)
    found = [
        read_parts(model, Weights(folder, mesh=each), {"": None})
        for each in (mesh, None)
    ]
    (split,), (whole,) = (jax.tree.leaves(tree) for tree in found)
    assert split.addressable_shards[0].data.shape == (1024, 512)
    np.testing.assert_array_equal(split, whole)


def test_a_shared_tower_runs_once_on_a_mesh(toy):
    """Two rewards of one pass are those of one device; its work is done once."""
    passes = []

    def rewards(params, media, cond):
        passes.append(media.video.shape[0])
        level = params * jnp.square(media.video - cond).mean(axis=(1, 2, 3, 4))
        return {"far": level, "near": -level}

    tower = SharedPass("distance", rewards)
    verifiers = [from_pass(name, tower, name, None) for name in ("far", "near")]
    weights, (wanted, _) = toy.params.verifiers[0], toy.cond.verifiers
    toy = toy._replace(
        verifiers=verifiers,
        params=toy.params._replace(verifiers=(weights, weights)),
        cond=toy.cond._replace(verifiers=(wanted, wanted)),
    )
    mesh = make_mesh()
    run, params = jit_search(
        best_of_n, toy.params, mesh, **settings_of(toy, num_candidates=16)
    )
    output = to_host(run(params, KEY, toy.cond, STATE))
    assert passes == [2]
    assert_same(output, on_one_device(toy, best_of_n, num_candidates=16))


def test_many_prompts_on_a_mesh(toy):
    mesh = make_mesh(model=2)
    search = shard_search(best_of_n, mesh, **settings_of(toy, num_candidates=8))
    many = jax.jit(jax.vmap(search, (None, 0, 0, None)))
    keys = jax.random.split(KEY, 3)
    output = many(toy.params, keys, toy.conds, STATE)
    single = jax.jit(functools.partial(best_of_n, **settings_of(toy, num_candidates=8)))
    for n in range(3):
        cond = jax.tree.map(lambda leaf, n=n: leaf[n], toy.conds)
        wanted = single(toy.params, keys[n], cond, STATE)
        assert_same(jax.tree.map(lambda leaf, n=n: leaf[n], output), wanted)


@pytest.mark.parametrize("make", [arw, avits.zscore_candidate])
def test_prompts_over_an_explicit_axis_are_those_of_a_loop(toy, make):
    """Every device keeps a prompt of its own."""
    mesh = jax.make_mesh((8,), ("prompt",), axis_types=(AxisType.Explicit,))
    aggregator = make([0.7, 0.3])
    settings = settings_of(toy, num_candidates=6) | {"aggregator": aggregator}
    single = functools.partial(best_of_n, **settings)

    conds = jax.tree.map(lambda leaf: leaf[jnp.arange(8) % 3], toy.conds)
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * 8), aggregator.init(2))
    arguments = jax.random.split(KEY, 8), conds, states
    rows = NamedSharding(mesh, PartitionSpec("prompt"))
    with jax.set_mesh(mesh):
        many = jax.jit(jax.vmap(single, (None, 0, 0, 0)))
        output = many(replicate(toy.params, mesh), *place(arguments, rows))
    for leaf in (*output.best, output.best_index, output.scores, output.rewards):
        assert leaf.sharding.is_equivalent_to(rows, leaf.ndim)
    one = jax.jit(single)
    for n in range(8):
        own = jax.tree.map(lambda leaf, n=n: leaf[n], arguments)
        found = jax.tree.map(lambda leaf, n=n: leaf[n], to_host(output))
        assert_same(found, one(toy.params, *own))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_devices": 9}, r"num_devices must lie in \[1, 8\].* got 9"),
        ({"num_devices": 0}, "num_devices"),
        ({"model": 3}, r"model must divide the number of devices \(8\), got 3"),
        ({"model": 0}, "model must divide"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_mesh(**options)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            ((r"layers/up/kernel", 1),),
            r"model axis \(4 devices\) must divide dimension 1 of layers/up",
        ),
        (((r"last/kernel", 2),), r"names dimension 2, but its shape is \(3, 3\)"),
        (((r"layers/upp/kernel", 1),), "no parameter matches.*upp"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(toy, rules, message):
    layers = with_layers(toy)
    with pytest.raises(ValueError, match=message):
        jit_search(
            best_of_n,
            layers.params,
            make_mesh(model=4),
            Params(rules, ((), ())),
            **settings_of(layers, num_candidates=8),
        )
    with pytest.raises(ValueError, match="one entry per verifier"):
        jit_search(
            best_of_n,
            layers.params,
            make_mesh(),
            Params((), ()),
            **settings_of(layers, num_candidates=8),
        )
