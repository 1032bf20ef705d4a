"""The verb `score-text`: word, character and sentence errors of what `decode` wrote, system by system."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from lipsound2.arguments import Choices
from lipsound2.corpora.pairs import other_clips
from lipsound2.data.datadir import DataDir, read_table
from lipsound2.decoding.hypothesis import DETAILS, TEXT, read_ids
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock, write_bytes, write_text
from lipsound2.fingerprint import Fingerprint
from lipsound2.metrics.audio_sources import REAL, SYSTEMS, check_against
from lipsound2.metrics.homophones import LANGUAGE, folded
from lipsound2.metrics.score import SUMMARY, TABLE
from lipsound2.metrics.unseen import Speakers, about
from lipsound2.metrics.wer import score_texts
from lipsound2.metrics.wer_summary import TEXT_RULE, gains, page, without_rule, write_clips, write_summary
from lipsound2.outputs import OutputFolder
from lipsound2.text.normalize import languages

log = logging.getLogger(__name__)

FOLDER = "text"  # below the scores of a set: a folder a recognizer
MISMATCHED = "mismatched"
HEARD = "heard"  # the system of a single folder that `decode` wrote; a name in stored files


@dataclass(frozen=True)
class References:
    """Reference texts.

    Attributes:
        data: data dir of the texts and speakers, for the fingerprint.
        texts: id -> text.
        utt2spk: id -> speaker.
        which: what clips these are, for captions.
        unseen: whether the intervals generalize to new speakers, see `wer.score_texts`.
        language: of the texts.
        homophones: whether words that sound alike count as equal, see `homophones.folded`.
        against: the systems that the others are compared with, if any.
        pairs: clip -> the clip whose text the control `mismatched` has; empty: there is no such control.
    """

    data: Path
    texts: Mapping[str, str]
    utt2spk: Mapping[str, str]
    which: str
    unseen: bool
    language: str
    homophones: bool = False
    against: tuple[str, ...] = ()
    pairs: Mapping[str, str] = field(default_factory=dict)


def score_text(
    data: Path,
    *texts: Path,
    out: OutputFolder | None = None,
    language: Annotated[str, Choices(languages)] = "en",
    speakers: Speakers = "auto",
    homophones: bool = False,
    against: str = "",
    mismatched: bool = False,
) -> None:
    """Score recognized texts: WER, CER and SER with 95 % intervals, in total and by speaker.

    Each TEXT is a folder that `decode` wrote, or holds such a folder for each system (generated, real_mel, mismatched,
    mean_mel, and real, the ground truth), to be compared. A clip without a text counts with all its words, never
    dropped. OUT/text/<name of TEXT> gets summary.json, table.md, and <system>.tsv with the errors of each clip.

    Args:
        data: data dir with the transcripts; all clips with a transcript count.
        texts: folders that lipsound2 decode wrote. A folder that holds several of them, one a system (real,
            generated, ...), gives one table.
        out: folder that gets the scores, in text/NAME for each of TEXTS, such as EXP/scores/test. Left out, they go to
            scores/text/NAME in each of TEXTS.
        language: of the transcripts.
        speakers: whom the intervals speak for: same (further clips of these speakers) or unseen (new speakers). auto
            chooses unseen if none of the speakers is in a data dir train... beside DATA, else same.
        homophones: count words that sound alike as equal, such as in and inn, by PocketSphinx's dictionary; for
            recognizers that do not know the corpus.
        against: also show by how much every other system differs from this one, clip by clip; or from each of
            several, with commas between.
        mismatched: also score, as the control, the text that was read in the video of another clip of the set; for a
            lip reader's texts, a single folder each.
    """
    if homophones and language != LANGUAGE:
        raise LipsoundError(f"--homophones: there is a dictionary of --language {LANGUAGE} alone, found {language}")
    known = DataDir(data)
    found = [(text, find_texts(text)) for text in texts]
    bases = tuple(against.split(",")) if against else ()
    for text, systems in found:
        if mismatched and [*systems] != [HEARD]:
            raise LipsoundError(f"--mismatched: {text} holds several systems, wanted the texts of one lip reader")
        for base in bases:
            check_against(base, [*systems, *[MISMATCHED] * mismatched])
    if not known.text:
        raise LipsoundError(f"{data}: has no 'text' to compare with what was recognized in {texts[0]}")
    places = [(out or text / "scores") / FOLDER / text.resolve().name for text in texts]
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise LipsoundError(f"{twice}: two of the folders would be scored into it; score them with calls of their own")
    which = f"the {len(known)} clips of {data}"
    if len(known.text) < len(known):
        which = with_text(which, len(known.text), len(known) - len(known.text))
    unseen, which = about(speakers, data, known.utt2spk, which)
    if homophones:
        which = f"{which}; words that sound alike count as equal"
    references = References(data, known.text, known.utt2spk, which, unseen, language, homophones, bases)
    if mismatched:
        if len(known.text) < 2:
            raise LipsoundError(f"--mismatched: {data} has one clip with a text, wanted two or more; leave it out")
        references = replace(references, pairs=other_clips(known, [*known.text]))
    for place, (_, systems) in zip(places, found, strict=True):
        score_systems(references, systems, place)


def find_texts(folder: Path) -> dict[str, Path]:
    """Folders that `decode` wrote, by system, ground truth and known systems first: `folder` itself, or those below it.

    Raises:
        LipsoundError: neither is one.
    """
    if not folder.is_dir():
        raise LipsoundError(f"{folder}: no such folder; expected one that lipsound2 decode wrote")
    if (folder / DETAILS).is_file():
        return {HEARD: folder}
    found = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{DETAILS}"))}
    if not found:
        raise LipsoundError(
            f"{folder}: no recognized text there; expected {DETAILS} in it, as lipsound2 decode writes it, or in "
            "subfolders named by system, such as generated/"
        )
    first = [name for name in (REAL, *SYSTEMS) if name in found]
    return {name: found[name] for name in dict.fromkeys([*first, *found])}


def score_systems(references: References, systems: Mapping[str, Path], folder: Path) -> None:
    """Score the texts of one recognizer for some systems: tables and every clip's errors, in `folder`.

    Args:
        references: reference texts.
        systems: name -> folder that `decode` wrote.
        folder: to write; scores of the same texts are shown again.

    Raises:
        LipsoundError: a clip was recognized that has no reference, or see `wer.score_texts`.
    """
    details = [] if [*systems] == [HEARD] else [f"{system}.jsonl" for system in systems]
    options = {"language": references.language, "rule": TEXT_RULE, "clips": references.which}
    if references.against:
        options["against"] = ",".join(references.against)
    scored = [*systems, *[MISMATCHED] * bool(references.pairs)]
    if references.pairs:
        options[MISMATCHED] = "yes"
    made = [*(f"{system}.tsv" for system in scored), *details, SUMMARY, TABLE]
    # The fingerprint has the verb that once did this, so that its scores stay valid.
    tables = [references.data / name for name in (TEXT, "utt2spk")]
    fingerprint = Fingerprint(folder, "score", options, [*tables, *systems.values()], made)
    if fingerprint.up_to_date():
        print(without_rule((folder / TABLE).read_text(encoding="utf-8")))
        print(f"{folder}: done already with these inputs and options; skipped")
        return
    texts = {system: hypotheses(place, references, silent=system != HEARD) for system, place in systems.items()}
    if references.pairs:
        read = texts[HEARD]
        texts[MISMATCHED] = {clip: read[other] for clip, other in references.pairs.items() if other in read}
    if references.homophones:
        texts = {system: folded(found, references.texts) for system, found in texts.items()}
    with folder_lock(folder, "score"):
        fingerprint.clear()
        unseen, language = references.unseen, references.language
        scores = {
            system: score_texts(references.texts, found, references.utt2spk, language, unseen=unseen)
            for system, found in texts.items()
        }
        for system, result in scores.items():
            write_clips(folder / f"{system}.tsv", result.rows)
            if f"{system}.jsonl" in details:
                write_bytes(folder / f"{system}.jsonl", (systems[system] / DETAILS).read_bytes())
        summaries = {system: result.summary for system, result in scores.items()}
        apart = gains(scores, references.against, references.utt2spk if unseen else None) if references.against else ""
        table = page(summaries, references.which, apart)
        write_summary(folder / SUMMARY, summaries)
        write_text(folder / TABLE, table)
        fingerprint.write()
    print(without_rule(table))
    print(f"{folder}: {SUMMARY}, {TABLE}, and <system>.tsv for every clip")


def hypotheses(folder: Path, references: References, *, silent: bool) -> dict[str, str]:
    """The texts that `decode` wrote of the clips that are scored, by id.

    Args:
        folder: of `decode`.
        references: other clips of the same data dir are left out.
        silent: give clips without a recognized word an empty text; else they count as missing.
    """
    found = dict(read_table(folder / TEXT)) if (folder / TEXT).exists() else {}
    if silent:
        found = {**dict.fromkeys(read_ids(folder / DETAILS), ""), **found}
    return {clip: text for clip, text in found.items() if clip in references.texts or clip not in references.utt2spk}


def with_text(which: str, known: int, unknown: int) -> str:
    """The phrase for captions if some clips have no reference text; a warning is logged."""
    log.warning("%d of %s have no text and are left out", unknown, which)
    return f"{known} of {which}, those with a text"
