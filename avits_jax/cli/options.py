"""Flags of the commands, and what several of them share."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from avits_jax.cli.aggregator_flags import ARW_DEFAULTS
from avits_jax.cli.policy_defaults import in_words
from avits_jax.weights.dtypes import DTYPES, FLOAT8

DEFAULT_MODEL = "mini"
DEFAULT_VERIFIERS = ("mini_tv", "mini_ta", "mini_av")
DEFAULT_IMAGE_COLUMN = "image"
_MODELS_OWN = "the model's own"


def _shown(value: Any, none: str) -> list[str]:
    if value is None:
        return [none]
    return [",".join(map(str, value)) if isinstance(value, tuple) else str(value)]


def _arw(flag: str) -> str:
    return str(ARW_DEFAULTS[flag])


def _list_of(kind: Any, metavar: str, none: str = "") -> Any:
    """Return a tyro rule: values after commas or spaces; ``none`` says what None is."""

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


def _one(kind: Any, metavar: str, none: str = "") -> Any:
    """Return a tyro rule: one value; ``none`` says in the help what None is."""
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda arguments: kind(arguments[0]),
        is_instance=lambda value: value is None or isinstance(value, kind),
        str_from_instance=lambda value: _shown(value, none),
    )


def _count(flag: str) -> Any:
    return _one(int, "INT", in_words(flag))


def _ratio(flag: str) -> Any:
    return _one(float, "FLOAT", in_words(flag))


def _step_list(flag: str) -> Any:
    return _list_of(int, "I,I,...", in_words(flag))


Names = Annotated[tuple[str, ...], _list_of(str, "NAME,NAME,...")]
MoreNames = Annotated[tuple[str, ...] | None, _list_of(str, "NAME,NAME,...")]
EqualNumbers = Annotated[tuple[float, ...] | None, _list_of(float, "W,W,...", "equal")]
Numbers = Annotated[tuple[float, ...] | None, _list_of(float, "X,X,...")]
OutFolder = Annotated[str | None, _one(str, "FOLDER", "runs/PROMPT-SEED")]
OtherRun = Annotated[str | None, _one(str, "RUN")]
OutFile = Annotated[str | None, _one(str, "FILE.csv|.json")]
Limit = Annotated[int | None, _one(int, "INT", "all")]
ShardOf = Annotated[str | None, _one(str, "I/N", "all")]
PerModel = Annotated[str | None, _one(str, "SIZE", _MODELS_OWN)]
_COMPUTED = "float32 on a CPU, else bfloat16"
WeightType = Annotated[str | None, _one(str, "|".join(DTYPES), _COMPUTED)]
ModelType = Annotated[str | None, _one(str, "|".join((*DTYPES, FLOAT8)), _COMPUTED)]
Assignments = Annotated[
    tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE,...")
]
JsonFile = Annotated[Path | None, _one(Path, "FILE.json")]
CsvFiles = Annotated[tuple[Path, ...] | None, _list_of(Path, "FILE.csv,...")]
StudyFolder = Annotated[str | None, _one(str, "FOLDER", "RUN/study")]
AllNames = Annotated[tuple[str, ...] | None, _list_of(str, "NAME,NAME,...", "all")]
RunsNames = Annotated[
    tuple[str, ...] | None, _list_of(str, "NAME,...", "those of the run")
]
OtherNames = Annotated[tuple[str, ...] | None, _list_of(str, "NAME,...", "all others")]
AllSizes = Annotated[tuple[int, ...] | None, _list_of(int, "I,I,...", "all")]
StoredType = Annotated[
    str | None, _one(str, "|".join((*DTYPES, FLOAT8)), "as published")
]
LoraFiles = Annotated[
    tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FILE[:SCALE]")
]
ConfigFile = Annotated[str | None, _one(str, "FILE.toml|PRESET")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which generator, at which size, and with which weights."""

    model: str = DEFAULT_MODEL
    """Generator: a name that "avits list" shows, or a checkpoint folder."""
    steps: Annotated[int | None, _one(int, "INT", _MODELS_OWN)] = None
    """Denoising steps."""
    guidance_scale: Annotated[float | None, _one(float, "FLOAT", _MODELS_OWN)] = None
    """Strength of classifier-free guidance, 1 is none; of LTX-2 the picture's alone,
    and --set audio_guidance_scale=X is the sound's."""
    resolution: PerModel = None
    """Size of the picture, as the model names it ("240p", "512x768"); mini has one."""
    aspect_ratio: PerModel = None
    """Height to width of the picture ("9:16" is wide)."""
    duration: PerModel = None
    """Length of the clip ("4s"), or its number of frames."""
    image: Annotated[str | None, _one(str, "FILE")] = None
    """Picture that clips begin with, where the model takes one: PNG, JPEG, WebP."""
    refine: Annotated[int | None, _one(int, "INT")] = None
    """Search at half size, make the best so many large, and choose among them again,
    where the model has a second stage."""
    preview_decoder: bool = False
    """Decode clips on the way by a small network, where the model has one; the final
    clips never are."""
    set: Assignments = ()
    """More options of the model's own; "avits list" shows them."""
    dtype: ModelType = None
    """Of the weights, and what networks compute in; float8 for the largest matrices of
    the model's weights, where it has that, beside bfloat16."""
    random_weights: bool = False
    """Draw weights that are missing: all can be tried, but nothing means anything."""
    frame_rate: Annotated[float | None, _one(float, "FPS", "all")] = None
    """Frames per second that javis_score and avh_score look at; fewer save work."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JuryOptions:
    """Which verifiers judge, and how their rewards become one score."""

    verifiers: Names = DEFAULT_VERIFIERS
    """Verifiers that judge the clips: NAME, or NAME[@CHECKPOINT][:MODE]."""
    judge: MoreNames = None
    """Verifiers that watch but do not guide; reports show apart what they say."""
    weights: EqualNumbers = None
    """Weight of each verifier, in their order."""
    aggregator: str = "arw"
    """arw, weighted, rank, minmax, zscore, zscore_candidate or zscore_history."""
    optimizer: Annotated[str | None, _one(str, "NAME", _arw("optimizer"))] = None
    """How it learns; closed_form, adam, adamw, rmsprop, sgd, adagrad, lbfgs."""
    learning_rate: Annotated[
        float | None, _one(float, "FLOAT", _arw("learning_rate"))
    ] = None
    """Step size of the optimiser."""
    arw_steps: Annotated[int | None, _one(int, "INT", _arw("arw_steps"))] = None
    """Optimiser steps per prompt."""
    center: Annotated[str | None, _one(str, "NAME", _arw("center"))] = None
    """Deviations from the mean of all rewards (pooled) or per prompt (prompt)."""
    prior: Annotated[str | None, _one(str, "catalogue")] = None
    """Start from the mean and deviation that are known of each verifier."""
    prior_mean: Numbers = None
    """Known mean reward of each verifier; with --prior-std."""
    prior_std: Numbers = None
    """Known deviation of each verifier's rewards."""
    prior_count: Annotated[int | None, _one(int, "INT", _arw("prior_count"))] = None
    """How many rewards the prior is worth."""
    mean: Numbers = None
    """Mean reward of each verifier (needed)."""
    std: Numbers = None
    """Deviation of each verifier's rewards (needed)."""

    @property
    def judges(self) -> tuple[str, ...]:
        """Return the verifiers that only watch."""
        return self.judge or ()

    @property
    def everyone(self) -> tuple[str, ...]:
        """Return the verifiers that guide, then those that only watch."""
        return self.verifiers + self.judges


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchOptions(JuryOptions, ModelOptions):
    """What decides the result of a search, beside the prompt."""

    num_candidates: int = 16
    """Clips to generate and choose from."""
    candidate_batch: Annotated[
        int | None, _one(int, "INT", "16 on a CPU, else what memory takes")
    ] = None
    """Most clips worked on at once."""
    seed: int = 0
    """Seed of all noise, 0 to 4294967295."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyOptions:
    """How the candidates of a prompt are searched; counts and steps have defaults."""

    search: str = "best_of_n"
    """best_of_n, adaptive_best_of_n, evosearch, smc, beam_search, zero_order,
    pruned_best_of_n or draft_best_of_n."""
    max_nfe: Annotated[int | None, _one(int, "INT")] = None
    """Budget of network evaluations per prompt; chooses --num-candidates."""
    chunk: Annotated[int | None, _count("chunk")] = None
    """Candidates drawn between two decisions to go on."""
    tolerance: Annotated[float | None, _ratio("tolerance")] = None
    """Least gain, in deviations of scores, worth a chunk."""
    schedule: Annotated[tuple[int, ...] | None, _step_list("schedule")] = None
    """Steps at which the population evolves."""
    populations: Annotated[tuple[int, ...] | None, _step_list("populations")] = None
    """Size of every generation, one more than --schedule has steps."""
    num_elites: Annotated[int | None, _count("num_elites")] = None
    """Candidates that survive a generation unchanged."""
    tournament_ratio: Annotated[float | None, _ratio("tournament_ratio")] = None
    """Share of all candidates that meet in one tournament, in (0, 1]."""
    resample_steps: Annotated[tuple[int, ...] | None, _step_list("resample_steps")] = (
        None
    )
    """Steps at which particles are weighted and drawn anew."""
    potential: Annotated[str | None, _one(str, "NAME", in_words("potential"))] = None
    """Difference, max or sum of the scores so far."""
    strength: Annotated[float | None, _ratio("strength")] = None
    """Factor of the potential."""
    ess_threshold: Annotated[float | None, _ratio("ess_threshold")] = None
    """Resample when the effective sample size is below this share."""
    branch_steps: Annotated[tuple[int, ...] | None, _step_list("branch_steps")] = None
    """Steps at which beams branch."""
    num_children: Annotated[int | None, _count("num_children")] = None
    """Children of each beam; beams are candidates / children."""
    lookahead: Annotated[int | None, _count("lookahead")] = None
    """Cheap steps before a child is scored."""
    num_iterations: Annotated[int | None, _count("num_iterations")] = None
    """Rounds; each has candidates / rounds neighbours."""
    rate: Annotated[float | None, _ratio("rate")] = None
    """Share of the noise in which a neighbour differs, in (0, 1]."""
    rungs: Annotated[
        tuple[str, ...] | None, _list_of(str, "STEP:KEPT,...", in_words("rungs"))
    ] = None
    """Steps at which candidates are dropped, and how many stay."""
    draft: Annotated[int | None, _count("draft")] = None
    """Which draft; 0 half the steps, 1 no guidance, 2 both, 3 guidance
    of every fourth step used again, 4 blocks of every third step used again."""
    num_kept: Annotated[int | None, _count("num_kept")] = None
    """How many of the drafts are made in full."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshOptions:
    """Where the candidates of a search are worked on."""

    devices: Annotated[int | None, _one(int, "INT", "1")] = None
    """Devices to spread the candidates over."""
    share_weights: Annotated[int | None, _one(int, "INT", "each has all")] = None
    """Devices that share one copy of the weights: each holds a part and gathers the
    others, all at once where they fit, else block by block."""
    share_guidance: bool = False
    """Two devices work on each candidate, one with the prompt and one without: for
    fewer candidates than devices."""
    profile: Annotated[Path | None, _one(Path, "FOLDER")] = None
    """Write what JAX's profiler sees of the first search, its compilation left out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceOptions(MeshOptions):
    """Which hosts work on the same candidates, and what lies on devices when."""

    text_ahead: int = 1
    """Prompts encoded before the first of them is searched for: the weights of a text
    encoder, which wait in the host's memory, go to the device once for all of them."""
    pod: bool = False
    """Join the other hosts of this TPU pod or cluster; all run the same command."""
    coordinator: Annotated[str | None, _one(str, "ADDRESS:PORT")] = None
    """Where the hosts meet, if the cluster does not say: an address of host 0."""
    num_hosts: Annotated[int | None, _one(int, "INT")] = None
    """How many hosts there are; with --coordinator."""
    host: Annotated[int | None, _one(int, "INT")] = None
    """Number of this host, from 0; host 0 writes the run folder."""
    log: Annotated[Path | None, _one(Path, "FOLDER")] = None
    """Write what each host says, with the time, to host-000.log, host-001.log, ..."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerateOptions(SearchOptions, PolicyOptions, MeshOptions):
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
    """Keep compiled programs for the next run, and use those that were kept."""
    step_progress: bool = False
    """Show a bar of denoising steps; puts a callback into the program."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions(SearchOptions, PolicyOptions, DeviceOptions):
    """Search for every prompt of a file; what ARW learns goes from prompt to prompt.

    Killed at any moment, the same command goes on and ends with the same result. Keeps
    the chosen clips, every candidate's rewards (records.jsonl), and report.html.

    Exit status 3: the run is complete, but some prompts failed; the report says why.
    """

    prompts: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROMPTS")]
    """One prompt a row: a UTF-8 file ending in .txt, .csv, .tsv, .jsonl, .json (a list,
    columns, or as Hugging Face writes it) or .parquet; or an address, gs:// or s3://."""
    out: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """Run folder to write, or to go on with; or an address, gs:// or s3://."""
    column: str = "text"
    """Column (.csv, .tsv, .parquet) or key (.jsonl, .json) that holds the prompt."""
    image_column: Annotated[str | None, _one(str, "NAME", DEFAULT_IMAGE_COLUMN)] = None
    """Column or key of pictures that a row's clips begin with, paths relative to the
    file; empty for none. "" reads none. In the place of --image, which is for all."""
    limit: Limit = None
    """Only the first rows; a larger limit goes on with the same run."""
    shard: ShardOf = None
    """Only every N-th row, from the I-th; "avits merge" joins the shards."""
    start: OtherRun = None
    """Begin with what the aggregator of another run, or a merged one, has learned."""
    config: ConfigFile = None
    """Defaults for these flags: a preset, or a file such as a run's config.toml."""
    compilation_cache: bool = True
    """Keep compiled programs for the next run, and use those that were kept."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """How verifiers see clips that exist."""

    model: str = DEFAULT_MODEL
    """Generator to whose clips a clip is fitted for mini's verifiers."""
    max_seconds: float = 30.0
    """How much of a clip is read."""
    clip_column: str = "clip"
    """Column or key of a table that holds paths."""
    prompt_column: str = "prompt"
    """Column or key that holds prompts."""
    dtype: WeightType = None
    """Of the weights, and what networks compute in: float32 or bfloat16."""
    random_weights: bool = False
    """Draw weights that are missing: all can be tried, but nothing means anything."""
    compilation_cache: bool = True
    """Keep compiled programs for the next run, and use those that were kept."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyOptions(ClipOptions):
    """Score clips for prompts with the chosen verifiers; higher is better.

    Name files or folders and one prompt for all; or a table (.csv, .tsv, .jsonl, .json,
    .parquet) of clips and prompts, whose paths are relative to it. Verifiers see a clip
    at its own size, length and rates; mini's see it fitted to the model's own clips,
    and what that changes is said.

    Exit status 1: no clip has all its scores; 3: some have.
    """

    clips: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="CLIP... PROMPT")
    ] = ()
    """Video files or folders of them, and what they should show and sound like."""
    verifiers: Names = DEFAULT_VERIFIERS
    """Verifiers that judge the clips: NAME, or NAME[@CHECKPOINT][:MODE]."""
    json: bool = False
    """Print JSON instead of a table."""
    out: OutFile = None
    """Write everything to a file, too."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectOptions(JuryOptions, ClipOptions):
    """Choose the best of clips that exist, whatever made them.

    Name files or folders of them and their prompt; or a table (.csv, .tsv, .jsonl,
    .json, .parquet) with a row for each clip, or folder of clips, and its prompt. Its
    paths are relative to it, and rows of equal prompts are one group. Verifiers score
    every clip, as "avits verify" does; what the aggregator learns goes from prompt to
    prompt.

    Writes a run folder: clips/ (the chosen ones, as they are), scores.csv (every clip),
    records.jsonl, report.html. Killed at any moment, the same command goes on.

    Exit status 3: some prompts have no usable clip; the report says why.
    """

    clips: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="CLIP...")
    ] = ()
    """Video files, folders of them, or one table."""
    prompt: Annotated[str | None, _one(str, "PROMPT", "those of the table")] = None
    """What the clips should show and sound like."""
    out: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """Run folder to write, or to go on with; or an address, gs:// or s3://."""
    link: bool = False
    """Link to the chosen clips instead of copying them."""
    start: OtherRun = None
    """Begin with what the aggregator of another run has learned."""
    config: ConfigFile = None
    """Defaults for these flags: a preset, or a file such as a run's config.toml."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchOptions(SearchOptions, PolicyOptions, DeviceOptions):
    """Measure clips as JavisBench or av-benchmark do, and make tables of the numbers.

    Three steps, one after another, or each by its name and on its own machine.
    "generate" is a run of all prompts (and takes all flags of "avits run"), whose clips
    it lays out as the benchmark names them; "evaluate" measures clips from anywhere,
    clip by clip, and goes on where it was; "tabulate" makes the tables.

    Mode "bench" measures as the published programs do, faults included; "default"
    measures what is plainly meant. Both are never in one table. A column without
    weights is left out, with the reason; clips that are missing or broken are listed
    and counted, never scored 0.

    Writes OUT/run, OUT/clips, OUT/evaluated-MODE and OUT/table-MODE.
    """

    benchmark: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(metavar="javisbench-mini|vggsound")
    ]
    """Which benchmark's columns."""
    step: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(metavar="generate|evaluate|tabulate|all"),
    ] = "all"
    """Which step; all by default."""
    prompts: Annotated[str | None, _one(str, "FILE.csv|.tsv")] = None
    """The benchmark's table of prompts (JavisBench-mini.csv; the list of VGGSound)."""
    out: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """Folder of all steps, to write or to go on with."""
    mode: str = "default"
    """default or bench."""
    clips: Annotated[str | None, _one(str, "FOLDER", "OUT/clips")] = None
    """Clips to evaluate, from anywhere: sample_0000.mp4, ... or ID.mp4, with a .wav of
    the same name if their sound is there; or a run."""
    columns: Annotated[tuple[str, ...] | None, _list_of(str, "KEY,KEY,...", "all")] = (
        None
    )
    """Columns to measure, by the keys of the benchmark's JSON."""
    name: Annotated[str | None, _one(str, "NAME", "that of OUT")] = None
    """Name of the row in tables."""
    references: Annotated[str | None, _one(str, "FILE|FOLDER")] = None
    """Features of real clips, for the distances: an evaluation of real clips, or a
    published cache (.pt of JavisBench, a folder of av-benchmark), or a file of
    --write-references."""
    write_references: Annotated[str | None, _one(str, "FILE.safetensors")] = None
    """tabulate: keep the features of these clips, real ones, with their digest and how
    they were made, for --references elsewhere."""
    against: Annotated[tuple[str, ...] | None, _list_of(str, "OUT,...")] = None
    """Folders of other rows: tables have paired intervals against each."""
    published: bool = False
    """Show published rows, too, where the protocol is the same."""
    skip_missing: bool = False
    """Go on where clips are missing; they are counted."""
    tiny: bool = False
    """Reduced networks with random weights: all runs, and nothing means anything."""
    batch: int = 4
    """Clips of one size that are measured at once."""
    limit: Limit = None
    """Only the first rows."""
    shard: ShardOf = None
    """generate: only every N-th row, from the I-th."""
    config: ConfigFile = None
    """Defaults for these flags: a preset, or a file."""
    compilation_cache: bool = True
    """Keep compiled programs for the next run, and use those that were kept."""


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
    Of runs with --refine it studies what verifiers said of the small clips.

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
