"""LTX-2 and LTX-2.3: video with stereo sound from text (Lightricks, 2026).

The path of a prompt::

    encode.py       text and negative text -> token ids of Gemma-3 (host)
    text/           Gemma-3, features of all its states, connectors; once a prompt
    condition.py    contexts, tables of positions, what is given
    generator.py    noise of a candidate, guided Euler steps, all decoders
    guidance.py     branches by text, perturbed and isolated, and their sum
    transformer/    the audio-video transformer
    video_vae/      latents to frames and back; pictures.py fits pictures to a clip
    audio_vae/, vocoder/   latents to a spectrogram and back; to sound at 24 or 48 kHz
    conditioning.py, given.py   a first frame, keyframes, a sound that are given
    refiner.py, upsampler/      the second stage, at twice the height and width
    load.py         a checkpoint of ``avits convert``, or random weights

There are two published implementations, Lightricks' (ltx-core and ltx-pipelines, 1.0.0
and 1.2.0) and diffusers (0.42.1). Where they differ:

=======================  =====================  ==============  =======================
What                     Lightricks             diffusers       Here
=======================  =====================  ==============  =======================
tokens of the            4096, whatever the     the clip's own  4096;
schedule                 clip                                   ``schedule_tokens``
deviations of the        of the whole batch     of each         of each candidate;
rescale                                         candidate       ``rescale_over``
positions of the         bfloat16 in 1.0.0,     float32         float32;
picture                  float32 in 1.2.0                       ``positions``
latents between steps    bfloat16               float32         float32
clean samples of         level of the token     of the step     of the token;
partly given tokens                                             ``clean_rule``
a keyframe lasts         8 frames in 1.0.0,     one frame       one frame; ``bounds``
                         one in 1.2.0                           of `with_keyframe`
level of a sound that    the step's in 1.0.0,   (not offered)   0;
is given whole           0 in 1.2.0                             ``given_sigma``
sound of 16 kHz before   cut to [-1, 1]         as it is        cut; ``clamp``
it is extended
sound after the          of stage 2 in 1.0.0,   of stage 2      of stage 2;
second stage             of stage 1 in 1.2.0                    ``refined_audio``
its first frame, if      encoded at full size   upsampled       encoded at full size;
given                                                           ``refined_first_frame``
its partly given         begin as given in      as given        as given;
tokens                   1.0.0, not in 1.2.0                    ``refined_partly``
a picture that is given  H.264 compressed it    likewise        not compressed
negative prompt          long; longer in 1.2.0  none unless      that of 1.0.0;
                                                asked for       ``negative_prompt``
first level              0.99999994             0.99999994      1
=======================  =====================  ==============  =======================

Of seeds neither is repeated: noise comes from a candidate's key.

Precision: networks compute in the dtype of their weights. Whatever it is, float32 are:
latents, noise levels and their embeddings, guidance, rotary angles, norms' statistics,
softmax, statistics of latents, and the vocoder. ``float8`` stores the block's linears
as e4m3 without scales, as ltx-pipelines' ``fp8-cast`` does, and casts them at use.

Licences, for a person to judge: weights and code of LTX-2 and LTX-2.3 are under the
LTX-2 Community License (5 January 2026): free below USD 10 million of annual revenue,
with restrictions of use that must be passed on. Its definition of derivatives names
"derivative model architectures ... based upon" LTX-2's architecture; whether an
independent implementation such as this one is touched by that clause is left to the
owner. Gemma-3's weights are under the Gemma Terms of Use. No weights are shipped. What
is here was written from diffusers (Apache-2.0) and from conformance data.

LTX-2.5 would take: no biases in the picture's feed-forward layers and a learned
embedding of tokens whose latent frame is a single frame (two changes of the
transformer); Gemma-4 12B as LTX fine-tuned it, with a tokenizer of its own, in the
place of Gemma-3; a checkpoint of one file a component. The decoder of 2.3 serves its
latents. Its diffusion decoder, the network that guesses durations, keyframe slots and
the pipeline "DFR" would be additions. It is not offered.
"""
