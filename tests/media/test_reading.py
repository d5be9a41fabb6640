"""Reading files of other makers: rates, layouts, sizes, offsets, and broken files."""

import av
import numpy as np
import pytest
from making import click, flashes, make_file, set_matrix

from avits_jax.media import read_clip

CONSTANT = [index / 25 for index in range(25)]


def lag(clip) -> float:
    """Time of the click minus time of the flash, in seconds."""
    flash = np.argmax(clip.video.mean((1, 2, 3)) > 100) / clip.fps
    return np.argmax(np.abs(clip.audio[0]) > 0.3) / clip.sample_rate - flash


@pytest.mark.parametrize(
    ("name", "options", "channels"),
    [
        ("a.mp4", {}, 1),
        ("a.mkv", {"layout": "stereo"}, 2),
        ("a.mkv", {"layout": "5.1"}, 6),
        ("a.mkv", {"codecs": ("libx264", "pcm_s16le"), "rate": 22_050}, 1),
        ("a.webm", {"codecs": ("libvpx-vp9", "libopus")}, 1),
    ],
)
def test_containers_and_layouts(tmp_path, name, options, channels):
    rate = options.get("rate", 48_000)
    video = flashes(CONSTANT, 12, (48, 64))
    audio = click(12 / 25, 1.0, rate, channels)
    clip = read_clip(make_file(tmp_path / name, video, CONSTANT, audio, **options))
    assert clip.video.shape == (25, 48, 64, 3)
    assert clip.fps == 25 and clip.notes == ()
    assert len(clip.audio) == channels and clip.sample_rate == rate
    assert abs(clip.audio.shape[1] / rate - 1.0) < 0.05
    assert abs(lag(clip)) < 0.02


def test_odd_size(tmp_path):
    video = flashes(CONSTANT, 12, (33, 47))
    clip = read_clip(
        make_file(
            tmp_path / "a.mkv",
            video,
            CONSTANT,
            click(0.5, 1, 48_000),
            pix_fmt="yuv444p",
        )
    )
    assert clip.video.shape == (25, 33, 47, 3)


def test_variable_rate_follows_the_timestamps(tmp_path):
    times = [0.0, 0.04, 0.08, 0.6, 0.64, 0.68, 0.72]
    path = make_file(
        tmp_path / "a.mp4", flashes(times, 3, (32, 32)), times, click(0.6, 1, 48_000)
    )
    clip = read_clip(path)
    assert clip.fps == 25
    assert clip.notes == ("variable frame rate made constant at 25 fps",)
    lit = np.flatnonzero(clip.video.mean((1, 2, 3)) > 100)
    assert lit.tolist() == [15]
    assert abs(lag(clip)) < 0.01


@pytest.mark.parametrize(
    ("first", "sound_start", "note"),
    [
        (0.0, 0.4, ("sound starts 0.40 s after the picture: silence added",)),
        (0.3, 0.0, ("sound starts 0.30 s before the picture: cut",)),
    ],
)
def test_start_times_keep_the_clock(tmp_path, first, sound_start, note):
    times = [first + time for time in CONSTANT]
    audio = click(first + 0.6 - sound_start, 1.3 - sound_start, 48_000)
    path = make_file(
        tmp_path / "a.mkv",
        flashes(times, 15, (32, 32)),
        times,
        audio,
        sound_start=sound_start,
        codecs=("libx264", "pcm_s16le"),
    )
    clip = read_clip(path)
    assert clip.notes == note
    assert abs(lag(clip)) < 0.02


def test_phone_picture_is_set_upright(tmp_path):
    video = np.zeros((25, 32, 64, 3), np.uint8)
    video[:, :, :16] = 255  # the left edge; turned clockwise it is the upper edge
    path = make_file(tmp_path / "a.mp4", video, CONSTANT, click(0.5, 1, 48_000))
    set_matrix(path, (0, 1, -1, 0))
    clip = read_clip(path)
    assert clip.video.shape == (25, 64, 32, 3)
    assert clip.video[0, 4].min() > 200 and clip.video[0, 40].max() < 50


def test_one_frame(tmp_path):
    path = make_file(
        tmp_path / "a.mp4", flashes([0.0], 0, (32, 32)), [0.0], click(0.01, 1, 48_000)
    )
    clip = read_clip(path)
    assert clip.video.shape == (1, 32, 32, 3) and clip.video.min() > 200


def test_reads_no_more_than_asked(tmp_path):
    path = make_file(
        tmp_path / "a.mp4",
        flashes(CONSTANT, 5, (32, 32)),
        CONSTANT,
        click(0.2, 1, 48_000),
    )
    clip = read_clip(path, max_seconds=0.4)
    assert clip.video.shape[0] == 10 and clip.audio.shape[1] == 19_200
    assert clip.notes == ("1.0 s cut to the first 0.4 s",)


def test_damaged_end_is_noted(tmp_path):
    path = make_file(
        tmp_path / "a.mkv",
        np.random.default_rng(0).integers(0, 255, (25, 64, 64, 3), np.uint8),
        CONSTANT,
        click(0.2, 1, 48_000),
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    clip = read_clip(path)
    assert 0 < len(clip.video) < 20
    assert any("s are there" in note for note in clip.notes)


def test_missing_and_folder(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_clip(tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="is a folder"):
        read_clip(tmp_path)


@pytest.mark.parametrize("data", [b"", b"not a film" * 500])
def test_corrupt(tmp_path, data):
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="cannot be read") as caught:
        read_clip(path)
    assert "\n" not in str(caught.value) and "a.mp4" in str(caught.value)


def test_truncated_mp4(tmp_path):
    """Versions of FFmpeg differ in how much of the index they still make out."""
    path = make_file(
        tmp_path / "a.mp4",
        flashes(CONSTANT, 5, (32, 32)),
        CONSTANT,
        click(0.2, 1, 48_000),
    )
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ValueError, match="cannot be read|has no sound"):
        read_clip(path)


def test_no_sound_and_no_picture(tmp_path):
    silent = make_file(
        tmp_path / "a.mp4", flashes(CONSTANT, 5, (32, 32)), CONSTANT, None
    )
    with pytest.raises(ValueError, match="no sound track"):
        read_clip(silent)
    blind = make_file(tmp_path / "b.mp4", None, [], click(0.2, 1, 48_000))
    with pytest.raises(ValueError, match="no picture track"):
        read_clip(blind)


def test_no_frames(tmp_path):
    """A picture track whose every packet is rubbish."""
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as file:
        video = file.add_stream("mpeg4", rate=25)
        video.height = video.width = 32
        sound = file.add_stream("aac", rate=48_000)
        sound.layout = "mono"
        file.start_encoding()
        packet = av.Packet(b"\x00" * 40)
        packet.stream, packet.pts, packet.dts = video, 0, 0
        file.mux(packet)
        frame = av.AudioFrame.from_ndarray(click(0.2, 1, 48_000), "fltp", "mono")
        frame.sample_rate = 48_000
        file.mux(sound.encode(frame) + sound.encode(None))
    with pytest.raises(ValueError, match="no frames"):
        read_clip(path)


def test_refuses_a_limit_of_nothing(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    with pytest.raises(ValueError, match="max_seconds"):
        read_clip(path, max_seconds=0)
