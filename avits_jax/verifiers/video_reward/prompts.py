"""The prompt around a caption, as VideoReward was trained to read it.

prompt.txt is VideoAlign's template (MIT, see prompt.LICENSE), verbatim: the weights
expect every character, trailing blanks included.

Upstream: KwaiVGI/VideoAlign, prompt_template.py (build_prompt), and the chat template
of Qwen/Qwen2-VL-2B-Instruct.
"""

from functools import cache
from importlib import resources

from avits_jax.verifiers.video_reward.config import DIMENSIONS

_SYSTEM = "You are a helpful assistant."
_VIDEO = "<|video_pad|>"
# Between two characters of a marker that a caption holds: seen as a blank, and no
# tokenizer reads a marker across it.
_BREAK = "\u200b"


@cache
def _template() -> str:
    source = resources.files("avits_jax.verifiers.video_reward") / "prompt.txt"
    return source.read_text("utf-8")


def escape(caption: str) -> str:
    """Break up whatever in a caption would be read as a special token.

    A reward token in a caption would add a fourth place at which rewards are read;
    ``<|video_pad|>`` would swallow a token of the video. The original does not guard
    against either. All of Qwen's special tokens are written ``<|...|>``.
    """
    return caption.replace("<|", f"<{_BREAK}|")


def build_prompt(caption: str) -> str:
    """Return the rating instructions around a caption, with three reward tokens."""
    # Not str.format: a caption may hold braces.
    return _template().replace("{caption}", escape(caption))


def build_chat(caption: str, num_video_tokens: int) -> str:
    """Return the whole input in Qwen's chat format, ready for the tokenizer.

    Args:
        caption: what the video should show.
        num_video_tokens: frame pairs times rows times columns of patches, over 4.
    """
    video = f"<|vision_start|>{_VIDEO * num_video_tokens}<|vision_end|>"
    return (
        f"<|im_start|>system\n{_SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{video}{build_prompt(caption)}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def reward_tokens() -> tuple[str, ...]:
    """Return the reward tokens as text, in the order of `DIMENSIONS`."""
    return tuple(f"<|{name}_reward|>" for name in DIMENSIONS)
