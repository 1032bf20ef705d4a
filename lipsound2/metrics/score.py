"""The verb `score`: every clip of every system against its ground truth, with intervals, controls and verdict."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lipsound2.arguments import AtLeast0, AtLeast1
from lipsound2.audio.kind import ground_truth
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import folder_lock, write_text
from lipsound2.fingerprint import Fingerprint
from lipsound2.jobs.batch_map import batches, map_batches
from lipsound2.jobs.pool import unordered
from lipsound2.metrics import bootstrap
from lipsound2.metrics.audio_sources import (
    REAL,
    AudioSource,
    check_against,
    choose_ids,
    find_systems,
    noted_data,
    read_origin,
    read_wav,
    tell_one_sided,
    wav_of,
)
from lipsound2.metrics.registry import STANDARD, STANDARD_FAMILIES, rule
from lipsound2.metrics.requested import Request, compute, names_of, requested, require_packages, versions
from lipsound2.metrics.speech import ClipScores, measure
from lipsound2.metrics.summary import VERDICT_RULE, Row, gains, page, summarize
from lipsound2.metrics.summary_files import to_json, write_clips
from lipsound2.metrics.unseen import Speakers, about
from lipsound2.outputs import OutputFolder
from lipsound2.progress import progress

CLIPS, SUMMARY, TABLE = "clips.tsv", "summary.json", "table.md"


def score(
    ref: Path,
    hyp: Path,
    *,
    out: OutputFolder | None = None,
    ids: Path | None = None,
    metrics: tuple[str, ...] = (),
    nj: AtLeast1 = 2,
    launcher: Literal["local", "slurm"] = "local",
    resamples: AtLeast1 = bootstrap.RESAMPLES,
    seed: AtLeast0 = bootstrap.SEED,
    speakers: Speakers = "auto",
    against: str = "",
) -> None:
    """Score speech against the ground truth: STOI, ESTOI, PESQ narrow and wide band, per clip and in total.

    Means have 95 % intervals. A clip that cannot be scored gets the metric's worst value and is counted, never
    dropped. If HYP holds the controls of `synthesize`, the verdict tells whether lips are read. Words are scored by
    `decode` and `score-text`.

    Args:
        ref: the ground truth: DUMP/audio, or a folder of <id>.wav.
        hyp: the speech: a folder of <id>.wav, or with such a folder for each system (generated, real_mel, mismatched,
            mean_mel).
        out: folder for clips.tsv, summary.json and table.md; by default HYP/scores.
        ids: data dir of the clips to score; by default the one that synthesize noted in HYP/origin.yaml.
        metrics: further metrics, separated by commas: estoi_speech; aligned; dnsmos; utmos or utmos:FOLDER; secs or
            secs:WEIGHTS, the likeness of voices; lse:WEIGHTS of SyncNet; see docs/scores.md.
        nj: worker processes, or jobs with slurm.
        launcher: local (this machine) or slurm (a job array); see docs/cluster.md.
        resamples: resamples of the bootstrap, for the intervals of means.
        seed: of the bootstrap.
        speakers: whom the intervals speak for: same (further clips of these speakers) or unseen (new speakers). auto
            chooses unseen if none of the speakers is in a data dir train... beside that of the clips, else same.
        against: also show by how much every other system differs from this one, clip by clip.

    Raises:
        LipsoundError: no speech, no ground truth, no clip in both, the noted data dir is not there, or a further metric
            is not available.
    """
    require_packages(STANDARD_FAMILIES)
    for option, least, found in (("resamples", 1, resamples), ("seed", 0, seed)):
        if found < least:
            raise LipsoundError(f"--{option}: expected {least} or more, found {found}")
    out, ref = out or hyp / "scores", ground_truth(ref)
    reference, systems = AudioSource(ref), find_systems(hyp)
    data = ids or noted_data(hyp, reference)
    names, utt2spk, which = choose_ids(reference, systems, data)
    check_against(against, systems)
    tell_one_sided(reference, systems, names)
    unseen, which = about(speakers, data, {name: utt2spk[name] for name in names}, which)
    requests = requested(metrics, data, ref.parent / "landmarks" if reference.is_archive else None)
    rules = rule(names_of(requests))
    measured_with = versions([*STANDARD_FAMILIES, *(request.family for request in requests)])
    fingerprint = Fingerprint(
        out,
        "score",
        {
            **{"clips": which, "resamples": resamples, "seed": seed, "rule": rules + VERDICT_RULE, **measured_with},
            **({"against": against} if against else {}),
        },
        [
            *(ref, *systems.values(), *([] if ids else [hyp / "origin.yaml"]), *([data / "utt2spk"] if data else [])),
            *(path for request in requests for path in request.inputs),
        ],
        [CLIPS, SUMMARY, TABLE],
    )
    if fingerprint.up_to_date():
        print((out / TABLE).read_text(encoding="utf-8"))
        print(f"{out}: done already with these inputs and options; skipped")
        return
    with folder_lock(out, "score"):
        if launcher == "local":
            scores = _scores(reference, systems, requests, names, nj)
        else:
            parts = batches(names)
            spread = map_batches(
                ScorerFactory(reference, systems, requests),
                parts,
                where=out,
                step="score",
                made_of=fingerprint.text,
                nj=nj,
                launcher=launcher,
            )
            scores = {name: row for part in spread for name, row in part}
        fingerprint.clear()
        scored = [*systems, *([REAL] if _blind(requests) and REAL not in systems else [])]
        rows = [Row(name, system, scores[name][system]) for system in scored for name in names]
        of_systems = [row for row in rows if row.system in systems]
        if all({"missing", "no-reference"} & set(row.scores.failures.values()) for row in of_systems):
            raise LipsoundError(f"of {which} none is in both {ref} and {hyp}; are they, and --ids, of the same set?")
        summary = summarize(rows, utt2spk, resamples=resamples, seed=seed, unseen=unseen)
        who = utt2spk if unseen else None
        apart = gains(of_systems, against, who, resamples=resamples, seed=seed) if against else ""
        write_clips(out / CLIPS, rows)
        content = {
            **to_json(summary),
            "clips": which,
            "rule": rules.splitlines(),
            "verdict_rule": VERDICT_RULE,
            "bootstrap": {"resamples": resamples, "seed": seed, "level": bootstrap.LEVEL},
            "measured_with": measured_with,
            "speech": {key: read_origin(hyp)[key] for key in ("vocoder", "target") if key in read_origin(hyp)},
        }
        write_text(out / SUMMARY, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        write_text(out / TABLE, page(summary, which, apart))
        fingerprint.write()
    print(page(summary, which, apart))
    print(f"{out}: {CLIPS}, {SUMMARY}, {TABLE}")


def _blind(requests: Sequence[Request]) -> list[Request]:
    """Metrics without a reference; they score the ground truth too."""
    return [request for request in requests if not request.family.reference]


def _scores(
    reference: AudioSource, systems: Mapping[str, Path], requests: tuple[Request, ...], names: Sequence[str], nj: int
) -> dict[str, dict[str, ClipScores]]:
    """Scores by clip and system."""
    clip = functools.partial(score_clip, reference, dict(systems), requests)
    bar = progress(_each(clip, names, min(nj, len(names))), total=len(names), desc="scoring", unit="clip")
    return dict(bar)


@dataclass(frozen=True)
class ScorerFactory:
    """Makes the function that scores a batch of clips; picklable.

    Attributes:
        reference: the ground truth.
        systems: system -> folder of its speech.
        requests: further metrics.
    """

    reference: AudioSource
    systems: Mapping[str, Path]
    requests: tuple[Request, ...] = ()

    def __call__(self) -> Callable[[Sequence[str]], list[tuple[str, dict[str, ClipScores]]]]:
        """Clips -> the scores of each by system."""
        return lambda names: [score_clip(self.reference, self.systems, self.requests, name) for name in names]


def _each(clip: functools.partial, names: Sequence[str], nj: int) -> Iterator[tuple[str, dict[str, ClipScores]]]:
    """`clip` of every name, over `nj` processes, as they finish."""
    if nj <= 1:
        yield from map(clip, names)
        return
    yield from unordered(clip, names, nj)


def score_clip(
    reference: AudioSource, systems: Mapping[str, Path], requests: Sequence[Request], name: str
) -> tuple[str, dict[str, ClipScores]]:
    """Scores of one clip by system; a file that cannot be read gets the floor, with the reason.

    Metrics without a reference score the ground truth too.
    """
    every = (*STANDARD, *names_of(requests))
    blind = _blind(requests) if REAL not in systems else []
    try:
        true = reference[name]
    except ClipFailure as failure:
        reason = failure.reason
        floors = {system: ClipScores.floor(reason, every) for system in systems}
        return name, floors | ({REAL: ClipScores.floor(reason, names_of(blind))} if blind else {})
    scores = {}
    for system, folder in systems.items():
        try:
            speech = read_wav(wav_of(folder, name))
        except ClipFailure as failure:
            scores[system] = ClipScores.floor(failure.reason, every)
            continue
        scores[system] = measure(true, speech)
        scores[system].add(compute(requests, name, speech, true))
    return name, scores | ({REAL: compute(blind, name, true, true, "silent-reference")} if blind else {})
