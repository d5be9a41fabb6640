"""One compiled search for many prompts, as the `Work` of a run."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from avits_jax.catalogue.names import parse
from avits_jax.cli import backend, background
from avits_jax.cli.aggregators import Chosen, learned_sigmas
from avits_jax.cli.checks import check_prompt
from avits_jax.cli.devices import ONE_DEVICE, Devices
from avits_jax.cli.errors import CliError
from avits_jax.cli.judging import judge, split
from avits_jax.cli.options import SearchOptions
from avits_jax.cli.policies import Policy
from avits_jax.cli.program import Checked, saying_too_large
from avits_jax.runs import Found, PromptError, Work
from avits_jax.runs.states import on_host
from avits_jax.types import (
    Candidates,
    Cond,
    Media,
    Params,
    PyTree,
    Rewards,
    SearchOutput,
)


def make_work(
    loaded: backend.Backend,
    chosen: Chosen,
    policy: Policy,
    options: SearchOptions,
    devices: Devices = ONE_DEVICE,
) -> Work:
    """Return what a run does with every prompt.

    Args:
        loaded: with the verifiers that guide, as `options` names them, then those that
            only watch.
        chosen: the aggregator.
        policy: the search.
        options: seed, names and chunk size.
        devices: what the search is laid over.
    """
    program = Checked(_search(loaded, chosen, policy, options, devices))
    params = devices.place(loaded.params)
    key = jax.random.key(options.seed)
    fresh = on_host(chosen.aggregator.init(len(options.verifiers)))

    def encode(prompt: str) -> Cond:
        try:
            check_prompt(prompt)
            return backend.encode(loaded, prompt)
        except CliError as error:
            raise PromptError(str(error)) from error

    def arguments(row: int, cond: Cond, state: PyTree) -> tuple[Any, ...]:
        return params, *devices.share((jax.random.fold_in(key, row), cond, state))

    def prepare(cond: Cond) -> None:
        given = arguments(0, cond, fresh)
        with saying_too_large():
            background.run(lambda: program.compiled(*given))

    def search(row: int, cond: Cond, state: PyTree) -> Found:
        given = arguments(row, cond, state)
        with saying_too_large(), devices.guarded():
            return _found(background.run(lambda: devices.fetch(program(*given))))

    return Work(
        encode=encode,
        prepare=prepare,
        search=search,
        sigmas=lambda state: learned_sigmas(chosen, state),
        state=fresh,
        names=options.verifiers,
        fps=loaded.generator.fps,
        sample_rate=loaded.generator.sample_rate,
        plan=policy.plan,
        random=loaded.random,
        notices=loaded.notices,
    )


class _Result(NamedTuple):
    output: SearchOutput
    judged: Rewards
    broken: Bool[Array, " N"]


def _search(
    loaded: backend.Backend,
    chosen: Chosen,
    policy: Policy,
    options: SearchOptions,
    devices: Devices,
) -> Callable[[Params, jax.Array, Cond, PyTree], "_Result"]:
    count = len(options.verifiers)
    judges = loaded.verifiers[count:]
    guided = devices.bind(
        policy.search,
        generator=loaded.generator,
        verifiers=loaded.verifiers[:count],
        aggregator=chosen.aggregator,
        keep_latents=True,
    )

    def search_prompt(
        params: Params, key: jax.Array, cond: Cond, state: PyTree
    ) -> _Result:
        own, prompt = split(params, cond, count)
        output = guided(own, key, prompt, state)
        judged = jnp.zeros((output.rewards.shape[0], 0))
        if judges:
            batch = options.candidate_batch
            judged = judge(params, cond, output, loaded.generator, judges, batch)
        broken = _holds_nan(cast(Candidates, output.latents))
        return _Result(output._replace(latents=None), judged, broken)

    return search_prompt


def _holds_nan(candidates: Candidates) -> Bool[Array, " N"]:
    """Return which candidates the generator has broken."""
    finite = [
        jnp.isfinite(leaf).reshape(len(leaf), -1).all(axis=1)
        for leaf in jax.tree.leaves(candidates.latents)
    ]
    return ~jnp.stack(finite).all(axis=0)


def _found(result: _Result) -> Found:
    output = result.output
    return Found(
        best=Media(*output.best),
        best_index=int(output.best_index),
        rewards=np.asarray(output.rewards, np.float32),
        judged=np.asarray(result.judged, np.float32),
        broken=np.asarray(result.broken),
        state=on_host(output.aggregator_state),
        nfe=int(output.nfe),
        decodes=int(output.decodes),
        verifier_calls=int(output.verifier_calls),
    )


def weights_used(model: str, verifiers: tuple[str, ...]) -> list[str]:
    """Return name and digest of every checkpoint that a run uses.

    The digest is of the checkpoint's manifests, which hold those of all its files.
    """
    from avits_jax import generators
    from avits_jax import verifiers as stack

    folders = {info.name: info.folder for info in generators.available()}
    used = [f"{model} {_digest(folders.get(model, Path(model)))}"]
    folders = {info.name: info.folder for info in stack.available()}
    for name in verifiers:
        request = parse(name)
        chosen = Path(request.checkpoint) if request.checkpoint else None
        used.append(f"{name} {_digest(chosen or folders.get(request.name))}")
    return used


def _digest(folder: Path | None) -> str:
    if folder is None:
        return "none"
    parts = sorted(folder.glob("*/manifest.json"))
    files = [folder / "manifest.json", folder / "parts.json", *parts]
    content = b"".join(file.read_bytes() for file in files if file.is_file())
    return hashlib.sha256(content).hexdigest()[:16] if content else "none"
