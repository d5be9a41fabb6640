"""JavisDiT v0.1: joint audio-video generation (Liu et al., arXiv 2503.23377).

The path of a prompt::

    encode.py     text -> token ids of T5 and of ImageBind (host)
    condition.py  T5, keys and values of text, distribution of the priors; once a prompt
    generator.py  noise and priors of a candidate, guided Euler steps, both decoders
    modeling.py   the transformer (blocks.py, attention.py); prior.py, the autoencoders
    given.py      frames or sound that are given
    load.py       a checkpoint of ``avits convert``, or random weights (weights.py)

Faults and oddities of the original (JavisVerse/JavisDiT at b505b37), and what is done
with them here:

====================================================  ================================
The original                                          Here
====================================================  ================================
couples all candidates of a batch through their       mended; ``prior_scope="batch"``
priors                                                repeats it
lets both halves of guidance see the candidate's      kept;
and the null priors                                   ``prior_scope="separate"``
                                                      parts them
repeats prior keys for every frame and position       mended, the same numbers
gives the null text the prompt's length and mask      kept
makes what steps do not change anew at every step     mended, the same numbers
re-noises frames that enter, then steps from the      mended;
un-noised ones                                        ``mask_update="reference"``
takes a sound token's mask from its first time step   kept
modulates masked frames twice in the final layer      kept
draws noise for all frames at every step, used or     mended: drawn for given clips
not, and unused null priors                           only, from the candidate's key
uses ReLU in the decoder of the priors where GELU     kept: trained so
was meant
does not mask padding in ImageBind's encoder            kept: trained so
has a noise warp of 0 for 2 to 16 frames              mended: 1
rounds sizes, timesteps and the frequencies of        mended;
positions to bfloat16 when it runs in it              ``precision="reference"``
decodes 17 frames at a time, knowing nothing of       kept
their neighbours
makes 32 more samples of sound than there are rows    kept, cut as there
cuts long prompts silently, and ImageBind's end       mended: the end token stays, and
token with them                                       `encode.PromptCut` says what is
                                                      cut
predicts a variance that nothing reads                kept: not read
====================================================  ================================

Precision: networks compute in the dtype of their weights. Whatever it is, float32 are:
latents, timesteps and their embeddings, modulation and gates, patch embedding with its
positions, the last layer, rotary angles, norms, softmax, the moments of the priors, the
statistics of video latents, and the whole decoding of sound.

Root-mean-square difference from the original in float32, over that of the output, on
the tiny goldens (``python tools/javisdit_precision.py``):

==============================  ========  ===================
output                          float32   bfloat16 (weights
                                          are rounded, too)
==============================  ========  ===================
prediction, video and sound     5e-7      0.008, 0.009
end of four guided steps        1e-6      0.013, 0.019
decoded frames                  1.5e-6    0.028
waveform                        1e-6      0.008
==============================  ========  ===================

The original's own bfloat16 was off by up to 0.67 in predictions of about 5 where this
one is off by 0.04 of the root-mean-square at most. ``precision="reference"`` rounds as
the table of faults says; of it the timesteps are checked against the original (goldens
``timesteps_30`` and ``timestep_transform_grid``), the rest has no golden.
"""
