"""LTX-2's noise levels, guidance, choice of candidates and runs, against goldens."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax import aggregation
from avits_jax.generators.ltx2 import guidance, schedule
from avits_jax.generators.ltx2.guidance import Scales
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.sampling.guidance import join_branches
from avits_jax.sampling.steps import flow_step
from avits_jax.verifiers.timing import spaced_frames
from tools.parity.golden import Golden
from tools.parity.registry import register


@register("schedule*", holds=("out.distilled_8", "out.distilled_stage2"))
def run_schedule(golden: Golden) -> dict:
    """Levels of every number of steps and tokens."""
    results = {
        "distilled_8": np.array(schedule.DISTILLED),
        "distilled_stage2": np.array(schedule.SECOND_STAGE),
    }
    for name in golden.outputs.keys() - results.keys():
        steps, tokens = name.split("sigmas_")[1].split("_tokens")
        levels = schedule.shifted_sigmas(int(steps), int(tokens))
        results[name] = np.array(levels)
    return results


def scales(stated: dict) -> Scales:
    """Scales as the original's guider states them; what it leaves out is off."""
    return Scales(
        text=stated.get("cfg_scale", 1.0),
        perturbed=stated.get("stg_scale", 0.0),
        isolated=stated.get("modality_scale", 1.0),
        rescale=stated.get("rescale_scale", 0.0),
    )


_BY_BRANCH = ("cond", "uncond_text", "uncond_perturbed", "uncond_modality")


@register("guidance*", holds=("in.cond", "in.uncond_modality", "in.euler.sigmas"))
def run_guidance(golden: Golden) -> dict:
    """Guided clean samples of all settings, and Euler steps."""
    inputs, results = golden.inputs, {}
    for name in golden.outputs:
        *prefix, setting = name.split(".")
        if prefix != ["euler"]:
            where = "".join(f"{each}." for each in prefix)
            both = Streams(*[scales(golden.info["params"][setting])] * 2)
            named = [
                inputs[where + _BY_BRANCH[_place(branch)]]
                for branch in guidance.branches(both)
            ]
            rows = join_branches(*(Streams(x, x) for x in named))
            results[name] = guidance.guided(rows, both, "batch")[1].video
    sample, clean = (inputs[f"euler.{name}"] for name in ("sample", "denoised"))
    levels = inputs["euler.sigmas"]
    for i in range(len(levels) - 1):
        step = flow_step(sample, clean, levels[i], levels[i + 1])
        results[f"euler.step{i}"] = step
    return results


def _place(branch) -> int:
    """Which of the four predictions a branch is."""
    return 1 * (branch.text == 1) + 2 * branch.perturbed + 3 * branch.isolated


@register("bon_selection*", holds=("in.prompt0.TA", "out.arw_iter*.prompt0.total"))
def run_selection(golden: Golden) -> dict:
    """Scores of successive prompts by one aggregator, and the frames that are seen."""
    args, inputs = golden.info["args"], golden.inputs
    results: dict[str, Any] = {}
    names = list(args["weights"])
    weights = [args["weights"][name] for name in names]
    prompts = sorted({name.split(".")[0] for name in inputs})
    made = {
        "weighted": aggregation.weighted(weights),
        "rank": aggregation.rank(weights),
        "minmax": aggregation.minmax(weights),
    }
    for name in {name.split(".")[0] for name in golden.outputs}:
        if name.startswith("arw_iter"):
            steps = int(name.removeprefix("arw_iter"))
            made[name] = aggregation.arw(
                weights, "adam", learning_rate=args["lr"], num_steps=steps
            )
        if name.startswith("reward_frame_indices_"):
            count = int(name.rsplit("_", 1)[1])
            results[name] = spaced_frames(count, len(golden.outputs[name]))
    for name, aggregator in made.items():
        state = aggregator.init(len(names))
        for prompt in prompts:
            rewards = jnp.stack([inputs[f"{prompt}.{each}"] for each in names], 1)
            scores, state = aggregator.update(rewards, state)
            results[f"{name}.{prompt}.total"] = scores
            if name.startswith("arw"):
                results[f"{name}.{prompt}.selected"] = jnp.argmax(scores)
                learned = aggregation.sigmas(state)
                for index, each in enumerate(names):
                    key = f"{name}.{prompt}.sigma_{each}"
                    results[key] = learned[index : index + 1]
    return results
