"""Corpora of sound and text -> data dirs without pictures, for the task *recognise*."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from lipsound2.corpora import aishell, librispeech
from lipsound2.corpora.recordings import Recording, Recordings, SpeechCorpus
from lipsound2.corpora.summary import write_problems
from lipsound2.datadir import DataDir
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock
from lipsound2.stamp import Stamp

SPEECH_CORPORA: dict[str, tuple[Callable[[Path], Recordings], SpeechCorpus]] = {
    "librispeech": (librispeech.scan, librispeech.LIBRISPEECH),
    "aishell": (aishell.scan, aishell.AISHELL),
}
_SHOWN = 12  # names in a line
_CLOSE = 0.001  # of a part's utterances may be missing: a damaged file is no other corpus


def prepare_speech(corpus: str, root: Path, data: Path, protocol: str | None) -> None:
    """Write DATA/all and, with a protocol, DATA/<protocol>/<set>: wav.scp, text as the corpus writes it, utt2spk.

    Args:
        corpus: librispeech or aishell.
        root: folder of the corpus.
        data: folder for the data dirs.
        protocol: one of the corpus'.

    Raises:
        LipsoundError: unknown protocol, nothing found, or none of the training or test sets of the protocol is there.
    """
    scan, published = SPEECH_CORPORA[corpus]
    if protocol is not None and protocol not in published.protocols:
        raise LipsoundError(f"unknown protocol '{protocol}' of {corpus}; one of: {', '.join(published.protocols)}")
    with folder_lock(data, "lipsound2 prepare"):
        found = scan(root)
        problems_file = data / "problems.tsv"
        print("\n".join(_describe(found, published, protocol, problems_file)))
        write_problems(problems_file, found.problems)
        if not found.by_id:
            raise LipsoundError(f"{root}: no utterance that can be used; see {problems_file}")
        _write(found.by_id, data / "all", corpus, protocol=None)
        if protocol is None:
            return
        sets = {
            name: {id: recording for id, recording in found.by_id.items() if recording.part in parts}
            for name, parts in published.protocols[protocol].items()
        }
        if not any(sets.values()):
            wanted = ", ".join(part for parts in published.protocols[protocol].values() for part in parts)
            raise LipsoundError(f"{root}: protocol {protocol} needs {wanted}; none is there, choose another protocol")
        print(f"protocol {protocol}:")
        for name, recordings in sets.items():
            _write(recordings, data / protocol / name, corpus, protocol)
        print(_verdict(sets, protocol, published))


def _write(recordings: Mapping[str, Recording], path: Path, corpus: str, protocol: str | None) -> None:
    """One data dir, unless it stands already."""
    if not recordings:
        print(f"{path}: EMPTY, not written; none of its utterances is in the corpus at hand")
        shutil.rmtree(path, ignore_errors=True)  # of an earlier run, with another part of the corpus
        return
    lines = (f"{id} {r.sound.path.absolute()} {r.sound.size} {r.text}\n" for id, r in sorted(recordings.items()))
    listing = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    stamp = Stamp(path, "prepare", {"corpus": corpus, "protocol": protocol, "recordings": listing}, [])
    if stamp.fresh():
        print(f"{path}: done, skipped")
        return
    stamp.clear()
    DataDir.write(
        path,
        utt2spk={id: recording.sound.speaker for id, recording in recordings.items()},
        wav={id: str(recording.sound.path.absolute()) for id, recording in recordings.items()},
        text={id: recording.text for id, recording in recordings.items()},
    )
    stamp.write()
    print(f"{path}: {len(recordings)} utterances")


def _describe(found: Recordings, published: SpeechCorpus, protocol: str | None, problems_file: Path) -> list[str]:
    """What is there, part by part beside what is published, and what is wrong."""
    speakers = {recording.sound.speaker for recording in found.by_id.values()}
    lines = [f"found {len(found.by_id)} utterances of {len(speakers)} speakers"]
    lines += [f"note: {note}" for note in found.notes]
    counts = Counter((problem.reason, problem.dropped) for problem in found.problems)
    for (reason, dropped), count in sorted(counts.items()):
        lines.append(f"{count} x {reason} ({'not used' if dropped else 'kept'}), see {problems_file}")
    utterances = Counter(recording.part for recording in found.by_id.values())
    for part, whole in published.parts.items():
        if utterances[part]:
            lines.append(f"  {part}: {utterances[part]} of {whole} utterances")
    needed = (
        {part for parts in published.protocols[protocol].values() for part in parts} if protocol else published.parts
    )
    if absent := [part for part in published.parts if part in needed and not utterances[part]]:
        lines.append(f"not there: {', '.join(absent)}")
    for part, known in found.speakers.items():
        here = {recording.sound.speaker for recording in found.by_id.values() if recording.part == part}
        missing = sorted(known - here, key=lambda name: (len(name), name))
        if here and missing:
            shown = " ".join(missing[:_SHOWN]) + (" ..." if len(missing) > _SHOWN else "")
            lines.append(f"{part}: {len(missing)} of {len(known)} speakers are missing ({shown})")
    return lines


def _verdict(sets: Mapping[str, Mapping[str, Recording]], protocol: str, published: SpeechCorpus) -> str:
    """Whether results on these sets may stand beside published ones."""
    short = []
    for name, recordings in sets.items():
        wanted = sum(published.parts[part] for part in published.protocols[protocol][name])
        if len(recordings) < wanted * (1 - _CLOSE):
            short.append(f"{name} {len(recordings)} of {wanted}")
    if short:
        return f"the corpus at hand is partial ({', '.join(short)}): say so beside any result"
    return "counts: whole corpus"
