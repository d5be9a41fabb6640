"""Pictures and prompts as CLIP-FlanT5 was trained to read them.

Upstream: linzhiqiu/t2v_metrics, t2v_metrics/models/vqascore_models/clip_t5_model.py
(format_question, CLIPT5Model.load_images) and
t2v_metrics/models/vqascore_models/mm_utils.py (expand2square,
t5_tokenizer_image_token).
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avits_jax.nn.pictures import CLIP_MEAN, normalise
from avits_jax.nn.resize import resize_levels

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The "
    "assistant gives helpful, detailed, and polite answers to the user's questions."
)
QUESTION = 'Does this figure show "{text}"? Please answer yes or no.'
ANSWER = "Yes"
_BORDER = tuple(int(255 * mean) for mean in CLIP_MEAN)


def pad_to_square(levels: Float[Array, "*B H W 3"]) -> Float[Array, "*B S S 3"]:
    """Centre pictures of grey levels on a square of CLIP's mean colour."""
    *batch, height, width, _ = levels.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = jnp.broadcast_to(
        jnp.asarray(_BORDER, levels.dtype), (*batch, side, side, 3)
    )
    return square.at[..., top : top + height, left : left + width, :].set(levels)


def prepare_frames(
    levels: Float[Array, "*B H W 3"], side: int
) -> Float[Array, "*B side side 3"]:
    """Turn grey levels in [0, 255] into normalised square pictures.

    Padded, not cropped: the model is asked about all of the picture.
    """
    return normalise(resize_levels(pad_to_square(levels), (side, side)))


def question_ids(
    tokenize: Callable[[str], Sequence[int]], text: str, image_token: int
) -> tuple[Int[np.ndarray, " L"], Int[np.ndarray, " T"]]:
    """Tokenize the question whether an image shows ``text``, and the answer.

    Both sides of the image token are tokenized by themselves, so that an end token
    stands before the image as well: the model was trained that way.

    Args:
        tokenize: text to ids with an end token, as FlanT5's tokenizer does.
        text: what the image should show.
        image_token: id put where the image goes.

    Returns:
        int32 ids of the question and of "Yes".
    """
    before = f"{SYSTEM} USER: "
    after = f"\n{QUESTION.format(text=text)} ASSISTANT: "
    ids = [*tokenize(before), image_token, *tokenize(after)]
    return np.asarray(ids, np.int32), np.asarray(tokenize(ANSWER), np.int32)
