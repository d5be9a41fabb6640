"""Token ids and prompts against their golden."""

import hashlib

from avits_jax.text.clip_bpe import encode
from avits_jax.verifiers.video_reward.prompts import build_prompt
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.registry import register


@register("pre_tokens*", holds=("imagebind_bpe", "videoreward"))
def run_tokens(golden: Golden) -> dict[str, Expect]:
    """ImageBind's ids, and the text of VideoReward's prompts.

    Qwen's vocabulary is not shipped, so its ids are covered by the digest of the text
    that they stand for.
    """
    checks = {}
    for number, case in enumerate(golden.info["imagebind_bpe"]):
        ids = encode(case["text"], len(case["ids"]), keep_end=False)
        checks[f"imagebind_{number}"] = Expect(ids, case["ids"], 0.0)
    for number, case in enumerate(golden.info["videoreward"]):
        prompt = build_prompt(case["caption"])
        digest = hashlib.sha256(prompt.encode()).hexdigest()
        checks[f"prompt_{number}"] = Expect(digest, case["prompt_sha256"], 0.0)
        checks[f"chars_{number}"] = Expect(len(prompt), case["prompt_chars"], 0.0)
    return checks
