"""Token ids of VideoReward's chat: made on the host, given room for the video inside.

The number of video tokens depends on the clip, which the host does not know when it
tokenizes a prompt. So the chat is tokenized with one of them, and the program repeats
it as often as the clip's shape says.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from avits_jax.verifiers.texts import pad_end, shorten
from avits_jax.verifiers.video_reward.config import DIMENSIONS, VideoRewardConfig
from avits_jax.verifiers.video_reward.prompts import build_chat, escape

PAD_MULTIPLE = 64
_PADDING = 0


def encode_chat(
    tokenize: Callable[[str], list[int]], caption: str, config: VideoRewardConfig
) -> Int[np.ndarray, " L"]:
    """Tokenize the instructions around a caption, with one video token.

    Padded at the end to a multiple of 64 (with id 0, an exclamation mark, which no
    reward token can see: the network is causal). Of a caption of more than 512 tokens
    only the start is read, with a warning.

    Args:
        tokenize: text to ids, special tokens included.
        caption: what the video should show.
        config: says which ids the special tokens must have.

    Raises:
        ValueError: the tokenizer gives special tokens other ids than the network has.
    """
    # Escaped once more below, which changes nothing: the marks are broken by then.
    caption = shorten(escape(caption), tokenize, "video_reward")
    ids = tokenize(build_chat(caption, 1))
    wanted = (config.video_token, *config.reward_tokens)
    found = tuple(each for each in ids if each in wanted)
    if found != wanted:
        named = ", ".join(("video", *DIMENSIONS))
        raise ValueError(
            f"video_reward's network has the special tokens ({named}) at ids {wanted}, "
            f"its tokenizer gave {found or 'none of them'}: they do not belong together"
        )
    return pad_end(ids, PAD_MULTIPLE, _PADDING)


def insert_video(
    ids: Int[Array, " L"], count: int, video_token: int
) -> Int[Array, " M"]:
    """Repeat the one video token ``count`` times, M = L - 1 + count.

    What follows moves back, so that positions are those of the whole chat.
    """
    at = jnp.argmax(ids == video_token)
    target = jnp.arange(len(ids) - 1 + count)
    return ids[jnp.where(target <= at, target, jnp.maximum(target - count + 1, at))]
