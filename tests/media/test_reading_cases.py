"""Clips that were read wrong once: sound moved, pictures lost, turned, discoloured."""

from fractions import Fraction

import av
import numpy as np
import pytest
from making import bar, bar_places, click, flashes, make_file, set_matrix

from avits_jax.media import read_clip

FRAGMENTED = {"file": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}}
PCM = ("libx264", "pcm_s16le")
TIMES = [index / 25 for index in range(25)]


def places_and_lag(path, clip_at):
    """Return the pictures of a bar that are seen, and the lag of the sound in s."""
    clip = read_clip(path)
    places = bar_places(clip.video)
    level = np.abs(clip.audio).max(0)
    heard = np.argmax(level > 0.4 * level.max()) / clip.sample_rate
    return places, heard - places.index(clip_at) / clip.fps


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("fps", [8, 24, 25, 30, 50])
def test_fragments_with_aac_and_reordered_pictures(tmp_path, fps, rate):
    times = [index / fps for index in range(40)]
    sound = click(times[20], times[-1], rate)
    path = make_file(
        tmp_path / "a.mp4", bar(40), times, sound, rate=rate, options=FRAGMENTED
    )
    places, lag = places_and_lag(path, 20)
    assert abs(lag) < 0.008
    assert sorted(set(places)) == list(range(40)) == list(dict.fromkeys(places))


CODECS = ("libx264", "mpeg4", "mpeg2video")
FILES = [(f"a.{kind}", c) for kind in ("avi", "mkv", "ts", "mov") for c in CODECS]


@pytest.mark.parametrize("reordered", ["0", "2"])
@pytest.mark.parametrize(("name", "codec"), [*FILES, ("a.mpg", "mpeg2video")])
def test_every_picture_once_in_order_with_its_sound(tmp_path, name, codec, reordered):
    sound = "mp2" if name in ("a.mpg", "a.ts") else "pcm_s16le"
    path = tmp_path / name
    write_at_25(path, bar(50), click(0.8, 2, 48_000), (codec, sound), reordered)
    places, lag = places_and_lag(path, 20)
    assert places == list(range(50))
    assert abs(lag) < 0.008


@pytest.mark.parametrize("rate", [16_000, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("fps", [8, 24, 25, 30, 50])
def test_avi_states_no_padding_of_mp3(tmp_path, fps, rate):
    path = with_mp3(tmp_path / "a.avi", fps, rate)
    assert abs(places_and_lag(path, 20)[1]) < 0.008
    assert not read_clip(path).notes


@pytest.mark.parametrize("rate", [32_000, 48_000])
@pytest.mark.parametrize("codec", ["aac", "mp2", "ac3"])
def test_avi_states_no_padding_of_any_codec(tmp_path, codec, rate):
    path = with_sound(tmp_path / "a.avi", 25, rate, codec)
    assert abs(places_and_lag(path, 20)[1]) < 0.001
    assert not read_clip(path).notes


@pytest.mark.parametrize("fps", [24, 25])
@pytest.mark.parametrize("codec", ["pcm_s16le", "libmp3lame"])
def test_avi_with_reordered_pictures_on_a_fine_clock(tmp_path, codec, fps):
    path = with_sound(tmp_path / "a.avi", fps, 48_000, codec, pictures="libx264")
    places, lag = places_and_lag(path, 20)
    assert places == list(range(40))
    assert abs(lag) < 0.001
    assert not read_clip(path).notes


@pytest.mark.parametrize("name, rate", [("a.flv", 44_100), ("a.ts", 48_000)])
def test_timestamps_hold_the_padding_of_mp3(tmp_path, name, rate):
    path = with_mp3(tmp_path / name, 25, rate)
    assert abs(places_and_lag(path, 20)[1]) < 0.008


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_padding_of_mp3_that_is_stated_is_taken_off_once(tmp_path, name, rate):
    path = with_mp3(tmp_path / name, 25, rate)
    assert abs(places_and_lag(path, 20)[1]) < 0.008


def with_mp3(path, fps, rate):
    """Write 40 pictures of a bar, and a click at the one of number 20."""
    return with_sound(path, fps, rate, "libmp3lame")


def with_sound(path, fps, rate, sound_codec, pictures=None):
    """Write the same with sound, and pictures, of any codec."""
    usual = {".flv": "flv", ".ts": "libx264"}.get(path.suffix, "mpeg4")
    times = [index / fps for index in range(40)]
    sound = click(times[20], times[-1], rate)
    codecs = (pictures or usual, sound_codec)
    return make_file(path, bar(40), times, sound, rate=rate, codecs=codecs)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("reordered", ["0", "2"])
def test_mp3_on_a_clock_of_pictures(tmp_path, reordered, codec):
    path, sound = tmp_path / "a.avi", click(0.8, 2, 48_000)
    write_at_25(path, bar(50), sound, (codec, "libmp3lame"), reordered)
    places, lag = places_and_lag(path, 20)
    assert places == list(range(50))
    assert abs(lag) < 0.008


def write_at_25(path, video, audio, codecs, reordered):
    """Write with a clock of 25 ticks a second, which AVI and MPEG-2 need."""
    with av.open(path, "w") as file:
        options = {"bf": reordered, "b": "4M"}
        pictures = file.add_stream(codecs[0], rate=25, options=options)
        pictures.height, pictures.width = video.shape[1:3]
        pictures.pix_fmt = "yuv420p"
        sound = file.add_stream(codecs[1], rate=48_000)
        sound.layout = "mono"
        for index, picture in enumerate(video):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(pictures.encode(frame))
        file.mux(pictures.encode(None))
        mux_pieces(file, sound, [(0.0, audio)], 48_000)


def mux_pieces(file, stream, pieces, rate):
    """Encode pieces of mono sound, each from its second on, in blocks of 1024."""
    kind = stream.codec_context.format.name
    for start, samples in pieces:
        for begin in range(0, samples.shape[1], 1024):
            block = np.ascontiguousarray(samples[:, begin : begin + 1024])
            frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            time = frame.pts = round(start * rate) + begin
            for converted in av.AudioResampler(kind, "mono", rate).resample(frame):
                converted.pts, converted.time_base = time, Fraction(1, rate)
                file.mux(stream.encode(converted))
    file.mux(stream.encode(None))


def write_pieces(path, pieces, *, codec="pcm_s16le", kind=None):
    """Write 25 black pictures in a second, and pieces of sound at 16 kHz."""
    with av.open(path, "w") as file:
        pictures = file.add_stream("libx264", rate=25)
        pictures.height = pictures.width = 32
        pictures.pix_fmt = "yuv420p"
        sound = file.add_stream(codec, rate=16_000)
        sound.layout = "mono"
        if kind:
            sound.codec_context.format = kind
        for index in range(25):
            picture = np.zeros((32, 32, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(pictures.encode(frame))
        file.mux(pictures.encode(None))
        mux_pieces(file, sound, pieces, 16_000)
    return path


@pytest.mark.parametrize("gap", [0.012, 0.04, 0.2])
@pytest.mark.parametrize("late", [0.0, 0.03])
def test_gaps_and_late_starts_are_silence(tmp_path, gap, late):
    begin = late + 0.512 + gap
    pieces = [(late, click(0.1, 0.512, 16_000)), (begin, click(0.1, 0.3, 16_000))]
    clip = read_clip(write_pieces(tmp_path / "a.mkv", pieces))
    clicks = np.flatnonzero(np.diff((clip.audio[0] > 0.4).astype(int)) == 1) / 16_000
    np.testing.assert_allclose(clicks, [late + 0.1, begin + 0.1], atol=0.008)


@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        ("pcm_u8", "u8"),
        ("pcm_s16le", "s16"),
        ("pcm_s32le", "s32"),
        ("pcm_s64le", "s64"),
        ("pcm_f64le", "dbl"),
        ("flac", "s16"),
    ],
)
def test_sound_of_any_number_format(tmp_path, codec, kind):
    wave = 0.5 * np.sin(np.arange(8192, dtype=np.float32) / 5)[None]
    name = "a.mkv" if codec == "flac" else "a.nut"
    path = write_pieces(tmp_path / name, [(0.0, wave)], codec=codec, kind=kind)
    clip = read_clip(path)
    np.testing.assert_allclose(clip.audio[:, :8192], wave, atol=0.02)


def test_sound_above_full_scale_is_clipped_and_said(tmp_path):
    wave = 3 * np.sin(np.arange(8192, dtype=np.float32) / 5)[None]
    path = write_pieces(tmp_path / "a.mkv", [(0.0, wave)], codec="pcm_f32le")
    clip = read_clip(path)
    assert (clip.audio.min(), clip.audio.max()) == (-1, 1)
    assert clip.notes == ("sound above full scale clipped",)


def test_sound_that_is_no_number_is_refused(tmp_path):
    wave = np.full((1, 8192), np.nan, np.float32)
    path = write_pieces(tmp_path / "a.mkv", [(0.0, wave)], codec="pcm_f32le")
    with pytest.raises(ValueError, match="a.mkv has sound that is not a number"):
        read_clip(path)


def test_default_sound_track_is_read(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as file:
        pictures = file.add_stream("libx264", rate=25)
        pictures.height = pictures.width = 32
        pictures.pix_fmt = "yuv420p"
        sounds = [file.add_stream("flac", rate=16_000) for _ in range(2)]
        for sound, default in zip(sounds, (0, 1), strict=True):
            sound.layout, sound.disposition = "mono", default
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        file.mux(pictures.encode(frame) + pictures.encode(None))
        quiet, loud = np.zeros((1, 4096), np.float32), click(0.01, 0.256, 16_000)
        for sound, samples in zip(sounds, (quiet, loud), strict=True):
            mux_pieces(file, sound, [(0.0, samples)], 16_000)
    assert read_clip(path).audio.max() > 0.7


def quarters():
    """One picture: red, green over blue, white."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32, 0] = picture[:24, 32:, 1] = picture[24:, :32, 2] = 230
    picture[24:, 32:] = 230
    return picture[None].repeat(3, 0)


def names_of(picture):
    """Name the colours of a picture's quarters, row by row."""
    height, width = picture.shape[:2]
    places = [(y, x) for y in (1, 3) for x in (1, 3)]
    found = [picture[y * height // 4, x * width // 4] for y, x in places]
    return "".join("W" if p.min() > 150 else "RGB"[p.argmax()] for p in found)


@pytest.mark.parametrize(
    ("matrix", "names"),
    [
        ((1, 0, 0, 1), "RGBW"),
        ((-1, 0, 0, 1), "GRWB"),
        ((1, 0, 0, -1), "BWRG"),
        ((-1, 0, 0, -1), "WBGR"),
        ((0, 1, -1, 0), "BRWG"),
        ((0, -1, 1, 0), "GWRB"),
        ((0, 1, 1, 0), "RBGW"),
        ((0, -1, -1, 0), "WGBR"),
    ],
)
def test_all_ways_to_turn_and_mirror(tmp_path, matrix, names):
    path = make_file(tmp_path / "a.mp4", quarters(), TIMES[:3], click(0.0, 0.2, 48_000))
    set_matrix(path, matrix)
    assert names_of(read_clip(path).video[0]) == names


@pytest.mark.parametrize("limited", [1, 2])
@pytest.mark.parametrize("space", [1, 5])
def test_colours_are_those_of_the_named_matrix(tmp_path, space, limited):
    shades = [(200, 30, 40), (30, 180, 60), (40, 60, 220), (128, 128, 128)]
    picture = np.repeat(np.array(shades, np.uint8)[None], 32, 0).repeat(16, 1)
    path = make_file(
        tmp_path / "a.mp4",
        picture[None].repeat(3, 0),
        TIMES[:3],
        click(0.0, 0.2, 48_000),
        options={"pictures": {"crf": "4"}},
        colors={"colorspace": space, "color_range": limited},
    )
    found = read_clip(path).video[1][8:-8, 8::16]
    assert np.abs(found.astype(int) - np.array(shades)).max() <= 4


def test_undeclared_length_is_cut_with_a_note(tmp_path):
    live = {"file": {"live": "1"}}
    path = make_file(
        tmp_path / "a.webm",
        flashes(TIMES, 5, (32, 32)),
        TIMES,
        click(0.2, 1, 48_000),
        codecs=("libvpx-vp9", "libopus"),
        options=live,
    )
    clip = read_clip(path, max_seconds=0.4)
    assert clip.notes == ("cut to the first 0.4 s",)
    assert len(clip.video) == 10 and clip.audio.shape[1] == 19_200
    assert read_clip(path).notes == ()


def test_files_that_start_late_have_no_false_notes(tmp_path):
    times = [5 + time for time in TIMES]
    path = make_file(
        tmp_path / "a.mkv",
        flashes(times, 15, (32, 32)),
        times,
        click(0.6, 1, 48_000),
        sound_start=5.0,
        codecs=PCM,
    )
    assert read_clip(path).notes == ()
    assert read_clip(path, max_seconds=2.0).notes == ()


def test_pixels_that_cannot_be_meant_are_refused(tmp_path):
    path = make_file(
        tmp_path / "a.mp4",
        flashes(TIMES, 5, (32, 32)),
        TIMES,
        click(0.2, 1, 48_000),
        aspect=Fraction(16),
    )
    with pytest.raises(ValueError, match="pixels are 16 times as wide as high"):
        read_clip(path)


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(64, 45)])
def test_pixels_are_made_square(tmp_path, aspect):
    path = make_file(
        tmp_path / "a.mp4",
        flashes(TIMES, 5, (36, 45)),
        TIMES,
        click(0.2, 1, 48_000),
        pix_fmt="yuv444p",
        aspect=aspect,
    )
    assert read_clip(path).video.shape == (25, 36, round(45 * aspect), 3)
