"""What was found, what was wanted, what is missing: the lines `prepare` ends with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lipsound2.corpora.corpus import Corpus
from lipsound2.corpora.protocols import ByPart, BySpeaker, Protocol
from lipsound2.corpora.recordings import Problem, Recordings
from lipsound2.files import write_text

_SHOWN = 12  # names in a line
_NAMED = 20  # recordings that are named when no more of a speaker are missing
_SMALL = 1000  # clips of a set that `Protocol.slack` is for


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Write `id, step, reason, detail, file` rows, the columns of `failures.tsv` and the file. No problems, no file."""
    if not problems:
        path.unlink(missing_ok=True)
        return
    rows = ["\t".join(_plain(str(cell)) for cell in (p.id, "prepare", p.reason, p.detail, p.file)) for p in problems]
    write_text(path, "".join(f"{row}\n" for row in sorted(rows)))


def _plain(cell: str) -> str:
    """A cell of a table, whatever stands in a file's name."""
    return re.sub(r"\s", " ", cell).encode("utf-8", "backslashreplace").decode()


def describe_corpus(found: Recordings, corpus: Corpus, protocol: Protocol | None, problems_file: Path) -> list[str]:
    """Recordings, speakers, parts beside what is published, texts, problems."""
    recordings = found.by_id.values()
    unit = "clips" if any(recording.video for recording in recordings) else "utterances"
    speakers = sorted({recording.speaker for recording in recordings}, key=_natural)
    texts, times = sum(bool(r.text) for r in recordings), sum(bool(r.words) for r in recordings)
    lines = [
        f"found {counted(len(recordings), unit)} of {counted(len(speakers), 'speakers')} ({ranges(speakers)}); "
        f"{texts} with text, {times} with word times"
    ]
    lines += [f"note: {note}" for note in found.notes]
    counts = Counter((problem.reason, problem.dropped) for problem in found.problems)
    for (reason, dropped), count in sorted(counts.items()):
        lines.append(f"{count} x {reason} ({'not used' if dropped else 'kept'}), see {problems_file}")
    here = Counter(recording.part for recording in recordings)
    lines += [f"  {part}: {here[part]} of {whole} {unit}" for part, whole in corpus.parts.items() if here[part]]
    needed = protocol.parts if isinstance(protocol, ByPart) else tuple(corpus.parts)
    if absent := [part for part in corpus.parts if part in needed and not here[part]]:
        lines.append(f"not there: {', '.join(absent)}")
    for part, known in found.speakers.items():
        present = {recording.speaker for recording in recordings if recording.part == part}
        if present and (missing := sorted(known - present, key=_natural)):
            lines.append(f"{part}: {len(missing)} of {len(known)} speakers are missing ({_few(missing)})")
    return lines


def missing_of_speakers(found: Recordings, protocol: BySpeaker) -> list[str]:
    """Lines on speakers and recordings a whole corpus has and this one has not."""
    here: dict[str, set[str]] = {}
    for id, recording in found.by_id.items():
        here.setdefault(recording.speaker, set()).add(id.removeprefix(f"{recording.speaker}-"))
    absent = [speaker for speaker in protocol.speakers if speaker not in here]
    short = [speaker for speaker in protocol.speakers if 0 < len(here.get(speaker, ())) < (protocol.whole or 0)]
    lines = [f"missing speakers: {ranges(absent)}"] if absent else []
    if short:
        lines.append("speakers in part: " + _few([f"{name} {len(here[name])} of {protocol.whole}" for name in short]))
    for speaker in short:
        unseen = sorted(found.names.get(speaker, set()) - here[speaker])
        if 0 < len(unseen) <= _NAMED:
            lines.append(f"{speaker}: aligned, but without video: {' '.join(unseen)}")
    return lines


def describe_protocol(name: str, protocol: Protocol, found: Recordings, counts: Mapping[str, int]) -> list[str]:
    """Counts of each set, found, wanted and published, and one sentence that says what to make of them."""
    wanted = protocol.wanted()
    if not wanted and not protocol.published:
        lines = [f"protocol {name}: " + ", ".join(f"{subset} {count}" for subset, count in counts.items())]
        return lines + ([f"  ({protocol.note})"] if protocol.note else [])
    header = ["set", "found", "whole corpus", *(who for who, _ in protocol.published)]
    rows: list[list[object]] = [[*header]]
    for subset in counts:
        published = [listed.get(subset, "-") for _, listed in protocol.published]
        rows.append([subset, counts[subset], wanted.get(subset, "-"), *published])
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(header))]
    lines = [f"protocol {name}:"]
    lines += ["  " + "  ".join(str(cell).rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if protocol.note:
        lines.append(f"  ({protocol.note})")
    if isinstance(protocol, BySpeaker):
        lines += missing_of_speakers(found, protocol)
    lines.append(comparable(protocol, counts))
    return lines


def comparable(protocol: Protocol, found: Mapping[str, int]) -> str:
    """Whether results on these sets may stand beside the published ones."""
    wanted = protocol.wanted()
    short = {name: count for name, count in wanted.items() if found.get(name, 0) < count * (1 - protocol.close)}
    if short:
        parts = ", ".join(f"{subset} {found.get(subset, 0)} of {count}" for subset, count in short.items())
        return f"the corpus at hand is partial ({parts}): results are not comparable with published ones"
    if not protocol.published:
        return "counts: whole corpus; there are no other published counts to compare with"
    distances = {who: _distance(protocol, found, counts) for who, counts in protocol.published}
    nearest = min(distances, key=lambda who: distances[who])
    agree = "agree with" if distances[nearest] <= protocol.close else "DIFFER from"
    return f"counts {agree} the published ones (nearest: {nearest}, largest difference {distances[nearest]:.1%})"


def _distance(protocol: Protocol, found: Mapping[str, int], published: Mapping[str, int]) -> float:
    """Largest relative difference of a set. Where a paper has no validation set, ours counts as training."""
    ours = Counter(found)
    if "valid" not in published:
        ours["train"] += ours["valid"]
    return max(
        max(0.0, abs(ours[subset] - count) / count - (protocol.slack if count <= _SMALL else 0.0))
        for subset, count in published.items()
    )


def ranges(names: Iterable[str]) -> str:
    """`s1-s4 s29` for a list of names that end in numbers, zeros in front left in the name; of others the first few."""
    names = sorted(names, key=_natural)
    parts = [re.fullmatch(r"(.*?)(0|[1-9]\d*)", name) for name in names]
    if not all(parts):
        return _few(names)
    runs: list[tuple[str, int, int]] = []
    for prefix, number in ((match[1], int(match[2])) for match in parts if match):
        if runs and runs[-1][0] == prefix and number == runs[-1][2] + 1:
            runs[-1] = (prefix, runs[-1][1], number)
        else:
            runs.append((prefix, number, number))
    return _few([f"{prefix}{a}" if a == b else f"{prefix}{a}-{prefix}{b}" for prefix, a, b in runs])


def counted(count: int, things: str) -> str:
    """`2 clips`, `1 clip`."""
    return f"{count} {things.removesuffix('s') if count == 1 else things}"


def _few(names: Sequence[str]) -> str:
    return " ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers in a name by value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
