"""The verb `words`: a data dir of single words, each a segment of a recording with word times."""

from __future__ import annotations

from pathlib import Path

from lipsound2.data.datadir import DataDir
from lipsound2.data.tables import parse_words
from lipsound2.errors import LipsoundError
from lipsound2.outputs import OutputFolder


def words(dir: Path, out: OutputFolder, *, least: float = 0.0) -> None:
    """Make a data dir of single words from a data dir with word times: a clip for each word, with the word as text.

    No media are copied: OUT/segments names the parts of DIR's recordings, whose crops and audio are used.

    Args:
        dir: data dir with the table word_times.
        out: data dir to write; the third word of s1-bbaf2n is s1-bbaf2n-3.
        least: shortest word that is taken, in seconds.
    """
    data = DataDir(dir)
    times = data.table("word_times")
    if not times:
        raise LipsoundError(f"{dir}: has no word_times; prepare it from a corpus with alignments")
    utt2spk, text, segments = {}, {}, {}
    for name, row in times.items():
        try:
            rows = parse_words(row)
        except ValueError as error:
            raise LipsoundError(f"{dir / 'word_times'}: {name}: {error}; run stage 0 again") from error
        for number, (start, end, word) in enumerate(rows, start=1):
            if end - start < least or end <= start:
                continue
            clip = f"{name}-{number}"
            utt2spk[clip], text[clip] = data.utt2spk[name], word
            segments[clip] = f"{name} {start:.7g} {end:.7g}"
    used = {segment.split()[0] for segment in segments.values()}
    video, wav = ({name: path for name, path in t.items() if name in used} or None for t in (data.video, data.wav))
    source = f"lipsound2 words {dir.resolve()}"
    DataDir.write(out, utt2spk=utt2spk, text=text, segments=segments, video=video, wav=wav, made_by=source)
    print(f"{out}: {len(text)} words of {len(used)} clips, {len(set(text.values()))} different ones")
