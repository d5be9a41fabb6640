"""Pictures in files: read upright, or refused in one line."""

import struct

import av
import numpy as np
import pytest
from making import flashes, make_file

from avits_jax.media import read_image
from avits_jax.media.decoding import MAX_PIXELS


def _write(path, codec, pix_fmt, picture, options=None):
    with av.open(path, "w", format="image2") as file:
        stream = file.add_stream(codec, rate=1, options=options or {})
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = pix_fmt
        file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def picture():
    """Red, green and blue stripes, with a white upper left corner."""
    found = np.zeros((38, 52, 3), np.uint8)
    found[:, :18, 0] = found[:, 18:36, 1] = found[:, 36:, 2] = 255
    found[:8, :8] = 255
    return found


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "error"),
    [
        ("a.png", "png", "rgb24", 0),
        ("a.bmp", "bmp", "bgr24", 0),
        ("a.tiff", "tiff", "rgb24", 0),
        ("a.jpg", "mjpeg", "yuvj444p", 12),
        ("a.webp", "libwebp", "bgra", 20),
        ("100%d.png", "png", "rgb24", 0),
    ],
)
def test_pictures_are_read_as_they_are(name, codec, pix_fmt, error, picture, tmp_path):
    path = tmp_path / name
    written = _write(tmp_path / "plain", codec, pix_fmt, picture)
    written.rename(path)
    found = read_image(path)
    assert found.shape == picture.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - picture).mean() <= error


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_photo_is_turned_as_its_camera_was(orientation, turns, picture, tmp_path):
    path = _write(tmp_path / "a.jpg", "mjpeg", "yuvj444p", picture)
    plain, content = read_image(path), path.read_bytes()
    entry = struct.pack("<HHHII", 1, 0x0112, 3, 1, orientation)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes(content[:2] + segment + content[2:])
    np.testing.assert_array_equal(read_image(path), np.rot90(plain, turns))


def test_what_is_no_picture_is_refused_in_one_line(picture, tmp_path):
    clip = make_file(
        tmp_path / "clip.mp4", flashes([0, 0.1, 0.2], 0, (32, 32)), [0, 0.1, 0.2], None
    )
    text = tmp_path / "text.png"
    text.write_text("no picture")
    whole = _write(tmp_path / "whole.png", "png", "rgb24", picture).read_bytes()
    half = tmp_path / "half.png"
    half.write_bytes(whole[:40])
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    for path, message in [
        (clip, "is none: QuickTime / MOV"),
        (text, "cannot be read"),
        (half, "cannot be read"),
        (empty, "cannot be read"),
        (tmp_path, "is a folder"),
        (tmp_path / "no.png", "does not exist"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            read_image(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_picture_that_says_it_is_huge_is_not_decoded(picture, tmp_path):
    content = bytearray(
        _write(tmp_path / "a.bmp", "bmp", "bgr24", picture).read_bytes()
    )
    side = int(MAX_PIXELS**0.5) + 10
    content[18:26] = side.to_bytes(4, "little") * 2
    (tmp_path / "a.bmp").write_bytes(content)
    with pytest.raises(ValueError, match="picture .*a.bmp"):
        read_image(tmp_path / "a.bmp")
