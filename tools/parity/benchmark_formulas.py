"""Formulas of the benchmarks, and JavisBench's program, against their goldens."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from avits_jax.bench.javis_files import javis_json
from avits_jax.bench.javis_program import GROUPS, Inputs, Options, Step, run_program
from avits_jax.bench.javis_summary import DISTANCES
from avits_jax.bench.prompt_rows import PromptRows
from avits_jax.bench.references import read_published
from avits_jax.metrics import divergence, frechet
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.registry import register

# Not in the golden's JSON: how often, and how many rows, its KID draws.
_KID = {"subsets": 5, "subset_size": 20}
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?|NaN|nan")
_SENTINEL = -1.0
# The widest tolerance of what is printed (FAD), and the last printed digit.
_PRINTED = 1e-3 + 1e-4


@register("score_av_bench*", holds=("in.gt_logits", "out.is_mean", "out.fd"))
def run_av_bench(golden: Golden) -> dict[str, Expect]:
    """FD, KL, IS and KID of given features and logits."""
    given = {name: np.asarray(value) for name, value in golden.inputs.items()}
    real, made = given["gt_features"], given["pred_features"]
    logits = given["gt_logits"], given["pred_logits"]
    score = divergence.inception_score(given["pred_logits"])
    kernel = frechet.kernel_distance(real, made, **_KID)
    fd = frechet.frechet_distance_of_product
    results = {
        "fd": fd(real, made),
        "fd_few": fd(given["few_gt"], given["few_pred"]),
        "kl_softmax": divergence.softmax_divergence(*logits).mean(),
        "kl_sigmoid": divergence.sigmoid_divergence(*logits).mean(),
        "is_mean": score[0],
        "is_std": score[1],
        "is_few": divergence.inception_score(given["few_logits"])[0],
        "kid_mean": kernel[0],
        "kid_std": kernel[1],
    }
    stated = golden.info["tol_float32_abs"]
    return {
        name: Expect(value, atol=stated.get(name, stated.get(name.split("_")[0])))
        for name, value in results.items()
    }


@register("refstats*", holds=("keys.video", "keys.audio"))
def run_references(golden: Golden) -> dict[str, Expect]:
    """The published layout of reference features."""
    found = read_published(golden.folder / f"{golden.name}.pt")
    return {
        "video": Expect(found["i3d"], atol=0.0),
        "audio": Expect(found["audioclip"], atol=0.0),
    }


@register("javisbench_end_to_end*", holds=("scenarios", "csv_rows"))
def run_javisbench(golden: Golden) -> dict[str, Expect]:
    """JSON, lines, tables and failures of the program in every scenario."""
    checks: dict[str, Expect] = {}
    inputs = _inputs(golden)
    for name, expected in golden.info["scenarios"].items():
        options = _options(name, expected)
        steps, failed = _taken(run_program(inputs, options, _started(expected)))
        checks |= _compared(name, steps, failed, expected)
    real, made = inputs.real["i3d"], inputs.generated["i3d"]
    raw = frechet.polynomial_mmd(real[: len(made)], made)
    for source in ("direct", "direct_float64"):
        stated = golden.info[source]["kvd_if_features_were_not_centred"]
        checks[f"{source}.raw_kvd"] = Expect(raw, stated, 1e-5)
    return checks


def _inputs(golden: Golden) -> Inputs:
    given = {name: np.asarray(value) for name, value in golden.inputs.items()}
    columns = tuple(golden.info["csv_columns"])
    rows = [dict(zip(columns, r, strict=True)) for r in golden.info["csv_rows"]]
    pairs = (("i3d", "video"), ("audioclip", "audio"))
    features = {
        side: {name: given.pop(f"{side}_{kind}") for name, kind in pairs}
        for side in ("real", "fake")
    }
    prompts = PromptRows(columns, rows)
    return Inputs(prompts, "clips", given, features["real"], features["fake"])


def _options(name: str, expected: Mapping[str, Any]) -> Options:
    """The command line of a scenario: from its name, and from what it printed."""
    first = re.search(r"first_(\d+)", name)
    lines = [line for line in expected["stdout"] if ":" in line or ". skip" in line]
    missing = re.findall(r"(\w+): NOT FOUND", " ".join(lines))
    left = [line.split()[0] for line in lines if line.endswith("excluded. skip.")]
    metrics: Sequence[str] = [_group(line) for line in lines]
    if expected["error"]:
        metrics = ["fvd+kvd+fad"] if name.endswith("fvd") else "all"
    return Options(
        metrics=metrics,
        exclude=(*missing, *left),
        verbose=name.startswith("verbose"),
        eval_num=int(first[1]) if first else None,
        force_eval=name.startswith("force"),
        save_avalign_scores=any("avalign" in file for file in expected["csv_headers"]),
    )


def _group(line: str) -> str:
    if line.endswith("skip."):
        return line.split()[0]
    items = set(re.findall(r"(\w+): ", line))
    groups = (group for group, own in GROUPS.items() if items == set(own))
    return next(groups, "av-reward")


def _started(expected: Mapping[str, Any]) -> dict[str, Any]:
    """What the JSON held before: up to its foreign key, wrong where it is replaced."""
    found = expected["json"] or {}
    if "note" not in found:
        return {}
    held = list(found)[: list(found).index("note") + 1]
    kept = [line.split()[0] for line in expected["stdout"] if "calculated" in line]
    keep = {"note"}.union(*(GROUPS[group] for group in kept))
    return {key: found[key] if key in keep else _SENTINEL for key in held}


def _taken(steps: Iterator[Step]) -> tuple[list[Step], bool]:
    taken: list[Step] = []
    try:
        taken.extend(steps)
    except ValueError:
        return taken, True
    return taken, False


def _compared(
    name: str, steps: Sequence[Step], failed: bool, expected: Mapping[str, Any]
) -> dict[str, Expect]:
    """Checks of one scenario."""
    results = next((s.results for s in reversed(steps) if s.results is not None), None)
    ours, theirs = dict(_flat(results)), dict(_flat(expected["json"]))
    checks = {
        "fails": _same([str(failed)], [str(bool(expected["error"]))]),
        "keys": _same([" ".join(ours)], [" ".join(theirs)]),
        "stdout": _text([s.line for s in steps if s.line], expected["stdout"]),
        "csv_headers": _same(_headers(steps), _headers_of(expected["csv_headers"])),
    }
    if results is not None:
        head = expected["raw_head"]
        text = javis_json(results)
        cut = len(_shape(head).rstrip("#0123456789.-"))
        checks["raw_head"] = _same([_shape(text)[:cut]], [_shape(head)[:cut]])
    for key in ours.keys() & theirs:
        if isinstance(theirs[key], str):
            checks[key] = _same([ours[key]], [theirs[key]])
        else:
            checks[key] = Expect(ours[key], theirs[key], _tolerance(key))
    return {f"{name}.{key}": check for key, check in checks.items()}


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a JSON in its order; an object's and a list's keys count."""
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _flat(child, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        yield key, np.array([math.nan if x == "NaN" else x for x in value], float)
    elif value is not None:
        yield key, math.nan if value == "NaN" else value


def _tolerance(key: str) -> float:
    """As the golden's ``tol`` says, by column, and by whether it is a category."""
    column, _, part = key.partition(".")
    if column == "kvd":
        return 1e-5
    if column not in DISTANCES:
        return 1e-6
    if part.isdecimal():
        return 2e-2
    return 1e-3 if column == "fad" else 1e-4


def _text(ours: Sequence[str], theirs: Sequence[str]) -> Expect:
    """Lines by their words, and by numbers to the last digit that is printed."""
    numbers = [[float(x) for x in _NUMBER.findall(" ".join(t))] for t in (ours, theirs)]
    near = len(numbers[0]) == len(numbers[1]) and np.allclose(
        numbers[0], numbers[1], 0, _PRINTED
    )
    shapes = [[_shape(line) for line in lines] for lines in (ours, theirs)]
    return _same([*shapes[0], str(near)], [*shapes[1], "True"])


def _same(ours: Sequence[str], theirs: Sequence[str]) -> Expect:
    return Expect(list(ours), list(theirs), 0.0)


def _shape(text: str) -> str:
    return _NUMBER.sub("#", text)


def _headers(steps: Sequence[Step]) -> list[str]:
    tables = {k: v.columns for step in steps for k, v in step.tables.items()}
    return [f"{ending}: {' '.join(names)}" for ending, names in tables.items()] or [""]


def _headers_of(tables: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        f"_{file.rpartition('_')[2]}: {' '.join(names)}"
        for file, names in tables.items()
    ] or [""]
