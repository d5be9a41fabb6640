"""Say what is cut off of prompts that are too long for a text encoder (host only)."""

from collections.abc import Callable

# Words shown of the beginning and of the end of what is cut off.
_SHOWN = (6, 3)
# And characters of each.
_LONGEST = (160, 80)


class PromptCut(UserWarning):
    """A prompt is too long for a text encoder."""


def describe_cut(
    name: str,
    text: str,
    tokenize: Callable[[str], list[int]],
    limit: int,
    remark: str = "",
    what: str = "the prompt",
) -> str:
    """Say what is cut off of a text; "" if all of it is read.

    Args:
        name: of the tokens.
        text: what is read.
        tokenize: gives its ids, neither cut nor padded.
        limit: how many of them are read, those around the text included.
        remark: what is said of the tokens that are read.
        what: the text is.
    """
    count = len(tokenize(text))
    if count <= limit:
        return ""
    words = text.split()
    low, high = 0, len(words)
    while high - low > 1:
        middle = (low + high) // 2
        if len(tokenize(" ".join(words[:middle]))) <= limit:
            low = middle
        else:
            high = middle
    lost = words[low:]
    if len(lost) > _SHOWN[0] + _SHOWN[1]:
        lost = [*lost[: _SHOWN[0]], "...", *lost[-_SHOWN[1] :]]
    shown = " ".join(lost)
    if len(shown) > sum(_LONGEST):  # as of a language that has no spaces
        shown = f"{shown[: _LONGEST[0]]} ... {shown[-_LONGEST[1] :]}"
    return (
        f"{what} has {count} {name} tokens, of which {limit} are read{remark}; "
        f"cut off: {shown!r} ({len(words) - low} words)"
    )
