"""One compiled search for many prompts, as the `Work` of a run."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.cli import backend, background, program
from avits_jax.cli.aggregators import Chosen, learned_sigmas
from avits_jax.cli.checks import check_prompt
from avits_jax.cli.devices import ONE_DEVICE, Devices
from avits_jax.cli.errors import CliError
from avits_jax.cli.options import SearchOptions
from avits_jax.cli.policies import Policy
from avits_jax.runs import Found, PromptError, Work
from avits_jax.runs.states import on_host
from avits_jax.search.evaluate import evaluate, pose
from avits_jax.types import Candidates, Cond, Media, Params, PyTree, SearchOutput

_Search = Callable[[Params, jax.Array, Cond, PyTree], tuple[SearchOutput, Any]]


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
    compiled = jax.jit(_search(loaded, chosen, policy, options, devices))
    params = devices.place(loaded.params)
    key = jax.random.key(options.seed)

    def encode(prompt: str) -> Cond:
        try:
            check_prompt(prompt)
            return backend.encode(loaded, prompt)
        except CliError as error:
            raise PromptError(str(error)) from error

    def search(row: int, cond: Cond, state: PyTree) -> Found:
        arguments = devices.share((jax.random.fold_in(key, row), cond, state))
        try:
            with devices.guarded():
                output, judged = background.run(
                    lambda: devices.fetch(compiled(params, *arguments))
                )
        except jax.errors.JaxRuntimeError as error:
            raise program.too_large(error) from error
        return _found(output, judged)

    return Work(
        encode=encode,
        search=search,
        sigmas=lambda state: learned_sigmas(chosen, state),
        state=on_host(chosen.aggregator.init(len(options.verifiers))),
        names=options.verifiers,
        fps=loaded.generator.fps,
        sample_rate=loaded.generator.sample_rate,
        plan=policy.plan,
    )


def _search(
    loaded: backend.Backend,
    chosen: Chosen,
    policy: Policy,
    options: SearchOptions,
    devices: Devices,
) -> _Search:
    count = len(options.verifiers)
    judges = loaded.verifiers[count:]
    guided = devices.bind(
        policy.search,
        generator=loaded.generator,
        verifiers=loaded.verifiers[:count],
        aggregator=chosen.aggregator,
        keep_latents=bool(judges),
    )

    def search_prompt(
        params: Params, key: jax.Array, cond: Cond, state: PyTree
    ) -> tuple[SearchOutput, Any]:
        output = guided(
            Params(params.generator, params.verifiers[:count]),
            key,
            Cond(cond.generator, cond.verifiers[:count]),
            state,
        )
        if not judges:
            return output, jnp.zeros((output.rewards.shape[0], 0))
        problem = pose(
            Params(params.generator, params.verifiers[count:]),
            Cond(cond.generator, cond.verifiers[count:]),
            loaded.generator,
            judges,
            options.candidate_batch,
        )
        judged = evaluate(problem, cast(Candidates, output.latents))
        return output._replace(latents=None), judged

    return search_prompt


def _found(output: SearchOutput, judged: Any) -> Found:
    return Found(
        best=Media(*output.best),
        best_index=int(output.best_index),
        rewards=np.asarray(output.rewards, np.float32),
        judged=np.asarray(judged, np.float32),
        state=on_host(output.aggregator_state),
        nfe=int(output.nfe),
        decodes=int(output.decodes),
        verifier_calls=int(output.verifier_calls),
    )


def weights_used(model: str, verifiers: tuple[str, ...]) -> list[str]:
    """Return name and digest of every checkpoint that a run uses.

    The digest is of the checkpoint's manifest, which holds those of all its files.
    """
    from avits_jax import generators
    from avits_jax import verifiers as stack

    folders = {info.name: info.folder for info in generators.available()}
    folders |= {info.name: info.folder for info in stack.available()}
    return [
        f"{name} {_digest(folders.get(name, Path(name)) / 'manifest.json')}"
        for name in (model, *verifiers)
    ]


def _digest(manifest: Path) -> str:
    if not manifest.is_file():  # a verifier without weights
        return "none"
    return hashlib.sha256(manifest.read_bytes()).hexdigest()[:16]
