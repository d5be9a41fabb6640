"""Compile the one search program, and run it."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.experimental.compilation_cache import compilation_cache

from avits_jax.cli import background
from avits_jax.cli.aggregators import Chosen
from avits_jax.cli.backend import Backend
from avits_jax.cli.errors import FAILED, CliError
from avits_jax.cli.policies import Policy
from avits_jax.cli.progress import stage
from avits_jax.types import Cond, Generator, Media, PyTree, SearchOutput


class Outcome(NamedTuple):
    """What one run of the program gave.

    Attributes:
        output: the search's output, on the host.
        media: every candidate's clip, on the host.
        state_before: the aggregator's state that went in.
        compile_seconds: tracing, lowering and compiling, or reading the cache.
        run_seconds: from the call to the last result.
    """

    output: SearchOutput
    media: Media
    state_before: PyTree
    compile_seconds: float
    run_seconds: float


def use_compilation_cache(enabled: bool) -> None:
    """Keep compiled programs between runs, in the user's cache folder.

    A folder that JAX_COMPILATION_CACHE_DIR names is used instead. A folder that cannot
    be written only costs the cache.
    """
    jax.config.update("jax_enable_compilation_cache", enabled)
    if not enabled:
        return
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(cache_folder())
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # JAX looks for the folder once, at the first compilation, which may have been.
    compilation_cache.reset_cache()


def cache_folder() -> Path:
    """Return where compiled programs are kept: avits_jax/xla in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "avits_jax" / "xla"


def run_search(
    backend: Backend,
    cond: Cond,
    chosen: Chosen,
    policy: Policy,
    seed: int,
    steps: bool,
) -> Outcome:
    """Compile a search and run it for one prompt.

    Args:
        backend: generator, verifiers and weights.
        cond: the encoded prompt.
        chosen: the aggregator.
        policy: the search.
        seed: of all noise.
        steps: move a bar with every denoising step; puts a callback into the program.

    Raises:
        CliError: the device has too little memory.
    """
    # Steps that are predictions alone are not shown, so that the bar may stop early.
    total = policy.cost.nfe // backend.generator.nfe_per_step
    advance: list[Callable[[int], None]] = []
    generator = backend.generator
    if steps:
        generator = _reporting(generator, lambda count: advance[-1](count))
    search = jax.jit(
        functools.partial(
            policy.with_media,
            generator=generator,
            verifiers=backend.verifiers,
            aggregator=chosen.aggregator,
        )
    )
    state = chosen.aggregator.init(len(backend.verifiers))
    arguments = (backend.params, jax.random.key(seed), cond, state)
    try:
        with stage("Compiling the search", "Compiled") as compiling:
            compiled = background.run(lambda: search.lower(*arguments).compile())
            compile_seconds = compiling.seconds()
        with stage("Searching", "Searched", total if steps else None) as searching:
            advance.append(searching.advance)
            output = background.run(lambda: jax.device_get(compiled(*arguments)))
            jax.effects_barrier()
            run_seconds = searching.seconds()
    except jax.errors.JaxRuntimeError as error:
        raise too_large(error) from error
    clips = Media(*output.media)
    return Outcome(output, clips, state, compile_seconds, run_seconds)


def _reporting(generator: Generator, advance: Callable[[int], None]) -> Generator:
    """Return ``generator`` telling ``advance`` how many candidates took each step."""

    def step(params: Any, keys: Any, candidates: Any, i: Any, cond: Any) -> Any:
        stepped = generator.step(params, keys, candidates, i, cond)
        # The callback takes a number of the result, so as not to run before it.
        number = jax.tree.leaves(stepped.latents)[0].ravel()[0]
        jax.debug.callback(lambda _: advance(keys.shape[0]), number)
        return stepped

    return generator._replace(step=step)


def too_large(error: Exception) -> Exception:
    """Return ``error``, or what to do about it where it says that memory ran out."""
    if "RESOURCE_EXHAUSTED" not in str(error):
        return error
    return CliError(
        "the device has too little memory for this search; give a smaller "
        "--candidate-batch or --num-candidates",
        FAILED,
    )
