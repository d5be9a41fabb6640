"""Compile the one search program, and run it."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jaxtyping import Float

from avits_jax.cli import background, memory
from avits_jax.cli.aggregators import Chosen
from avits_jax.cli.backend import Backend
from avits_jax.cli.errors import FAILED, CliError, as_refusal
from avits_jax.cli.judging import judge, split
from avits_jax.cli.options import SearchOptions
from avits_jax.cli.policies import Policy
from avits_jax.cli.progress import stage
from avits_jax.types import Cond, Generator, Media, Params, PyTree, SearchOutput


class Outcome(NamedTuple):
    """What one run of the program gave.

    Attributes:
        output: the search's output, on the host.
        media: every candidate's clip, on the host.
        judged: ``[N, J]`` rewards of the verifiers that only watch.
        state_before: the aggregator's state that went in.
        compile_seconds: tracing, lowering and compiling, or reading the cache.
        run_seconds: from the call to the last result.
    """

    output: SearchOutput
    media: Media
    judged: Float[np.ndarray, "N J"]
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
    options: SearchOptions,
    steps: bool,
) -> Outcome:
    """Compile a search and run it for one prompt.

    Args:
        backend: generator, weights, the verifiers that guide, then those that watch.
        cond: the encoded prompt.
        chosen: the aggregator.
        policy: the search.
        options: seed of all noise, chunk size, and how many verifiers guide.
        steps: move a bar with every denoising step; puts a callback into the program.

    Raises:
        CliError: the device has too little memory, or a verifier cannot take clips like
            these.
    """
    # Steps that are predictions alone are not shown, so that the bar may stop early.
    generator = backend.generator
    total = policy.cost.nfe * generator.num_steps // generator.evaluations()
    advance: list[Callable[[int], None]] = []
    if steps:
        reporting = _reporting(backend.generator, lambda count: advance[-1](count))
        backend = backend._replace(generator=reporting)
    search = Checked(_search(backend, chosen, policy, options))
    state = chosen.aggregator.init(len(options.verifiers))
    arguments = (backend.params, jax.random.key(options.seed), cond, state)
    with saying_too_large():
        with stage("Compiling the search", "Compiled") as compiling:
            background.run(lambda: search.compiled(*arguments))
            compile_seconds = compiling.seconds()
        with stage("Searching", "Searched", total if steps else None) as searching:
            advance.append(searching.advance)
            output, judged = background.run(lambda: jax.device_get(search(*arguments)))
            jax.effects_barrier()
            run_seconds = searching.seconds()
    clips = Media(*output.media)
    return Outcome(output, clips, judged, state, compile_seconds, run_seconds)


def _search(
    backend: Backend, chosen: Chosen, policy: Policy, options: SearchOptions
) -> Callable[[Params, jax.Array, Cond, PyTree], tuple[SearchOutput, Any]]:
    """Return the program: a search that keeps its clips, and what the judges say."""
    count = len(options.verifiers)
    judges = backend.verifiers[count:]
    guided = functools.partial(
        policy.with_media,
        generator=backend.generator,
        verifiers=backend.verifiers[:count],
        aggregator=chosen.aggregator,
    )

    def avits_search(
        params: Params, key: jax.Array, cond: Cond, state: PyTree
    ) -> tuple[SearchOutput, Any]:
        own, prompt = split(params, cond, count)
        output = guided(own, key, prompt, state)
        if not judges:
            return output, jnp.zeros((output.rewards.shape[0], 0))
        batch = options.candidate_batch
        return output, judge(params, cond, output, backend.generator, judges, batch)

    return avits_search


class Checked:
    """A function compiled once for arguments of the same shapes, its memory checked."""

    def __init__(
        self, function: Callable[..., Any], settings: str = memory.SEARCH_SETTINGS
    ) -> None:
        """Compile nothing yet.

        Args:
            function: of arrays; pure.
            settings: what lowers its need of memory, in words.
        """
        self._settings = settings
        self._jitted = jax.jit(function)
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns."""
        return self.compiled(*arguments)(*arguments)

    def compiled(self, *arguments: Any) -> Callable[..., Any]:
        """Return the program for such arguments.

        Raises:
            CliError: it does not fit into memory, or sizes do not suit a verifier.
        """
        leaves, treedef = jax.tree.flatten(arguments)
        key = (treedef, *((np.shape(leaf), leaf.dtype) for leaf in leaves))
        if key not in self._compiled:
            with as_refusal():
                lowered = self._jitted.lower(*arguments)
            made = lowered.compile()
            need = memory.need_of(made)
            memory.check_program(need, memory.device_memory(), self._settings)
            self._compiled[key] = made
        return self._compiled[key]


def _reporting(generator: Generator, advance: Callable[[int], None]) -> Generator:
    """Return ``generator`` telling ``advance`` how many candidates took each step."""

    def step(params: Any, keys: Any, candidates: Any, i: Any, cond: Any) -> Any:
        stepped = generator.step(params, keys, candidates, i, cond)
        # The callback takes a number of the result, so as not to run before it.
        number = jax.tree.leaves(stepped.latents)[0].ravel()[0]
        jax.debug.callback(lambda _: advance(keys.shape[0]), number)
        return stepped

    return generator._replace(step=step)


@contextlib.contextmanager
def saying_too_large(settings: str = memory.SEARCH_SETTINGS) -> Iterator[None]:
    """Say what to do, with these settings, where XLA says that memory ran out."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise too_large(error, settings) from error


def too_large(error: Exception, settings: str = memory.SEARCH_SETTINGS) -> Exception:
    """Return ``error``, or what to do about it where it says that memory ran out."""
    if "RESOURCE_EXHAUSTED" not in str(error):
        return error
    return CliError(
        f"the device has too little memory; lower the need with {settings}",
        FAILED,
    )
