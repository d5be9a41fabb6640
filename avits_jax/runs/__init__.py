"""Runs of many prompts: folders that survive interruption, shards, summaries.

Host only. `make_work` compiles a search once, `search_many` takes it through any number
of prompts. `read_records` gives every candidate's raw rewards, for studying other
weightings without generating again.
"""

from avits_jax.runs.clips import clip_name
from avits_jax.runs.devices import ONE_DEVICE, Compiled, Devices
from avits_jax.runs.folder import Lost, LostFolderError, RunFolder, read_run
from avits_jax.runs.learned import learned_sigmas
from avits_jax.runs.loop import (
    ALONE,
    Host,
    blame,
    encode_row,
    make_clip_again,
    search_prompts,
)
from avits_jax.runs.many import search_many
from avits_jax.runs.merge import Merged, last_states, merge_runs, read_shards
from avits_jax.runs.pictures import with_picture
from avits_jax.runs.program import Found, PromptError, Refined, Work, make_work
from avits_jax.runs.progress import Progress, with_progress
from avits_jax.runs.records import Record, read_records
from avits_jax.runs.refining import Refinement, refined_work
from avits_jax.runs.rows import (
    Resumed,
    Shard,
    Survey,
    parse_shard,
    resume,
    shard_prompts,
    survey_prompts,
)
from avits_jax.runs.start import state_of
from avits_jax.runs.stored import is_run, local_run, new_run
from avits_jax.runs.summary import Gain, Summary, gains, summarise
from avits_jax.runs.text import Apart, OnDevice, text_apart

__all__ = [
    "ALONE",
    "ONE_DEVICE",
    "Apart",
    "Compiled",
    "Devices",
    "Found",
    "Gain",
    "Host",
    "Lost",
    "LostFolderError",
    "Merged",
    "OnDevice",
    "Progress",
    "PromptError",
    "Record",
    "Refined",
    "Refinement",
    "Resumed",
    "RunFolder",
    "Shard",
    "Summary",
    "Survey",
    "Work",
    "blame",
    "clip_name",
    "encode_row",
    "gains",
    "is_run",
    "last_states",
    "learned_sigmas",
    "local_run",
    "make_clip_again",
    "make_work",
    "merge_runs",
    "new_run",
    "parse_shard",
    "read_records",
    "read_run",
    "read_shards",
    "refined_work",
    "resume",
    "search_many",
    "search_prompts",
    "shard_prompts",
    "state_of",
    "summarise",
    "survey_prompts",
    "text_apart",
    "with_picture",
    "with_progress",
]
