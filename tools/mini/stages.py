"""The six trainings behind mini: two autoencoders, the transformer, three verifiers."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from data import Pool, render_levels
from flax import nnx
from rich.progress import track

from avits_jax.generators.mini.config import MiniConfig
from avits_jax.mini_world import world

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
    words = data["words"][pick].astype(jnp.int32)
    words = jnp.where(jax.random.bernoulli(k[1], 0.1, (batch, 1)), 0, words)
    sigma = jax.nn.sigmoid(0.4 + 1.1 * jax.random.normal(k[2], (batch,)))
    mix = sigma[:, None, None]
    noisy = [
        (1 - mix) * x + mix * jax.random.normal(n, x.shape)
        for x, n in zip(clean, k[3:], strict=True)
    ]
    model = nnx.merge(graph, params)
    found = model(*noisy, sigma, model.encode_text(words))
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


LOSSES = {
    "video_autoencoder": video_autoencoder_loss,
    "audio_autoencoder": audio_autoencoder_loss,
    "mini_tv": partial(_matching_loss, modality="video", batch=64),
    "mini_ta": partial(_matching_loss, modality="audio", batch=64),
    "mini_av": synchrony_loss,
    "transformer": flow_loss,
}
_COLUMNS = {
    "video_autoencoder": ("video",),
    "audio_autoencoder": ("levels",),
    "mini_tv": ("video", "mel", "attributes", "words"),
    "mini_ta": ("mel", "attributes", "words"),
    "mini_av": ("video", "mel", "attributes", "words", "timing"),
}


def training_data(name: str, pool: Pool, latents: Latents | None) -> dict:
    """What a stage trains on: columns of the pool, or the transformer's latents."""
    if latents is None or name != "transformer":
        return {column: jnp.asarray(getattr(pool, column)) for column in _COLUMNS[name]}
    return {
        "video": jnp.asarray(latents.video),
        "audio": jnp.asarray(latents.audio),
        "words": jnp.asarray(pool.words),
    }
