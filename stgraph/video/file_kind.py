"""File kinds by first bytes, for files that are not videos, and missing bytes at a file's end."""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from typing import Any

Path = str | os.PathLike[str]

_HEAD = 1 << 16  # bytes looked at
_BOM = b"\xef\xbb\xbf"

# Beginnings of files that are not videos. FFmpeg calls most "invalid data", and takes some pictures for one-frame
# videos.
_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "a picture (PNG)",
    b"BM": "a picture (BMP)",
    b"II*\0": "a picture (TIFF)",
    b"MM\0*": "a picture (TIFF)",
    b"8BPS": "a picture (PSD)",
    b"\xff\x0a": "a picture (JPEG XL)",
    b"\0\0\0\x0cJXL ": "a picture (JPEG XL)",
    b"\0\0\0\x0cjP  ": "a picture (JPEG 2000)",
    b"ID3": "an audio file (MP3)",
    b"fLaC": "an audio file (FLAC)",
    b"FORM": "an audio file (AIFF)",
    b"#!AMR": "an audio file (AMR)",
    b".snd": "an audio file (AU)",
    b"MThd": "an audio file (MIDI)",
    b"WEBVTT": "a file of subtitles (WebVTT)",
    b"[Script Info]": "a file of subtitles (ASS)",
    b"#EXTM3U": "a playlist (M3U), which names videos and holds none",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf'\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x93NUMPY": "a NumPy array",
}
_RIFF = {b"WAVE": "an audio file (WAV)", b"WEBP": "a picture (WebP)"}
_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"avif": "AVIF"}


def kind_of(path: Path) -> str | None:
    """The kind of a file that is not a video, such as "a picture (PNG)"; None if it may be a video.

    Raises
    ------
    OSError
        it cannot be read
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "empty"
    if not head.strip(b"\0"):
        return f"all zeros in its first {len(head):,} bytes"
    if head.startswith(b"\x89PNG") and b"acTL" in head:
        return None  # an animated PNG, which FFmpeg plays
    if head.startswith(b"\xff\xd8\xff") and b"MPF\0" in head:
        return "a picture (JPEG)"  # with others inside, as phones write it: FFmpeg would play them
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] in _RIFF:
        if head[8:12] == b"WEBP" and b"ANIM" in head[12:64]:
            return "an animation (WebP), which FFmpeg does not decode"
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp" and head[8:12] in _BRANDS:
        return f"a picture ({_BRANDS[head[8:12]]})"
    text = head.removeprefix(_BOM)
    named = next((kind for start, kind in _BEGINNINGS.items() if text.startswith(start)), None)
    return named or _sound(head) or _text(text)


def is_jpeg(path: Path) -> bool:
    """Whether a file begins like a JPEG picture, which raw MJPEG, a sequence of them, also does."""
    with open(path, "rb") as file:
        return file.read(3) == b"\xff\xd8\xff"


def _sound(head: bytes) -> str | None:
    """MP3 and AAC without a container begin with a frame: eleven set bits, then fields with some reserved values."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "an audio file (AAC)"
    layer, bit_rate, sampling = head[1] & 0x06, head[2] & 0xF0, head[2] & 0x0C
    return "an audio file (MP3)" if layer == 0x02 and bit_rate != 0xF0 and sampling != 0x0C else None


def _text(text: bytes) -> str | None:
    """SubRip subtitles, or any other text; the header of Y4M is text too, followed by pictures."""
    lines = text[:200].splitlines()
    if len(lines) > 1 and lines[0].strip().isdigit() and b"-->" in lines[1]:
        return "a file of subtitles (SubRip)"
    try:
        # A letter of up to four bytes may be cut in two where the part that was read ends.
        letters = getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return None
    plain = all(letter.isprintable() or letter.isspace() for letter in letters)
    return "a text file" if plain and not text.startswith(b"YUV4MPEG2") else None


def missing_bytes(path: Path) -> int:
    """Number of bytes missing at a file's end by its own sizes; 0 if it states none.

    Reads the sizes of the outermost parts of MP4 and QuickTime, Matroska and WebM, AVI.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(64)
        if head[:4] == b"RIFF":
            return max(0, int.from_bytes(head[4:8], "little") + 8 - size)
        if head[:4] == b"\x1aE\xdf\xa3":
            return max(0, _matroska_end(head) - size)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return max(0, _media_end(file, size) - size)
    return 0


def _matroska_end(head: bytes) -> int:
    """End of the segment after the header; 0 if left open, as in a live recording."""
    length, data = _number(head, 4)
    at = data + length
    if head[at : at + 4] != b"\x18S\x80g":
        return 0
    length, data = _number(head, at + 4)
    unknown = (1 << 7 * (data - at - 4)) - 1
    return 0 if length == unknown else data + length


def _number(head: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 8 bytes, one more than its first byte has leading zeros, and its end."""
    first = head[at] if at < len(head) else 0
    n_bytes = 9 - first.bit_length() if first else 8
    value = int.from_bytes(head[at : at + n_bytes], "big") & ((1 << 7 * n_bytes) - 1)
    return value, at + n_bytes


def _media_end(file: Any, size: int) -> int:
    """End of the last box with pictures and sound, by its stated size."""
    at = end = 0
    while at + 8 <= size:
        file.seek(at)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:16], "big")
        if length < 8:
            break  # 0: to the end of the file
        if box[4:8] == b"mdat":
            end = at + length
        at += length
    return end
