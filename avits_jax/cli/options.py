"""Flags of the commands, and what several of them share."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

DEFAULT_MODEL = "mini"
DEFAULT_VERIFIERS = ("mini_tv", "mini_ta", "mini_av")


def _shown(value: Any, none: str) -> list[str]:
    if value is None:
        return [none]
    return [",".join(map(str, value)) if isinstance(value, tuple) else str(value)]


def _list_of(kind: Any, metavar: str, none: str = "none") -> Any:
    """Return a tyro rule: values after commas or spaces; None is shown as ``none``."""

    def parse(arguments: list[str]) -> tuple[Any, ...]:
        parts = (part.strip() for text in arguments for part in text.split(","))
        return tuple(kind(part) for part in parts if part)

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar=metavar,
        instance_from_str=parse,
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=lambda value: _shown(value, none),
    )


def _one(kind: Any, metavar: str, none: str) -> Any:
    """Return a tyro rule: one value; None is shown as ``none``."""
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda arguments: kind(arguments[0]),
        is_instance=lambda value: value is None or isinstance(value, kind),
        str_from_instance=lambda value: _shown(value, none),
    )


Names = Annotated[tuple[str, ...], _list_of(str, "NAME,NAME,...")]
MoreNames = Annotated[tuple[str, ...] | None, _list_of(str, "NAME,NAME,...")]
EqualNumbers = Annotated[tuple[float, ...] | None, _list_of(float, "W,W,...", "equal")]
Numbers = Annotated[tuple[float, ...] | None, _list_of(float, "X,X,...")]
Count = Annotated[int | None, _one(int, "INT", "per-search")]
Ratio = Annotated[float | None, _one(float, "FLOAT", "per-search")]
Word = Annotated[str | None, _one(str, "NAME", "per-search")]
StepList = Annotated[tuple[int, ...] | None, _list_of(int, "I,I,...", "per-search")]
RungList = Annotated[
    tuple[str, ...] | None, _list_of(str, "STEP:KEPT,...", "per-search")
]
OutFolder = Annotated[str | None, _one(str, "FOLDER", "runs/PROMPT-SEED")]
OtherRun = Annotated[str | None, _one(str, "RUN", "none")]
OutFile = Annotated[str | None, _one(str, "FILE.csv|.json", "none")]
Limit = Annotated[int | None, _one(int, "INT", "all")]
ShardOf = Annotated[str | None, _one(str, "I/N", "all")]
PerModel = Annotated[str | None, _one(str, "SIZE", "per-model")]
WeightType = Annotated[str | None, _one(str, "float32|bfloat16", "per-device")]
Assignments = Annotated[
    tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE,...")
]
JsonFile = Annotated[Path | None, _one(Path, "FILE.json", "none")]
CsvFiles = Annotated[tuple[Path, ...] | None, _list_of(Path, "FILE.csv,...")]
StudyFolder = Annotated[str | None, _one(str, "FOLDER", "RUN/study")]
AllNames = Annotated[tuple[str, ...] | None, _list_of(str, "NAME,NAME,...", "all")]
RunsNames = Annotated[
    tuple[str, ...] | None, _list_of(str, "NAME,...", "as-in-the-run")
]
OtherNames = Annotated[tuple[str, ...] | None, _list_of(str, "NAME,...", "all-others")]
AllSizes = Annotated[tuple[int, ...] | None, _list_of(int, "I,I,...", "all")]
StoredType = Annotated[str | None, _one(str, "float32|bfloat16", "as-published")]
ConfigFile = Annotated[str | None, _one(str, "FILE.toml|PRESET", "none")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which generator, at which size, and with which weights."""

    model: str = DEFAULT_MODEL
    """Generator: a name that "avits list" shows, or a checkpoint folder."""
    steps: Annotated[int | None, _one(int, "INT", "per-model")] = None
    """Denoising steps."""
    guidance_scale: Annotated[float | None, _one(float, "FLOAT", "per-model")] = None
    """Strength of classifier-free guidance."""
    resolution: PerModel = None
    """Size of the picture, as the model names it ("240p"); mini has one size."""
    aspect_ratio: PerModel = None
    """Height to width of the picture ("9:16" is wide)."""
    duration: PerModel = None
    """Length of the clip ("4s"), or its number of frames."""
    set: Assignments = ()
    """More options of the model's own; "avits list" shows them."""
    dtype: WeightType = None
    """Of the weights, and what networks compute in: float32 or bfloat16."""
    random_weights: bool = False
    """Draw weights that are missing: all can be tried, but nothing means anything."""
    frame_rate: Annotated[float | None, _one(float, "FPS", "all")] = None
    """Frames per second that javis_score and avh_score look at; fewer save work."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchOptions(ModelOptions):
    """What decides the result of a search, beside the prompt."""

    num_candidates: int = 16
    """Clips to generate and choose from."""
    candidate_batch: Annotated[int | None, _one(int, "INT", "what suits")] = None
    """Most clips worked on at once; by default 16 on a CPU, else what memory takes."""
    verifiers: Names = DEFAULT_VERIFIERS
    """Verifiers that judge the clips: NAME, or NAME[@CHECKPOINT][:MODE]."""
    judge: MoreNames = None
    """Verifiers that watch but do not guide; reports show apart what they say."""
    weights: EqualNumbers = None
    """Weight of each verifier, in their order."""
    aggregator: str = "arw"
    """arw, weighted, rank, minmax, zscore, zscore_candidate or zscore_history."""
    optimizer: Annotated[str | None, _one(str, "NAME", "closed_form")] = None
    """arw: how it learns; closed_form, adam, adamw, rmsprop, sgd, adagrad, lbfgs."""
    learning_rate: Annotated[float | None, _one(float, "FLOAT", "0.05")] = None
    """arw: step size of the optimiser."""
    arw_steps: Annotated[int | None, _one(int, "INT", "5")] = None
    """arw: optimiser steps per prompt."""
    center: Annotated[str | None, _one(str, "NAME", "pooled")] = None
    """arw: deviations from the mean of all rewards (pooled) or per prompt (prompt)."""
    prior: Annotated[str | None, _one(str, "catalogue", "none")] = None
    """arw: start from the mean and deviation that are known of each verifier."""
    prior_mean: Numbers = None
    """arw: known mean reward of each verifier; with --prior-std."""
    prior_std: Numbers = None
    """arw: known deviation of each verifier's rewards."""
    prior_count: Annotated[int | None, _one(int, "INT", "100")] = None
    """arw: how many rewards the prior is worth."""
    mean: Numbers = None
    """zscore: mean reward of each verifier (needed there)."""
    std: Numbers = None
    """zscore: deviation of each verifier's rewards (needed there)."""
    seed: int = 0
    """Seed of all noise, 0 to 4294967295."""

    @property
    def judges(self) -> tuple[str, ...]:
        """Return the verifiers that only watch."""
        return self.judge or ()

    @property
    def everyone(self) -> tuple[str, ...]:
        """Return the verifiers that guide, then those that only watch."""
        return self.verifiers + self.judges


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyOptions:
    """How the candidates of a prompt are searched; counts and steps have defaults."""

    search: str = "best_of_n"
    """best_of_n, adaptive_best_of_n, evosearch, smc, beam_search, zero_order,
    pruned_best_of_n or draft_best_of_n."""
    max_nfe: Annotated[int | None, _one(int, "INT", "none")] = None
    """Budget of network evaluations per prompt; chooses --num-candidates."""
    chunk: Count = None
    """adaptive_best_of_n: candidates drawn between two decisions to go on."""
    tolerance: Ratio = None
    """adaptive_best_of_n: least gain, in deviations of scores, worth a chunk."""
    schedule: StepList = None
    """evosearch: steps at which the population evolves."""
    populations: StepList = None
    """evosearch: size of every generation, one more than --schedule has steps."""
    num_elites: Count = None
    """evosearch: candidates that survive a generation unchanged."""
    tournament_ratio: Ratio = None
    """evosearch: share of all candidates that meet in one tournament, in (0, 1]."""
    resample_steps: StepList = None
    """smc: steps at which particles are weighted and drawn anew."""
    potential: Word = None
    """smc: difference, max or sum of the scores so far."""
    strength: Ratio = None
    """smc: factor of the potential."""
    ess_threshold: Ratio = None
    """smc: resample when the effective sample size is below this share."""
    branch_steps: StepList = None
    """beam_search: steps at which beams branch."""
    num_children: Count = None
    """beam_search: children of each beam; beams are candidates / children."""
    lookahead: Count = None
    """beam_search: cheap steps before a child is scored."""
    num_iterations: Count = None
    """zero_order: rounds; each has candidates / rounds neighbours."""
    rate: Ratio = None
    """zero_order: share of the noise in which a neighbour differs, in (0, 1]."""
    rungs: RungList = None
    """pruned_best_of_n: steps at which candidates are dropped, and how many stay."""
    draft: Count = None
    """draft_best_of_n: which draft; 0 half the steps, 1 no guidance, 2 both, 3 guidance
    of every fourth step used again, 4 blocks of every third step used again."""
    num_kept: Count = None
    """draft_best_of_n: how many of the drafts are made in full."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Where the candidates of a search are worked on."""

    devices: Annotated[int | None, _one(int, "INT", "one")] = None
    """Devices to spread the candidates over."""
    share_weights: Annotated[int | None, _one(int, "INT", "each has all")] = None
    """Devices that share one copy of the weights and work on the same candidates."""
    pod: bool = False
    """Join the other hosts of this TPU pod or cluster; all run the same command."""
    coordinator: Annotated[str | None, _one(str, "ADDRESS:PORT", "none")] = None
    """Where the hosts meet, if the cluster does not say: an address of host 0."""
    num_hosts: Annotated[int | None, _one(int, "INT", "none")] = None
    """How many hosts there are; with --coordinator."""
    host: Annotated[int | None, _one(int, "INT", "none")] = None
    """Number of this host, from 0; host 0 writes the run folder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerateOptions(SearchOptions, PolicyOptions):
    """Generate candidates for a prompt, and keep the one that the verifiers choose.

    Writes a run folder: best.mp4, results.json, report.html, config.toml, previews/.
    """

    prompt: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROMPT")]
    """What to show and to hear."""
    out: OutFolder = None
    """Run folder to write; or an address, gs:// or s3://."""
    force: bool = False
    """Replace a run folder that exists."""
    keep_candidates: bool = False
    """Keep every candidate's clip, not only the chosen and the first one's."""
    config: ConfigFile = None
    """Defaults for these flags: a preset, or a file such as a run's config.toml."""
    compilation_cache: bool = True
    """Whether compiled programs are kept for the next run."""
    step_progress: bool = False
    """Show a bar of denoising steps; puts a callback into the program."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions(SearchOptions, PolicyOptions, DeviceOptions):
    """Search for every prompt of a file; what ARW learns goes from prompt to prompt.

    Killed at any moment, the same command goes on and ends with the same result. Keeps
    the chosen clips, every candidate's rewards (records.jsonl), and report.html.

    Exit status 3: the run is complete, but some prompts failed; the report says why.
    """

    prompts: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(metavar="PROMPTS.csv|.txt|.jsonl")
    ]
    """One prompt a row; UTF-8; a file, or an address, gs:// or s3://."""
    out: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """Run folder to write, or to go on with; or an address, gs:// or s3://."""
    column: str = "text"
    """Column (.csv) or key (.jsonl) that holds the prompt."""
    limit: Limit = None
    """Only the first rows; a larger limit goes on with the same run."""
    shard: ShardOf = None
    """Only every N-th row, from the I-th; "avits merge" joins the shards."""
    start: OtherRun = None
    """Begin with what the aggregator of another run, or a merged one, has learned."""
    config: ConfigFile = None
    """Defaults for these flags: a preset, or a file such as a run's config.toml."""
    compilation_cache: bool = True
    """Whether compiled programs are kept for the next run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Score clips for prompts with the chosen verifiers; higher is better.

    Name files or folders and one prompt for all; or a table (.csv, .jsonl) of clips and
    prompts, whose paths are relative to it. Verifiers see a clip at its own size,
    length and rates; mini's see it fitted to the model's own clips, and what that
    changes is said.

    Exit status 1: no clip has all its scores; 3: some have.
    """

    clips: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="CLIP... PROMPT")
    ] = ()
    """Video files or folders of them, and what they should show and sound like."""
    verifiers: Names = DEFAULT_VERIFIERS
    """Verifiers that judge the clips: NAME, or NAME[@CHECKPOINT][:MODE]."""
    model: str = DEFAULT_MODEL
    """Generator to whose clips a clip is fitted for mini's verifiers."""
    max_seconds: float = 30.0
    """How much of a clip is read."""
    clip_column: str = "clip"
    """Column (.csv) or key (.jsonl) of a table that holds paths."""
    prompt_column: str = "prompt"
    """Column or key that holds prompts."""
    dtype: WeightType = None
    """Of the weights, and what networks compute in: float32 or bfloat16."""
    random_weights: bool = False
    """Draw weights that are missing: all can be tried, but nothing means anything."""
    json: bool = False
    """Print JSON instead of a table."""
    out: OutFile = None
    """Write everything to a file, too."""
    compilation_cache: bool = True
    """Whether compiled programs are kept for the next time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Choose again from the rewards that runs have kept, and measure what comes of it.

    Nothing is generated or scored. Every prompt's winner is chosen by each guide alone,
    by every set of guides under every aggregator, and by the weights given; aggregators
    learn from prompt to prompt, as in a run, and start afresh with each run. Told are
    what winners are worth to all verifiers, how often none or some of them lose, how
    verifiers and selections agree, and what more candidates bring.

    "weighted" is the plain sum, "zscore" knows the true statistics of the run, "arw" is
    the closed form. A truth file has columns prompt (its row, from 0), candidate (from
    0) and right (0 or 1). A candidate with a reward that is not finite takes no part.

    Writes study.html, study.json and, where matplotlib is installed, pictures.
    """

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN")]
    """Folders of "avits run", "merge" or "generate" with the same verifiers."""
    out: StudyFolder = None
    """Folder to write."""
    guides: RunsNames = None
    """Verifiers that may guide; judges of the run are taken, too."""
    judges: OtherNames = None
    """Verifiers that never guide but judge; the others are left out of the study."""
    sizes: AllSizes = None
    """How many guides a set may have: 1,3 leaves pairs out."""
    aggregators: AllNames = None
    """weighted, rank, minmax, zscore, zscore_candidate, zscore_history, arw,
    arw_adam."""
    weights: Numbers = None
    """More selections: a weight for each guide, and again for each further one."""
    truth: CsvFiles = None
    """Which candidates are right, a file for each run: prompt, candidate, right."""
