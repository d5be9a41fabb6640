"""The trainings behind mini: autoencoders, transformer, verifiers and their judges."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from data import Pool, render_levels, wrong_captions
from flax import nnx
from rich.progress import track

from avits_jax.generators.mini.config import MiniConfig
from avits_jax.mini_world import world
from avits_jax.verifiers.mini.verifier import opinion

CONFIG = MiniConfig()
_CODE_NOISE = 0.2  # noise on the autoencoders' codes: robust to the sampler's errors


def create(build, seed: int):
    """A network as (graph definition, weights)."""
    return nnx.split(build(rngs=nnx.Rngs(seed)))


class Latents(NamedTuple):
    """The pool in latent space, standardised per channel."""

    video: np.ndarray  # [P, 16, 32] float16
    audio: np.ndarray  # [P, 16, 24] float16
    stats: dict[str, np.ndarray]  # video_mean, video_std, audio_mean, audio_std


def encode_pool(video, audio, pool: Pool, keys, chunk: int = 128) -> Latents:
    """Encode every clip with the two autoencoders, each a (graph, weights) pair.

    Spectrograms are rendered again from ``keys``: the pool keeps only some of them.
    """

    @jax.jit
    def encode(video_weights, audio_weights, frames, keys):
        frames = _frames(frames).reshape(-1, *frames.shape[2:])
        seen = nnx.merge(video[0], video_weights).encode(frames)
        levels = render_levels(keys)
        heard = nnx.merge(audio[0], audio_weights).encode(levels)
        return seen.reshape(*heard.shape[:2], -1), heard

    parts = [
        encode(video[1], audio[1], pool.video[i : i + chunk], keys[i : i + chunk])
        for i in track(range(0, len(pool.video), chunk), description="encoding clips")
    ]
    found = [np.concatenate(part) for part in zip(*parts, strict=True)]
    stats = {}
    for name, codes in zip(("video", "audio"), found, strict=True):
        stats[f"{name}_mean"] = codes.mean((0, 1), dtype=np.float64).astype(np.float32)
        stats[f"{name}_std"] = codes.std((0, 1), dtype=np.float64).astype(np.float32)
    seen, heard = (
        ((codes - stats[f"{name}_mean"]) / stats[f"{name}_std"]).astype(np.float16)
        for name, codes in zip(("video", "audio"), found, strict=True)
    )
    return Latents(seen, heard, stats)


def _picks(key, count, batch):
    return jax.random.randint(key, (batch,), 0, count)


def _frames(video) -> jax.Array:
    return video.astype(jnp.float32) / 255.0


def video_autoencoder_loss(graph, params, key, data, batch=160):
    """Reconstruct single frames, the object and its surroundings counting most."""
    pick, noise = jax.random.split(key)
    flat = _picks(pick, data["video"].shape[0] * world.NUM_FRAMES, batch)
    frames = _frames(data["video"][flat // world.NUM_FRAMES, flat % world.NUM_FRAMES])
    model = nnx.merge(graph, params)
    codes = model.encode(frames)
    codes = codes + _CODE_NOISE * jax.random.normal(noise, codes.shape)
    error = model.decode(codes) - frames
    background = jnp.median(frames, axis=0, keepdims=True)
    object_ = jnp.max(jnp.abs(frames - background), -1, keepdims=True) > 0.03
    near = jax.lax.reduce_window(
        object_.astype(jnp.float32),
        0.0,
        jax.lax.max,
        (1, 5, 5, 1),
        (1, 1, 1, 1),
        "SAME",
    )
    return jnp.mean((1 + 5 * near) * (jnp.abs(error) + 4 * error**2))


def audio_autoencoder_loss(graph, params, key, data, batch=32):
    """Reconstruct compressed spectrograms, loud bins counting most."""
    pick, noise = jax.random.split(key)
    levels = data["levels"][_picks(pick, data["levels"].shape[0], batch)]
    levels = levels.astype(jnp.float32)
    model = nnx.merge(graph, params)
    codes = model.encode(levels)
    codes = codes + _CODE_NOISE * jax.random.normal(noise, codes.shape)
    error = model.decode(codes) - levels
    return 10 * jnp.mean((0.3 + levels) * error**2)


def flow_loss(graph, params, key, data, batch=96):
    """Predict clean latents; the error is weighted like a velocity's at high noise."""
    k = jax.random.split(key, 5)
    pick = _picks(k[0], data["video"].shape[0], batch)
    clean = [data[name][pick].astype(jnp.float32) for name in ("video", "audio")]
    copy = _picks(jax.random.fold_in(key, 5), data["words"].shape[1], batch)
    words = data["words"][pick, copy].astype(jnp.int32)
    words = jnp.where(jax.random.bernoulli(k[1], 0.1, (batch, 1)), 0, words)
    sigma = jax.nn.sigmoid(0.4 + 1.1 * jax.random.normal(k[2], (batch,)))
    mix = sigma[:, None, None]
    noisy = [
        (1 - mix) * x + mix * jax.random.normal(n, x.shape)
        for x, n in zip(clean, k[3:], strict=True)
    ]
    model = nnx.merge(graph, params)
    found, _ = model(*noisy, sigma, model.encode_text(words))
    weight = 1 / jnp.maximum(sigma, 0.3) ** 2
    errors = [jnp.mean((a - b) ** 2, (1, 2)) for a, b in zip(found, clean, strict=True)]
    return jnp.mean(weight * (errors[0] + errors[1]))


def _augment(key, video, mel):
    """Noise and a dimmer or brighter picture: verifiers must not need clean renders."""
    k = jax.random.split(key, 4)
    amount = 0.06 * jax.random.uniform(k[0], (len(video), 1, 1, 1, 1))
    video = video + amount * jax.random.normal(k[1], video.shape)
    loudness = 0.04 * jax.random.normal(k[2], (len(mel), 1, 1))
    mel = mel + jnp.where(mel > 0.05, loudness, 0.0)
    return video, mel + 0.01 * jax.random.normal(k[3], mel.shape)


def _splice(key, clips):
    """Splice a neighbour into some clips; returns the clips and which were cut."""
    k = jax.random.split(key, 3)
    length, other = clips.shape[1], jnp.roll(clips, 1, 0)
    cut = jax.random.bernoulli(k[0], 0.25, (len(clips),))
    share = jax.random.uniform(k[1], (len(clips), 1), minval=0.25, maxval=0.75)
    after = jnp.arange(length) >= share * length
    after = after ^ jax.random.bernoulli(k[2], 0.5, (len(clips), 1))
    where = (cut[:, None] & after).reshape(len(clips), length, *[1] * (clips.ndim - 2))
    return jnp.where(where, other, clips), cut


def _matching_loss(graph, params, key, data, modality, batch):
    """Pairwise sigmoid loss: clip i matches text j where all named attributes agree."""
    k = jax.random.split(key, 4)
    pick = _picks(k[0], len(data["words"]), batch)
    video = (
        _frames(data["video"][pick])
        if modality == "video"
        else jnp.zeros((batch, 1, 1, 1, 1))
    )
    video, mel = _augment(k[1], video, data["mel"][pick].astype(jnp.float32))
    clips, cut = _splice(k[2], video if modality == "video" else mel)
    named = data["attributes"][pick][:, [0, 1, 2] if modality == "video" else [2, 3]]
    agree = jnp.all(named[:, None] == named[None], -1) & ~cut[:, None]
    model = nnx.merge(graph, params)
    text = model.embed_text(data["words"][pick].astype(jnp.int32))
    logits = model.logit(model.embed_media(clips) @ text.T)
    sign = jnp.where(agree, 1.0, -1.0)
    return -jnp.mean(jnp.sum(jax.nn.log_sigmoid(sign * logits), 1))


def _desynchronise(key, mel, timing, attributes):
    """Shift, mute or swap the sound; returns it and whether it still fits."""
    k = jax.random.split(key, 6)
    batch, length = mel.shape[:2]
    seconds = length / (world.NUM_SAMPLES / world.SAMPLE_RATE)
    kind = jax.random.choice(
        k[0], 4, (batch,), p=jnp.array([0.45, 0.3, 0.15, 0.1])
    )  # in step, shifted, muted from some impact on, another clip's
    small = jax.random.randint(k[1], (batch,), -2, 3)
    large = jax.random.randint(k[2], (batch,), 10, 56)
    large = jnp.where(jax.random.bernoulli(k[3], 0.5, (batch,)), large, -large)
    index = jnp.arange(length) - jnp.where(kind == 1, large, small)[:, None]
    inside = (index >= 0) & (index < length)
    moved = jnp.take_along_axis(mel, jnp.clip(index, 0, length - 1)[..., None], 1)
    moved = jnp.where(inside[..., None], moved, 0.0)
    hit = jax.random.randint(k[4], (batch,), 0, 4) % attributes[:, 2]
    start = seconds * (timing[:, 0] + hit * timing[:, 1])
    span = seconds * timing[:, 1]
    place = jnp.arange(length) - start[:, None] + 2
    muted = ((kind == 2)[:, None] & (place >= 0) & (place < span[:, None]))[..., None]
    swapped = jnp.roll(mel, 1, 0)
    same = (jnp.abs(jnp.roll(timing, 1, 0) - timing).max(-1) < 0.15) & (
        jnp.roll(attributes, 1, 0)[:, 2] == attributes[:, 2]
    )
    kind = jnp.where((kind == 3) & same, 0, kind)
    sound = jnp.where((kind == 3)[:, None, None], swapped, jnp.where(muted, 0.0, moved))
    return sound, kind == 0


def synchrony_loss(graph, params, key, data, batch=64):
    """Tell sound that fits the picture from sound that was shifted, cut or swapped."""
    k = jax.random.split(key, 3)
    pick = _picks(k[0], len(data["words"]), batch)
    mel, fits = _desynchronise(
        k[1],
        data["mel"][pick].astype(jnp.float32),
        data["timing"][pick],
        data["attributes"][pick],
    )
    video, mel = _augment(k[2], _frames(data["video"][pick]), mel)
    logits = nnx.merge(graph, params)(video, mel)
    return -jnp.mean(jax.nn.log_sigmoid(jnp.where(fits, logits, -logits)))


def _spoil_picture(key, video):
    """Blur, veil, flicker and noise; returns the frames and how much is spoilt."""
    k = jax.random.split(key, 6)
    shape = (len(video), 1, 1, 1, 1)
    blur, veil, flicker, noise = jax.random.uniform(k[0], (4, *shape))
    used = jax.random.bernoulli(k[1], 0.5, (4, *shape))
    blur, veil, flicker, noise = used * jnp.stack([blur, veil, flicker, noise]) ** 1.5
    soft = jax.lax.reduce_window(
        video, 0.0, jax.lax.add, (1, 1, 3, 3, 1), (1,) * 5, "SAME"
    )
    video = video + blur * (soft / 9 - video)
    video = video + 0.5 * veil * (jnp.roll(video, 1, 0) - video)
    pulse = jax.random.normal(k[2], (len(video), world.NUM_FRAMES, 1, 1, 1))
    video = video * (1 + 0.25 * flicker * pulse)
    video = video + 0.2 * noise * jax.random.normal(k[3], video.shape)
    clean = (1 - blur) * (1 - veil) * (1 - flicker) * (1 - noise)
    return video, 1 - clean.reshape(-1)


def _spoil_sound(key, mel):
    """Another clip's sound, a noise floor, holes; returns mel and how much."""
    k = jax.random.split(key, 5)
    shape = (len(mel), 1, 1)
    other, floor, holes = jax.random.uniform(k[0], (3, *shape))
    used = jax.random.bernoulli(k[1], 0.5, (3, *shape))
    other, floor, holes = used * jnp.stack([other, floor, holes]) ** 1.5
    mel = jnp.maximum(mel, jnp.roll(mel, 1, 0) * other)
    hiss = floor * (0.3 + 0.05 * jax.random.normal(k[2], mel.shape))
    mel = jnp.maximum(mel, hiss)
    quiet = jax.random.bernoulli(k[3], 0.4 * holes, (len(mel), mel.shape[1], 1))
    mel = jnp.where(quiet, 0.0, mel)
    clean = (1 - other) * (1 - floor) * (1 - holes)
    return mel, 1 - clean.reshape(-1)


def _calm(key, video, mel, data):
    """Stop some pictures and some sounds early; returns both and the impacts left."""
    k = jax.random.split(key, 4)
    batch, length = mel.shape[:2]
    ends = jax.random.uniform(k[0], (2, batch), minval=0.1, maxval=2.0)
    ends = jnp.where(jax.random.bernoulli(k[1], 0.3, (2, batch)), ends, 2.0)
    last = jnp.clip((ends[0] * world.FPS).astype(jnp.int32), 0, world.NUM_FRAMES - 1)
    frame = jnp.minimum(jnp.arange(world.NUM_FRAMES), last[:, None])
    video = jnp.take_along_axis(video, frame[..., None, None, None], 1)
    seconds = jnp.arange(length) * (world.SECONDS / length)
    mel = jnp.where((seconds < ends[1][:, None])[..., None], mel, 0.0)
    hits = data["timing"][:, :1] + jnp.arange(4) * data["timing"][:, 1:]
    counted = jnp.arange(4) < data["attributes"][:, 2:3]
    left = jnp.sum(counted & (hits < ends[:, :, None]), -1)
    return video, mel, jnp.mean(left.astype(jnp.float32), 0)


def quality_loss(graph, params, key, data, batch=64):
    """Meet the opinions of simulated raters, who do not see the prompt.

    A clean clip is worth 5 less 0.7 for each impact seen and heard: they like it calm.
    What is spoilt takes up to 3.5 off; two raters differ by about 0.2.
    """
    k = jax.random.split(key, 5)
    pick = _picks(k[0], len(data["words"]), batch)
    own = {name: data[name][pick] for name in ("timing", "attributes")}
    video, mel = _frames(data["video"][pick]), data["mel"][pick].astype(jnp.float32)
    video, mel, busy = _calm(k[1], video, mel, own)
    video, seen = _spoil_picture(k[2], video)
    mel, heard = _spoil_sound(k[3], mel)
    spoilt = 1 - (1 - seen) * (1 - heard)
    raters = 0.2 * jax.random.normal(k[4], (batch,))
    wanted = jnp.clip(5 - 0.7 * busy - 3.5 * spoilt + raters, 1.0, 5.0)
    return jnp.mean((opinion(nnx.merge(graph, params)(video, mel)) - wanted) ** 2)


LOSSES = {
    "video_autoencoder": video_autoencoder_loss,
    "audio_autoencoder": audio_autoencoder_loss,
    "mini_tv": partial(_matching_loss, modality="video", batch=64),
    "mini_ta": partial(_matching_loss, modality="audio", batch=64),
    "mini_av": synchrony_loss,
    "mini_quality": quality_loss,
    "transformer": flow_loss,
    "captions": flow_loss,
}
_COLUMNS = {
    "video_autoencoder": ("video",),
    "audio_autoencoder": ("levels",),
    "mini_tv": ("video", "mel", "attributes", "words"),
    "mini_ta": ("mel", "attributes", "words"),
    "mini_av": ("video", "mel", "attributes", "words", "timing"),
    "mini_quality": ("video", "mel", "attributes", "words", "timing"),
}
# How often a caption names another colour, shape, number of impacts, sound.
WRONG = (0.2, 0.2, 0.09, 0.2)
_CAPTIONS, _CAPTIONS_SEED = 4, 3


def training_data(name: str, pool: Pool, latents: Latents | None) -> dict:
    """What a stage trains on: columns of the pool, or the transformer's latents."""
    if latents is None or name not in ("transformer", "captions"):
        columns = _COLUMNS[name.removesuffix("_judge")]
        return {column: jnp.asarray(getattr(pool, column)) for column in columns}
    words = pool.words[:, None]
    if name == "captions":
        words = wrong_captions(pool.attributes, WRONG, _CAPTIONS, _CAPTIONS_SEED)
    return {
        "video": jnp.asarray(latents.video),
        "audio": jnp.asarray(latents.audio),
        "words": jnp.asarray(words),
    }
