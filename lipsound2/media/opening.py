"""The one way into a media file: a regular file of this machine, opened as such, whatever its name or content asks for.

ffmpeg takes `http://...`, `concat:...` and `%03d.png` for addresses and patterns, waits for pipes, and follows lists to
other files. Here it is given the bytes of one file, without its name, and every further file it asks for is refused.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
from av.container import InputContainer

from lipsound2.errors import ClipFailure, is_machine_error
from lipsound2.files import open_flags
from lipsound2.media.clock import Clock
from lipsound2.media.ffmpeg_log import LogCapture, capture_log

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_SECOND = "Found duplicated MOOV Atom"  # ffmpeg's words on an MP4 file behind an MP4 file
_READ = 1 << 18  # bytes ffmpeg asks for at once
_HEAD = 4  # bytes by which most kinds of files are known
_REST = 0.05  # of a file, that may lie behind its last packet: an index, tags
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@dataclass
class Media:
    """An open file.

    Attributes:
        path: of it.
        container: ffmpeg's view of it.
        log: messages of ffmpeg, each line once.
        capture: a block of work on this file, whose warnings go into the log.
        clock: of its tracks, as far as `packets` came.
        broken: why reading ended before the end of the file; empty: it did not.
    """

    path: Path
    container: InputContainer
    log: list[str]
    capture: LogCapture
    file: _File
    clock: Clock = field(default_factory=Clock)
    broken: str = ""
    _far: int = 0  # bytes up to the end of the packets that came
    _unread: bool = False  # a recording begins behind them

    def packets(self) -> Iterator[av.Packet]:
        """Packets of all video and audio tracks, in the file's order and on one clock; an empty one ends each track.

        The readers of the video and of the audio see the same packets, and so the same clock.

        Raises:
            ClipFailure: `unreadable`: the clock leaves more out than can be filled.
            OSError, MemoryError: the machine failed, not the file.
        """
        streams = [each for each in (*self.container.streams.video, *self.container.streams.audio) if not cover(each)]
        packets = self.container.demux(streams)
        while True:
            with self.capture:
                try:
                    packet = next(packets)
                except StopIteration:
                    self._check()
                    self._unread = self.file.begins_again(self._far)
                    return
                except IndexError:
                    # A track appears that was not there when the file was opened: PyAV has no place for its packets.
                    packets = self.container.demux(streams)
                    continue
                except av.FFmpegError as error:
                    self._check()
                    if is_machine_error(error):
                        raise
                    # What came before a broken end is still good.
                    self.broken = f"reading stopped: {error.strerror}"
                    self.log.append(self.broken)
                    return
            self._check()
            if packet.pos is not None:
                self._far = max(self._far, packet.pos + packet.size)
            try:
                self.clock.place(packet)
            except ValueError as error:
                raise ClipFailure("unreadable", f"{shown(self.path)}: {error}") from error
            yield packet

    @property
    def behind(self) -> str:
        """What lies behind the recording and is not read, in words, as known behind the last packet; empty: nothing."""
        if self._unread or any(_SECOND in line for line in self.log):
            return "a second recording is joined behind this one, and left out: this kind of file cannot be joined so"
        return ""

    def _check(self) -> None:
        if self.file.error is not None:
            raise self.file.error


@contextlib.contextmanager
def opened(path: Path | str, log: list[str] | None = None) -> Iterator[Media]:
    """Open a media file for reading.

    Args:
        path: a file of this machine; names that look like addresses, options or patterns are names.
        log: list that ffmpeg's messages are added to.

    Raises:
        ClipFailure: `unreadable`: no such file, no regular file, nothing ffmpeg knows, or a list of other files.
        OSError, MemoryError: the machine failed, not the file.
    """
    log = [] if log is None else log
    asked: list[str] = []

    def other(url: str, _flags: int, _options: dict[str, str]) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO()

    with contextlib.closing(_File(path)) as file, capture_log(log) as capture:
        try:
            with capture:
                container = av.open(
                    file,
                    metadata_errors="replace",
                    buffer_size=_READ,
                    container_options={"protocol_whitelist": "none"},
                    io_open=other,
                )
        except av.FFmpegError as error:
            if file.error is not None:
                raise file.error from error
            if is_machine_error(error):
                raise
            _only_itself(path, asked, log)
            messages = f" (ffmpeg: {'; '.join(log[:4])})" if log else ""
            raise ClipFailure("unreadable", f"{shown(path)}: cannot be opened: {error.strerror}{messages}") from error
        assert isinstance(container, InputContainer)
        with container:
            _only_itself(path, asked, log)
            yield Media(Path(path), container, log, capture, file)


def cover(stream: av.stream.Stream) -> bool:
    """Whether a track is a cover image, a thumbnail or a still image, and no video."""
    kinds = av.stream.Disposition
    return bool(stream.disposition & (kinds.attached_pic | kinds.timed_thumbnails | kinds.still_image))


def shown(path: Path | str) -> str:
    """A path as it can be printed and written down: bytes that are no UTF-8 as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _only_itself(path: Path | str, asked: list[str], log: list[str]) -> None:
    """Refuse what is made of other files: play lists, lists of segments, patterns."""
    if asked or any("not on whitelist" in line for line in log):
        names = f" ({asked[0][:80]!r})" if asked else ""
        raise ClipFailure(
            "unreadable", f"{shown(path)}: a list that names other files{names}; give the media file itself"
        )


class _File:
    """The bytes of a file, for ffmpeg.

    ffmpeg takes an error of the disk for the end of the file: it is kept here, and raised by the reader.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._file = io.FileIO(_descriptor(path), "rb")
        # The suffix helps ffmpeg where the content leaves a doubt; nothing else of the name is passed on.
        suffix = Path(path).suffix
        self.name = "media" + (suffix if _SUFFIX.fullmatch(suffix) else "")
        self.error: OSError | KeyboardInterrupt | None = None

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        try:
            return self._file.read(size) or b""
        except OSError as error:
            self.error = OSError(error.errno, error.strerror, shown(self._path))
            return b""
        except KeyboardInterrupt as stop:  # a signal; ffmpeg would take it for the end of the file, too
            self.error = stop
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; a place before the file, which damaged files ask for, is its beginning."""
        return self._file.seek(max(offset, 0) if whence == 0 else offset, whence)

    def begins_again(self, behind: int) -> bool:
        """Whether a good part of the file lies behind a place, and the file's first bytes come again there.

        So it is where recordings were joined and ffmpeg knows the end of the first: FLV, WMV, WAV, AIFF. Indexes and
        tags are short, or begin otherwise.
        """
        size = os.fstat(self._file.fileno()).st_size
        if size - behind < size * _REST:
            return False
        try:
            self._file.seek(0)
            head = self._file.read(_HEAD) or b""
            if b"\0" in head:  # a length: it tells nothing
                return False
            self._file.seek(behind)
            last = b""
            while block := self._file.read(_READ):
                if head in last + block:
                    return True
                last = block[-_HEAD:]
        except OSError as error:
            raise OSError(error.errno, error.strerror, shown(self._path)) from error
        return False

    def tell(self) -> int:
        """Where reading goes on."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def _descriptor(path: Path | str) -> int:
    """A regular file, open for reading. Never waits, as pipes would make one wait."""
    name = shown(path)
    try:
        status = Path(path).stat()
        found = next((words for test, words in _KINDS if test(status.st_mode)), "")
        if found:
            raise ClipFailure("unreadable", f"{name}: is {found}, a media file is wanted")
        if not status.st_size:
            raise ClipFailure("unreadable", f"{name}: the file is empty (0 bytes)")
        return os.open(path, os.O_RDONLY | open_flags("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
    except FileNotFoundError as error:
        hint = "; addresses are not fetched, only files of this machine are read" if _ADDRESS.match(str(path)) else ""
        raise ClipFailure("unreadable", f"{name}: no such file{hint}") from error
    except OSError as error:
        if is_machine_error(error):
            raise
        raise ClipFailure("unreadable", f"{name}: cannot be opened: {error.strerror}") from error
    except ValueError as error:  # a zero byte inside the name
        raise ClipFailure("unreadable", f"{str(path)!r}: no name of a file: {error}") from error
