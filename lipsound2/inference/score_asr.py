"""The verb `score`: how speech sounds beside the truth, and what recognisers understand of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from lipsound2.arguments import AtLeast0, AtLeast1, Within
from lipsound2.data.datadir import DataDir, read_table
from lipsound2.decoding.hypothesis import DETAILS, TEXT, Hypothesis, write_words
from lipsound2.decoding.pretrained_asr import hear_all
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import folder_lock, write_text
from lipsound2.fingerprint import Stamp
from lipsound2.inference.recognizer_names import check_listener, is_own
from lipsound2.jobs.batch_map import batches, each
from lipsound2.metrics import bootstrap
from lipsound2.metrics.audio_sources import Sounds, choose_ids, find_systems, read_wav, wav_of
from lipsound2.metrics.score import SUMMARY
from lipsound2.metrics.score import score as score_speech
from lipsound2.metrics.unseen import Speakers, about
from lipsound2.metrics.wer import TextScores, score_texts
from lipsound2.metrics.wer_summary import TEXT_RULE, page, without_rule, write_clips, write_summary
from lipsound2.outputs import OutputFolder
from lipsound2.report.text_folders import FOLDER
from lipsound2.report.view import REAL

# Recognisers are loaded where they listen: without them nothing here needs torch.
if TYPE_CHECKING:
    from lipsound2.inference.recognizers import Search

log = logging.getLogger(__name__)

HEARD = "heard"  # what `decode` wrote, as a system
TABLE = "table.md"


def score(
    ref: Path,
    hyp: Path,
    *,
    out: OutputFolder | None = None,
    ids: Path | None = None,
    metrics: tuple[str, ...] = (),
    asr: tuple[str, ...] = (),
    text: Path | None = None,
    grammar: str = "",
    lm: Path | None = None,
    lm_weight: Annotated[float, Within(0)] = 0.5,
    word_bonus: float = 0.0,
    language: str = "en",
    nj: AtLeast1 = 2,
    launcher: Literal["local", "slurm"] = "local",
    resamples: AtLeast1 = bootstrap.RESAMPLES,
    seed: AtLeast0 = bootstrap.SEED,
    speakers: Speakers = "auto",
) -> None:
    """Score speech against the true sound: STOI, ESTOI, PESQ; with --asr also word and character errors.

    Or score what `decode` wrote against the transcripts. Rates and means carry 95 % intervals. A clip that
    cannot be scored gets the floor of the metric and is counted, never dropped. When HYP holds the controls that
    `synthesize` speaks, the verdict says whether lips are read.

    Args:
        ref: the true sounds: the sound kind of a dump, or a folder of <id>.wav; for a HYP of `decode`, the data dir
            with the transcripts.
        hyp: the speech: a folder of <id>.wav, or of one such folder a system (generated, real_mel, mismatched,
            mean_mel); or a folder that `decode` wrote.
        out: folder for clips.tsv, summary.json, table.md and text/; without it, HYP/scores.
        ids: data dir whose clips are scored, all of them; without it the one that synthesis noted in HYP/origin.yaml.
        metrics: further metrics, separated by commas: dnsmos; utmos or utmos:FOLDER; lse:WEIGHTS of SyncNet; see
            docs/scores.md.
        asr: recognisers that listen, separated by commas: experiments or packs of the task recognise,
            pocketsphinx:grid, torchaudio:NAME, whisper:NAME.
        text: data dir with the transcripts, for --asr.
        grammar: our own recognisers listen for the sentences of a grammar alone: grid, or a file; others hear as ever.
        lm: our own recognisers search with this language model: ARPA file, or experiment of the task language.
        lm_weight: of the language model.
        word_bonus: likewise: for every word, with and without --lm; for every token, with a model of characters or a
            network.
        language: of the transcripts: en or zh.
        nj: worker processes, or jobs with slurm.
        launcher: local, this machine, or slurm, arrays of jobs; see docs/cluster.md.
        resamples: draws of the bootstrap, for the intervals of means.
        seed: of the bootstrap.
        speakers: whom the intervals are about: same, more clips of these speakers; unseen, more people like them; auto,
            people like them if none of them is in a data dir train... beside that of the clips.
    """
    if bool(asr) != (text is not None):
        raise LipsoundError("--asr and --text belong together: who listens, and what was really said")
    out = out or hyp / "scores"
    if (hyp / DETAILS).is_file():
        if asr or metrics:
            raise LipsoundError(
                f"{hyp}: is what a recogniser heard already; leave out --asr and --metrics, or give a folder of sounds"
            )
        score_heard(ref, hyp, out / FOLDER / hyp.resolve().name, language, speakers)
        return
    for name in asr:
        check_listener(name)
    told = DataDir(text) if text is not None else None
    score_speech(
        ref,
        hyp,
        out=out,
        ids=ids,
        metrics=metrics,
        nj=nj,
        launcher=launcher,
        resamples=resamples,
        seed=seed,
        speakers=speakers,
    )
    if text is None or told is None:
        return
    from lipsound2.inference.recognizers import Search, files_of

    reference, systems = Sounds(ref), find_systems(hyp)
    names, utt2spk, which = choose_ids(reference, hyp, systems, ids)
    texts = told.text
    unseen, which = about(speakers, text, {name: utt2spk[name] for name in names}, which)
    unknown = [name for name in names if name not in texts]
    if unknown and len(unknown) < len(names) and all(name in told.utt2spk for name in unknown):
        names = [name for name in names if name in texts]
        which = with_text(which, len(names), len(unknown))
    elif unknown:
        raise LipsoundError(f"{text}: no transcript of {len(unknown)} of {which}, the first is '{unknown[0]}'")
    search = Search(16, lm_weight, word_bonus) if lm or word_bonus else None
    for name in asr:
        rules, model, how = (grammar, lm, search) if is_own(name) else ("", None, None)
        folder = out / FOLDER / label(name, rules, model)
        stamp = Stamp(
            folder,
            "score",
            {
                "asr": name,
                "grammar": rules,
                "search": how,
                "language": language,
                "clips": which,
                "rule": TEXT_RULE,
            },
            [ref, *systems.values(), text / TEXT, *files_of(name, rules, model)],
            [SUMMARY, TABLE, *(f"{system}.{kind}" for system in (REAL, *systems) for kind in ("tsv", "jsonl"))],
        )
        if shown_again(stamp, folder):
            continue
        with folder_lock(folder, "score"):
            ears = MakeEars(name, rules, model, how, {REAL: ref, **systems})
            wanted = [batch for system in ears.places for batch in batches([(system, clip) for clip in names])]
            spread: dict[str, Any] = {"where": folder, "made_of": stamp.text, "nj": nj, "launcher": launcher}
            said_to_all = each(ears, wanted, step="hear", **spread)
            stamp.clear()
            heard: dict[str, dict[str, Hypothesis]] = {system: {} for system in ears.places}
            for system, said, unreadable in said_to_all:
                heard[system].update(said)
                for failure in unreadable:
                    log.warning("%s: %s; it counts as not understood", system, failure)
            true = {clip: texts[clip] for clip in names}
            scores = {
                system: score_texts(
                    true, {clip: what.text for clip, what in said.items()}, utt2spk, language, unseen=unseen
                )
                for system, said in heard.items()
            }
            write(folder, scores, heard, which)
            stamp.write()
        print(without_rule(page({system: result.summary for system, result in scores.items()}, which)))
        print(f"{folder}: {SUMMARY}, {TABLE}, and <system>.tsv, <system>.jsonl for every clip")


def score_heard(data: Path, heard: Path, folder: Path, language: str, speakers: Speakers) -> None:
    """Score what `decode` wrote: tables and every clip's errors, in `folder`.

    Raises:
        LipsoundError: `data` is no data dir with transcripts, or knows none for a clip that was heard.
    """
    known = DataDir(data)
    if not known.text:
        raise LipsoundError(f"{data}: has no 'text' to compare with what was heard in {heard}")
    which = f"the {len(known)} clips of {data}"
    if len(known.text) < len(known):
        which = with_text(which, len(known.text), len(known) - len(known.text))
    unseen, caption = about(speakers, data, known.utt2spk, which)
    options = {"language": language, "rule": TEXT_RULE, "clips": caption}
    stamp = Stamp(folder, "score", options, [data / TEXT, heard], [f"{HEARD}.tsv", SUMMARY, TABLE])
    if shown_again(stamp, folder):
        return
    said = dict(read_table(heard / TEXT)) if (heard / TEXT).exists() else {}
    said = {clip: what for clip, what in said.items() if clip in known.text or clip not in known.utt2spk}
    with folder_lock(folder, "score"):
        stamp.clear()
        scores = score_texts(known.text, said, known.utt2spk, language, unseen=unseen)
        write_clips(folder / f"{HEARD}.tsv", scores.rows)
        write_summary(folder / SUMMARY, {HEARD: scores.summary})
        write_text(folder / TABLE, page({HEARD: scores.summary}, caption))
        stamp.write()
    print(without_rule(page({HEARD: scores.summary}, caption)))
    print(f"{folder}: {SUMMARY}, {TABLE}, and {HEARD}.tsv for every clip")


def with_text(which: str, known: int, unknown: int) -> str:
    """The sentence on which clips are scored, where some have no text to compare with; it is told, too."""
    log.warning("%d of %s have no text and are left out", unknown, which)
    return f"{known} of {which}, those with a text"


def shown_again(stamp: Stamp, folder: Path) -> bool:
    """Print the table of scores that are there already with the same inputs; whether they are."""
    if not stamp.fresh():
        return False
    print(without_rule((folder / TABLE).read_text(encoding="utf-8")))
    print(f"{folder}: done already with these inputs and options; skipped")
    return True


def label(asr: str, grammar: str, lm: Path | None = None) -> str:
    """A folder's name for a recogniser: `pocketsphinx-grid`, `asr_conformer+grid`, `asr_conformer+words.arpa`."""
    name = asr.replace(":", "-") if not Path(asr).exists() else Path(asr).resolve().name
    with_what = [Path(grammar).stem] if grammar else [lm.name] if lm else []
    return re.sub(r"[^\w.+-]+", "_", "+".join([name, *with_what]))


def write(
    folder: Path, scores: Mapping[str, TextScores], heard: Mapping[str, Mapping[str, Hypothesis]], which: str
) -> None:
    """Tables, and every clip of every system: its texts and errors, its words with times."""
    summaries = {system: result.summary for system, result in scores.items()}
    for system, result in scores.items():
        write_clips(folder / f"{system}.tsv", result.rows)
        write_words(folder / f"{system}.jsonl", heard[system])
    write_summary(folder / SUMMARY, summaries)
    write_text(folder / TABLE, page(summaries, which))


@dataclass(frozen=True)
class MakeEars:
    """Makes what listens to batches of sounds, each batch of one system; picklable.

    Attributes:
        asr: the recogniser's name.
        grammar: see `listeners.listener`.
        lm: likewise.
        how: likewise.
        places: system -> where its sounds lie, see `metrics.audio_sources.Sounds`.
    """

    asr: str
    grammar: str
    lm: Path | None
    how: Search | None
    places: Mapping[str, Path]

    def __call__(self) -> Callable[[Sequence[tuple[str, str]]], tuple[str, dict[str, Hypothesis], list[str]]]:
        """Load the recogniser; called where it is to run. What cannot be read is returned beside the others."""
        from lipsound2.inference.recognizers import listener

        who = listener(self.asr, self.grammar, self.lm, self.how)
        true = Sounds(self.places[REAL])

        def hear(wanted: Sequence[tuple[str, str]]) -> tuple[str, dict[str, Hypothesis], list[str]]:
            sounds: list[tuple[str, np.ndarray]] = []
            unreadable = []
            for system, name in wanted:
                try:
                    sounds.append((name, true[name] if system == REAL else read_wav(wav_of(self.places[system], name))))
                except ClipFailure as failure:
                    unreadable.append(f"{name}: {failure}")
            return wanted[0][0], hear_all(who, sounds), unreadable

        return hear
