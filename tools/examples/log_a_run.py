"""Log a run while it goes on: to the screen, TensorBoard or Weights & Biases.

python tools/examples/log_a_run.py                 # nothing more to install
python tools/examples/log_a_run.py tensorboard     # pip install tensorboardX
python tools/examples/log_a_run.py wandb           # pip install wandb
"""

import functools
import sys
import tempfile

import jax

import avits_jax as avits

PROMPTS = (
    "a red circle bounces twice with a bell",
    "a blue box falls once with a drum",
    "the golden pyramid jumps three times and sounds like wood",
)


def make_log(where):
    """Return ``(step, {name: number})``, which logs."""
    if where == "tensorboard":
        from tensorboardX import SummaryWriter

        writer = SummaryWriter("logs")
        return lambda step, numbers: [
            writer.add_scalar(name, value, step) for name, value in numbers.items()
        ]
    if where == "wandb":
        import wandb

        run = wandb.init(project="avits_jax")
        return lambda step, numbers: run.log(numbers, step=step)
    return lambda step, numbers: print(
        step, *(f"{name} {value:.3g}" for name, value in numbers.items())
    )


log = make_log(*sys.argv[1:2] or ["screen"])
spent: list[int] = []  # evaluations, told while the compiled search runs
generator, params = avits.generators.load("mini", num_steps=6)
shown = avits.runs.with_progress(generator, lambda done: spent.append(done.evaluations))
verifiers, vparams = avits.verifiers.load(["mini_tv", "mini_ta"])
work = avits.runs.make_work(
    functools.partial(avits.best_of_n, num_candidates=4),
    avits.Params(params, vparams),
    jax.random.key(0),
    generator=shown,
    verifiers=verifiers,
    aggregator=avits.arw([1.0, 1.0], optimizer="closed_form"),
    candidate_batch=2,
)
with tempfile.TemporaryDirectory() as folder:
    for record in avits.runs.search_many(work, PROMPTS, folder):
        chosen = record.rewards[record.best]
        numbers = {f"reward/{n}": r for n, r in zip(work.names, chosen, strict=True)}
        sigmas = zip(work.names, record.sigmas, strict=True)
        numbers |= {f"sigma/{name}": sigma for name, sigma in sigmas}
        log(record.row, numbers | {"evaluations": sum(spent)})
