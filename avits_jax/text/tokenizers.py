"""Text to token ids, from the files beside a converted checkpoint (host only).

A whole tokenizer file is run as it is by the library behind transformers' tokenizers,
in less than half the time that transformers takes to load it, and without importing
that. A folder with a bare vocabulary is loaded by transformers. Nothing is ever
fetched, and no code of a checkpoint is run.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avits_jax.files.json_values import parse_json
from avits_jax.text.dummy import QWEN2_SPECIAL, dummy
from avits_jax.text.sentencepiece import read_unigram
from avits_jax.text.tokenizer_json import (
    check_characters,
    check_pieces,
    check_tokenizer,
    check_vocabulary,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["KINDS", "QWEN2_SPECIAL", "Tokenize", "load", "dummy"]

Tokenize = Callable[[str], list[int]]
_WHOLE = ("tokenizer.json",)
_PAIRS = ("vocab.json", "merges.txt")
_FILES = {
    "t5": (_WHOLE, ("spiece.model",)),
    "roberta": (_WHOLE, _PAIRS),
    "qwen2": (_WHOLE, _PAIRS),
    "gemma3": (_WHOLE,),
}
KINDS = tuple(_FILES)
"""The tokenizers that `load` knows."""


def load(folder: str | Path, kind: str) -> Tokenize:
    """Read a tokenizer from its published files.

    They are ``tokenizer.json``; or ``spiece.model`` of a T5, ``vocab.json`` and
    ``merges.txt`` (with ``added_tokens.json``, if any) of a RoBERTa or Qwen2.

    Args:
        folder: where the files are, or a checkpoint with them in ``tokenizer/``.
        kind: one of `KINDS`. ``t5`` ends a text with ``</s>`` (1), ``roberta`` puts it
            between ``<s>`` (0) and ``</s>`` (2), ``qwen2`` adds nothing; it knows
            `QWEN2_SPECIAL`, of which VideoReward's three are added to a plain Qwen2-VL
            tokenizer, where they get the ids that VideoReward was trained with;
            ``gemma3`` starts a text with ``<bos>`` (2).

    Returns:
        Function from a text to its ids; no padding, no truncation. Names of special
        tokens inside the text are read as such.

    Raises:
        ValueError: unknown kind, files that are missing (listed), or damaged, or that
            no published tokenizer consists of; also of the function, for a text that
            the library cannot tokenize.

    Example:
        >>> tokenize = load("checkpoints/clap", "roberta")
        >>> tokenize("a dog barks")
    """
    if kind not in _FILES:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    home, names = _find(Path(folder), kind)
    listed = f"{', '.join(names)} in {home}"
    with _named(f"{listed} cannot be read as a {kind} tokenizer"):
        tokenizer = _read(home, names, kind)
        tokenizer.no_padding()
        tokenizer.no_truncation()

    def tokenize(text: str) -> list[int]:
        with _named(f"{listed} cannot tokenize {text[:60]!r}"):
            return tokenizer.encode(text).ids

    return tokenize


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Say in one line what went wrong in the library.

    Its panics are no Exception, and whatever else it raises is of no kind of its own.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{what}: {reason}") from None


def _find(folder: Path, kind: str) -> tuple[Path, tuple[str, ...]]:
    """Find the folder that holds one of a kind's sets of files, and that set."""
    for home in (folder / "tokenizer", folder):
        for names in _FILES[kind]:
            if all((home / name).is_file() for name in names):
                return home, names
    wanted = ", or ".join(" and ".join(names) for names in _FILES[kind])
    raise ValueError(
        f"{folder} lacks the files of a {kind} tokenizer: {wanted} (there, or in its "
        "folder tokenizer/). They are published beside the weights; a conversion "
        "copies them"
    )


def _read(home: Path, names: tuple[str, ...], kind: str) -> "Tokenizer":
    if names == _WHOLE:
        from tokenizers import Tokenizer

        text = (home / names[0]).read_text("utf-8")
        check_tokenizer(parse_json(text))
        tokenizer = Tokenizer.from_str(text)
    else:
        tokenizer = _build(home, names, kind)
    if kind == "qwen2":
        _add(tokenizer, QWEN2_SPECIAL)
    if kind == "gemma3":
        _start_with(tokenizer, "<bos>")
    return tokenizer


def _build(home: Path, names: tuple[str, ...], kind: str) -> "Tokenizer":
    """Build a tokenizer from its vocabulary; transformers knows how each splits."""
    transformers = _transformers()
    if kind == "t5":
        # From the file itself transformers builds it with another library alone.
        pieces, character_map = read_unigram((home / names[0]).read_bytes())
        check_pieces(pieces)
        if character_map:
            check_characters(character_map)
        return transformers.T5Tokenizer(
            vocab=pieces, _spm_precompiled_charsmap=character_map, extra_ids=0
        ).backend_tokenizer
    check_vocabulary(parse_json((home / names[0]).read_bytes()))
    own = {"roberta": "RobertaTokenizer", "qwen2": "Qwen2Tokenizer"}[kind]
    made = getattr(transformers, own).from_pretrained(home, local_files_only=True)
    return made.backend_tokenizer


def _add(tokenizer: "Tokenizer", tokens: Sequence[str]) -> None:
    """Give missing tokens the ids after the last one."""
    from tokenizers import AddedToken

    missing = [token for token in tokens if tokenizer.token_to_id(token) is None]
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in missing]
    )


def _start_with(tokenizer: "Tokenizer", token: str) -> None:
    """Put one token before each text; not all files of Gemma say so themselves."""
    from tokenizers.processors import TemplateProcessing

    number = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"it has no token {token}")
    tokenizer.post_processor = TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, number)]
    )


def _transformers() -> Any:
    """Import transformers, without its remark that PyTorch is absent."""
    log = logging.getLogger("transformers")

    def other(record: logging.LogRecord) -> bool:
        return "PyTorch was not found" not in record.getMessage()

    log.addFilter(other)
    try:
        import transformers
    finally:
        log.removeFilter(other)
    return transformers
