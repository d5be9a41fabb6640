"""A small resumable training loop."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import optax
import orbax.checkpoint as ocp
from rich.progress import Progress, TextColumn, TimeRemainingColumn

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@dataclass(frozen=True)
class Plan:
    """How one network is trained.

    Attributes:
        name: of the stage; its files go into ``folder / name``.
        steps: length of the learning-rate schedule.
        learning_rate: peak of a cosine schedule with a short warm-up.
        seed: of everything random in the stage.
        ema: decay of the averaged weights, which are the result.
        inner: steps per point of the loss curve.
        save_every: steps between checkpoints, a multiple of ``inner``.
        stop: end here, before the schedule does; None runs all of it.
    """

    name: str
    steps: int
    learning_rate: float
    seed: int
    ema: float = 0.999
    inner: int = 20
    save_every: int = 500
    stop: int | None = None


def fit(plan: Plan, params, loss: Callable, data, folder: Path):
    """Minimise ``loss(params, key, data)``; continue from the last checkpoint if any.

    Step ``i`` uses ``fold_in(key, i)`` alone, so that a resumed run repeats an
    uninterrupted one. Returns the averaged weights.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, plan.learning_rate, max(1, plan.steps // 50), plan.steps
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, b2=0.99, weight_decay=0.01),
    )
    key = jax.random.key(plan.seed)

    @jax.jit
    def step(carry, i, data):
        params, average, opt_state = carry
        value, grads = jax.value_and_grad(loss)(
            params, jax.random.fold_in(key, i), data
        )
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        decay = jnp.minimum(plan.ema, (1 + i) / (10 + i))
        average = optax.incremental_update(params, average, 1 - decay)
        return (params, average, opt_state), value

    carry = (params, params, optimizer.init(params))
    manager = ocp.CheckpointManager(
        (folder / plan.name / "state").absolute(),
        options=ocp.CheckpointManagerOptions(max_to_keep=2),
    )
    history_file = folder / plan.name / "loss.json"
    history: list[float] = []
    done = manager.latest_step() or 0
    if done:
        carry = manager.restore(done, args=ocp.args.StandardRestore(carry))
        history = json.loads(history_file.read_text())[: done // plan.inner]
    last = plan.stop or plan.steps
    with _progress() as bar:
        task = bar.add_task(plan.name, total=last, completed=done, loss="")
        while done < last:
            values = []
            for i in range(done, done + plan.inner):
                carry, value = step(carry, i, data)
                values.append(value)
            done += plan.inner
            history.append(float(jnp.mean(jnp.stack(values))))
            bar.update(task, completed=done, loss=f"loss {history[-1]:.4f}")
            if done % plan.save_every == 0 or done >= last:
                history_file.write_text(json.dumps(history))
                manager.save(done, args=ocp.args.StandardSave(carry))
                _plot(plan, history, folder / plan.name / "loss.png")
    manager.wait_until_finished()
    manager.close()
    return carry[1]


def _progress() -> Progress:
    columns = [*Progress.get_default_columns()[:3], TimeRemainingColumn()]
    return Progress(*columns, TextColumn("{task.fields[loss]}"), refresh_per_second=1)


def _plot(plan: Plan, history: list[float], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 3.5))
    axes.plot([(i + 1) * plan.inner for i in range(len(history))], history, lw=0.8)
    axes.set(xlabel="step", ylabel="loss", title=plan.name, yscale="log")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
