"""What was found, what was wanted, what is missing: the lines `prepare` ends with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lipsound2.corpora.grid import SENTENCES, SPEAKERS, Inventory, Problem
from lipsound2.corpora.protocols import Protocol
from lipsound2.files import write_text

_CLOSE = 0.015  # public copies of GRID and published lists differ by up to this much


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Write `id, step, reason, detail, file` rows, the columns of `failures.tsv` and the file. No problems, no file."""
    if not problems:
        path.unlink(missing_ok=True)
        return
    rows = [f"{p.id}\tprepare\t{p.reason}\t{p.detail}\t{p.file}\n" for p in problems]
    write_text(path, "".join(sorted(rows)))


def describe_corpus(inventory: Inventory, problems_file: Path) -> list[str]:
    """Clips, speakers, transcripts, problems."""
    clips, speakers = len(inventory.clips), inventory.speakers
    lines = [f"found {clips} clips of {len(speakers)} speakers ({_ranges(speakers)}); {_transcripts(inventory)}"]
    lines += [f"note: {note}" for note in inventory.notes]
    counts = Counter((problem.reason, problem.dropped) for problem in inventory.problems)
    for (reason, dropped), count in sorted(counts.items()):
        lines.append(f"{count} x {reason} ({'not used' if dropped else 'kept'}), see {problems_file}")
    return lines


def _transcripts(inventory: Inventory) -> str:
    disagreeing = sum(problem.reason == "transcript-mismatch" for problem in inventory.problems)
    if not inventory.word_times and not disagreeing:
        return "no alignments, so transcripts are the file names alone"
    return f"{len(inventory.word_times)} transcripts confirmed by alignments, {disagreeing} contradicted"


def missing(inventory: Inventory, speakers: Iterable[str]) -> list[str]:
    """Lines on speakers and clips a whole corpus has and this one has not."""
    counts = Counter(clip.speaker for clip in inventory.clips.values())
    absent = [speaker for speaker in speakers if not counts[speaker]]
    short = [speaker for speaker in speakers if 0 < counts[speaker] < SENTENCES]
    lines = []
    if absent:
        lines.append(f"missing speakers: {_ranges(absent)}")
    if short:
        shown = ", ".join(f"{speaker} {counts[speaker]} of {SENTENCES}" for speaker in short[:12])
        lines.append(f"speakers in part: {shown}{' ...' if len(short) > 12 else ''}")
    for speaker in short:
        unseen = sorted(inventory.names[speaker] - {c.name for c in inventory.clips.values() if c.speaker == speaker})
        if 0 < len(unseen) <= 20:
            lines.append(f"{speaker}: aligned but no picture: {' '.join(unseen)}")
    return lines


def describe_protocol(name: str, protocol: Protocol, inventory: Inventory, found: Mapping[str, int]) -> list[str]:
    """Counts of each set, found, wanted and published, and one sentence that says what to make of them."""
    if not protocol.speakers:
        return [f"protocol {name}: " + ", ".join(f"{subset} {count}" for subset, count in found.items())]
    wanted = protocol.wanted()
    header = ["set", "found", "whole corpus", *(who for who, _ in protocol.published)]
    rows: list[list[object]] = [[*header]]
    for subset in found:
        rows.append(
            [subset, found[subset], wanted[subset], *(counts.get(subset, "-") for _, counts in protocol.published)]
        )
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(header))]
    lines = [f"protocol {name}:"]
    lines += ["  " + "  ".join(str(cell).rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if protocol.note:
        lines.append(f"  ({protocol.note})")
    lines += missing(inventory, protocol.speakers)
    lines.append(verdict(protocol, found))
    return lines


def verdict(protocol: Protocol, found: Mapping[str, int]) -> str:
    """Whether results on these sets may stand beside the published ones."""
    wanted = protocol.wanted()
    short = {subset: count for subset, count in wanted.items() if found[subset] < count * (1 - _CLOSE)}
    if short:
        parts = ", ".join(f"{subset} {found[subset]} of {count}" for subset, count in short.items())
        return f"the corpus at hand is partial ({parts}): results are not comparable with published ones"
    if not protocol.published:
        return "counts: whole corpus; there are no published counts to compare with"
    distances = {who: _distance(found, counts) for who, counts in protocol.published}
    nearest = min(distances, key=lambda who: distances[who])
    agree = "agree with" if distances[nearest] <= _CLOSE else "DIFFER from"
    return f"counts {agree} the published ones (nearest: {nearest}, largest difference {distances[nearest]:.1%})"


def _distance(found: Mapping[str, int], published: Mapping[str, int]) -> float:
    """Largest relative difference of a set. Where a paper has no validation set, ours counts as training."""
    ours = dict(found)
    if "valid" not in published:
        ours["train"] = ours.get("train", 0) + ours.get("valid", 0)
    # Sets of a few hundred clips are cut from speakers with some clips missing: one clip a speaker is no difference.
    slack = len(SPEAKERS) / SENTENCES
    return max(
        abs(ours[subset] - count) / count if count > 1000 else max(0.0, abs(ours[subset] - count) / count - slack)
        for subset, count in published.items()
    )


def _ranges(speakers: Sequence[str]) -> str:
    """`s1-s4 s29` for a list of speakers."""
    numbers = sorted(int(speaker[1:]) for speaker in speakers)
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(f"s{a}" if a == b else f"s{a}-s{b}" for a, b in runs)
