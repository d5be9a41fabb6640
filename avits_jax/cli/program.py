"""The one search program, with what a person at the keyboard needs beside it."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.experimental.compilation_cache import compilation_cache

from avits_jax import runs
from avits_jax.cli.aggregators import Chosen, learned_sigmas
from avits_jax.cli.backend import Backend, encode
from avits_jax.cli.checks import check_prompt
from avits_jax.cli.compiled import Checked
from avits_jax.cli.errors import CliError, TooLargeError, as_cli_error
from avits_jax.cli.fitting import fitted_work
from avits_jax.cli.options import GenerateOptions, SearchOptions
from avits_jax.cli.policies import Policy
from avits_jax.cli.progress import stage
from avits_jax.cli.run_progress import note
from avits_jax.files.resources import user_cache
from avits_jax.types import Cond, PyTree


class Outcome(NamedTuple):
    """What the search for one prompt gave.

    Attributes:
        found: by the search, on the host, every candidate's clip among it.
        state_before: the aggregator's state that went in.
        compile_seconds: tracing, lowering and compiling, or reading the cache.
        run_seconds: from the call to the last result.
    """

    found: runs.Found
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
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(user_cache("xla"))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # JAX looks for the folder once, at the first compilation, which may have been.
    compilation_cache.reset_cache()


def make_work(
    loaded: Backend,
    chosen: Chosen,
    policy: Policy,
    options: SearchOptions,
    devices: runs.Devices = runs.ONE_DEVICE,
    *,
    keep_media: bool = False,
) -> runs.Work:
    """Return what is done with every prompt, see `runs.make_work`.

    Args:
        loaded: with the verifiers that guide, as `options` names them, then those that
            only watch.
        chosen: the aggregator.
        policy: the search.
        options: seed, names and chunk size.
        devices: what the search is laid over.
        keep_media: return every candidate's clip.
    """
    count, search = len(options.verifiers), policy.search
    refinement, key = loaded.refinement, jax.random.key(options.seed)
    parts: dict[str, Any] = {
        "verifiers": loaded.verifiers[:count],
        "judges": loaded.verifiers[count:],
        "aggregator": chosen.aggregator,
        "devices": devices._replace(compiled=Checked),
    }
    if refinement is not None:
        search = functools.partial(search, keep_latents=True)
    make = functools.partial(
        runs.make_work,
        search,
        loaded.params,
        key,
        generator=loaded.generator,
        keep_media=keep_media,
        **parts,
    )
    if options.candidate_batch is None:
        work = fitted_work(
            lambda batch: make(candidate_batch=batch), policy.largest, note
        )
    else:
        work = make(candidate_batch=options.candidate_batch)
    work = work._replace(
        encode=lambda prompt: encode(loaded, prompt),
        text_on_device=loaded.text_on_device,
    )
    if refinement is not None:
        with as_cli_error("--refine: "):
            weights = loaded.params.verifiers
            work = runs.refined_work(work, refinement, weights, key, **parts)
    encode_all = work.encode

    def encode_checked(prompt: str) -> Any:
        try:
            check_prompt(prompt)
            return encode_all(prompt)
        except TooLargeError:  # which is not the prompt's fault
            raise
        except CliError as error:
            raise runs.PromptError(str(error)) from error

    return work._replace(
        encode=encode_checked,
        sigmas=lambda state: learned_sigmas(chosen, state),
        names=options.verifiers,
        judges=options.judges,
    )


def profiled(work: runs.Work, folder: Path | None) -> runs.Work:
    """Return work whose first search is profiled, its compilation left out.

    Args:
        work: what is done with every prompt.
        folder: takes the profile, which TensorBoard's and XProf's viewers show; None
            makes none.
    """
    if folder is None:
        return work
    waiting = [folder]

    def search(row: int, cond: Cond, state: PyTree) -> runs.Found:
        if not waiting:
            return work.search(row, cond, state)
        work.prepare(cond)
        with jax.profiler.trace(str(waiting.pop())):
            found = work.search(row, cond, state)
        note(f"profile of row {row} written; to look at it: xprof --logdir {folder}")
        return found

    return work._replace(search=search)


class OnePrompt(NamedTuple):
    """A search for one prompt that can begin.

    Attributes:
        work: what is done with the prompt.
        cond: the encoded prompt.
        evaluations: that a bar counts, or None without a bar.
        advance: the last one is told of every evaluation.
    """

    work: runs.Work
    cond: Any
    evaluations: int | None
    advance: list[Callable[[int], None]]


def one_prompt(
    loaded: Backend,
    prompt: str,
    chosen: Chosen,
    policy: Policy,
    options: GenerateOptions,
    devices: runs.Devices,
) -> OnePrompt:
    """Prepare a search as for the first prompt of a run, which keeps every clip.

    Args:
        loaded: generator, weights, the verifiers that guide, then those that watch.
        prompt: its text.
        chosen: the aggregator.
        policy: the search.
        options: seed of all noise, chunk size, how many verifiers guide, and whether a
            bar moves with every evaluation, which puts callbacks into the program.
        devices: what the search is laid over.

    Raises:
        CliError: a model does not understand the prompt.
    """
    advance: list[Callable[[int], None]] = []
    steps = options.step_progress
    if steps:
        shown = runs.with_progress(
            loaded.generator, lambda done: advance[-1](done.evaluations)
        )
        loaded = loaded._replace(generator=shown)
    work = make_work(loaded, chosen, policy, options, devices, keep_media=True)
    work = profiled(work, options.profile)
    with as_cli_error(kinds=(runs.PromptError,)):
        cond = work.encode(prompt)
    return OnePrompt(work, cond, policy.cost.nfe if steps else None, advance)


def run_search(one: OnePrompt) -> Outcome:
    """Search for one prompt.

    Raises:
        CliError: the device has too little memory, or a verifier cannot take clips like
            these.
    """
    work, cond = one.work, one.cond
    with stage("Compiling the search", "Compiled") as compiling:
        work.prepare(cond)
        compile_seconds = compiling.seconds()
    with stage("Searching", "Searched", one.evaluations) as searching:
        one.advance.append(searching.advance)
        found = work.search(0, cond, work.state)
        jax.effects_barrier()
        run_seconds = searching.seconds()
    return Outcome(found, work.state, compile_seconds, run_seconds)
