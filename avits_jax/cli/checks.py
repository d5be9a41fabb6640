"""Cheap checks of what the user gave, before anything is loaded or compiled."""

import math
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from avits_jax.cli.config import set_fields
from avits_jax.cli.errors import CliError, as_cli_error, check_known
from avits_jax.cli.options import ClipOptions, JuryOptions, SearchOptions
from avits_jax.files.stores import Store, StoreError, check_local, open_store
from avits_jax.weights.dtypes import DTYPES, FLOAT8

MAX_PROMPT = 10_000  # characters; more than any text encoder here reads
MAX_SEED = 2**32 - 1
RUN_MARK = "results.json"
# The upper bounds catch slips of the keyboard, which would run for days.
_COUNTS = {
    "num_candidates": 65_536,
    "candidate_batch": 65_536,
    "steps": 1000,
    "text_ahead": 65_536,
}


def check_prompt(prompt: str) -> None:
    """Raise CliError for an empty, overlong or undecodable prompt."""
    if not prompt.strip():
        raise CliError("the prompt is empty; say what to show and to hear")
    if len(prompt) > MAX_PROMPT:
        raise CliError(
            f"the prompt has {len(prompt)} characters; at most {MAX_PROMPT} are read"
        )
    if not prompt.isprintable() and any(not c.isprintable() for c in prompt.strip()):
        raise CliError(
            "the prompt holds line breaks, control or undecodable characters"
        )


def check_search(options: SearchOptions) -> None:
    """Raise CliError for counts, seeds, verifier lists or weights out of range."""
    for name, most in _COUNTS.items():
        value = getattr(options, name, None)  # not all commands have all
        if value is not None and not 1 <= value <= most:
            bound = "at least 1" if value < 1 else f"at most {most}"
            raise CliError(f"--{name.replace('_', '-')} must be {bound}, got {value}")
    if not 0 <= options.seed <= MAX_SEED:
        raise CliError(f"--seed must be 0 to {MAX_SEED}, got {options.seed}")
    scale = options.guidance_scale
    if scale is not None and not (math.isfinite(scale) and scale >= 0):
        raise CliError(f"--guidance-scale must be a number of at least 0, got {scale}")
    if options.dtype is not None:
        check_known("dtype", options.dtype, (*DTYPES, FLOAT8))
    _check_refine(options)
    check_image(options.image)
    check_jury(options)


def _check_refine(options: SearchOptions) -> None:
    kept, most = options.refine, options.num_candidates
    if kept is not None and not 1 <= kept <= most:
        raise CliError(f"--refine must be 1 to --num-candidates = {most}, got {kept}")


def check_image(image: str | None) -> None:
    """Raise CliError for what is no file of this machine, or no picture."""
    if image is None:
        return
    from avits_jax.media.images import read_image

    with as_cli_error("--image: "):
        check_local(image, "a picture")
        read_image(image)


def check_jury(options: JuryOptions) -> None:
    """Raise CliError for verifier lists or weights that make no sense."""
    _check_text(options)
    check_verifier_list(options.verifiers)
    if options.judges:
        check_verifier_list(options.everyone, "--verifiers and --judge name")
    _check_weights(options.weights, options.verifiers)


def check_clips(options: ClipOptions) -> None:
    """Raise CliError for what clips cannot be read or judged with."""
    if options.dtype is not None:
        check_known("dtype", options.dtype, DTYPES)
    if not options.max_seconds > 0:
        raise CliError(f"--max-seconds must be above 0, got {options.max_seconds}")


def _check_text(options: JuryOptions) -> None:
    """Raise CliError for a name that config.toml, which is UTF-8, cannot hold."""
    for name, value in set_fields(options, without=("prompt",)).items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not _is_text(text):
                raise CliError(f"{name} {text!r} is not UTF-8; rename it")


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def check_verifier_list(
    names: tuple[str, ...], subject: str = "--verifiers names"
) -> None:
    """Raise CliError for no verifier, or one named twice."""
    if not names:
        raise CliError("--verifiers must name at least one verifier")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CliError(f"{subject} {twice[0]!r} twice")


def _check_weights(
    weights: tuple[float, ...] | None, verifiers: tuple[str, ...]
) -> None:
    if weights is None:
        return
    if len(weights) != len(verifiers):
        raise CliError(
            f"--weights must have one number per verifier: got {len(weights)} for "
            f"{len(verifiers)} ({', '.join(verifiers)})"
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise CliError(f"--weights must be numbers of at least 0, got {list(weights)}")
    if not any(weights):
        raise CliError("--weights must not all be 0")


def default_out(prompt: str, seed: int) -> Path:
    """Return runs/<prompt in plain letters>-<seed>."""
    plain = "-".join(re.findall(r"[a-z0-9]+", prompt.lower()))[:60].strip("-")
    return Path("runs") / f"{plain or 'prompt'}-{seed}"


def check_places(*places: str) -> None:
    """Raise CliError for an address of no known store, or whose package is missing."""
    with as_cli_error():
        for place in places:
            open_store(place)


def check_local_folders(**folders: Path | None) -> None:
    """Raise CliError for what is no folder of this machine, and cannot become one.

    Args:
        **folders: by the flag's name.
    """
    with as_cli_error():
        for name, folder in folders.items():
            check_local(folder or "", f"--{name}")
            if folder is not None and folder.exists() and not folder.is_dir():
                raise ValueError(f"--{name} {folder} exists and is no folder")


def check_out(place: str, force: bool) -> None:
    """Raise CliError unless a run folder can be written there.

    Args:
        place: the run folder asked for, here or in a store.
        force: replace a folder that is a run of avits.
    """
    with as_cli_error():
        store = open_store(place)
    if store is not None:
        _check_stored_out(store, force)
        return
    out = Path(place)
    if out == Path():
        raise CliError("--out is empty, or the present folder; name a new one")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise CliError(f"--out {out} exists and is no folder")
    _check_replaced(place, os.listdir(out) if out.is_dir() else [], force)
    check_writable(out)


def _check_replaced(place: str, names: Sequence[str], force: bool) -> None:
    """Raise CliError if what is in a folder is not to be replaced."""
    if names and not force:
        raise CliError(f"--out {place} exists; --force replaces it")
    if names and RUN_MARK not in names:
        raise CliError(
            f"--out {place} holds files but no {RUN_MARK}: not a run of avits, not "
            "replaced even with --force"
        )


def _check_stored_out(store: Store, force: bool) -> None:
    _check_replaced(store.address, store.top_names(), force)
    check_store_writable(store)


def check_store_writable(store: Store) -> None:
    """Raise CliError if nothing can be written to a store."""
    try:
        store.check_writable()
    except StoreError as error:
        raise CliError(f"--out cannot be written: {error}") from error


def check_writable(out: Path) -> None:
    """Try to make a folder where ``out`` or its first missing parent will be.

    Raises:
        CliError: nothing can be written there.
    """
    above = Path(os.path.abspath(out)).parent
    while not above.exists():
        above = above.parent
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".avits-", dir=above))
    except OSError as error:
        reason = error.strerror or error
        raise CliError(f"--out {out} cannot be written: {above}: {reason}") from error
