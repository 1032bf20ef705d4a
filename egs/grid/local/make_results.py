"""Make a table of results again: crops, speech, scores and texts of its clips, by the verbs that everybody has.

    python local/make_results.py results/shipped.yaml --data data/lists/test --out exp/results/shipped [--publish]

What is done is skipped, so a killed run goes on where it was. OUT.tsv gets the scores of every clip.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from carried import heard_by
from clip_scores import Line, read_clips
from clip_scores import write_clips as write_lines
from printed import put
from results import READ, READ_MISMATCHED, Numbers, Recognizer, Table, each_printed, read_table, rendered, stored

from lipsound2 import cli, model_names
from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.inference.mismatched_text import mismatch
from lipsound2.metrics.audio_sources import REAL
from lipsound2.metrics.score import CLIPS
from lipsound2.metrics.score_text import FOLDER
from lipsound2.metrics.speech import ClipScores
from lipsound2.metrics.summary import Row
from lipsound2.metrics.summary_files import read_clips as read_scores
from lipsound2.metrics.wer_summary import read_clips as read_texts
from lipsound2.training.record import cores, cpu_model


def lipsound2(*words: str | Path) -> None:
    """Run a verb, in this process: most of a small one's time is the import of torch. Where it fails, so does this."""
    command = [str(word) for word in words]
    print("$ lipsound2", *command, flush=True)
    status = cli.main(command)
    if status:
        sys.exit(status)


def decoded(table: Table, out: Path, data: Path) -> Iterator[tuple[str, Path, tuple[str | Path, ...]]]:
    """Every system that is decoded, its data dir, and the options that name the dump, for recordings and crops."""
    for system in table.systems:
        name, _, control = system.partition("/")
        if system in (REAL, READ):
            yield system, data, ("--dump", out / "dump")
        elif system != READ_MISMATCHED:
            yield system, out / "speech" / name / "data" / control, ()


def text_name(system: str) -> str:
    """A system as a folder's name."""
    return system.replace("/", ".")


def texts_of(recognizer: Recognizer) -> str:
    """A folder's name for what a recognizer writes; homophones are folded later."""
    name = "+".join([recognizer.asr, *(word for word in recognizer.search.split() if not word.startswith("--"))])
    return "".join(letter if letter.isalnum() or letter in "-+.=" else "_" for letter in name)


def make(table: Table, data: Path, out: Path, nj: int) -> list[Line]:
    """Run what is not done, and read the scores of every clip.

    Args:
        table: what it is made of.
        data: data dir of the clips.
        out: folder for crops, trainings, speech, texts and scores.
        nj: worker processes.
    """
    jobs = ("--nj", str(nj))
    dump = out / "dump"
    begun = {training.init for training in table.trainings.values()}
    for name in {table.sync, *begun, *(speech.model for speech in table.speech.values())} - {"", *table.trainings}:
        model_names.find(name)  # a name that nothing has is told before any work

    def model(name: str) -> str | Path:
        """Where a model is that this table trains, or its own name."""
        return out / "models" / name if name in table.trainings else name

    learned = {name: data.parent / name for name in ("train", "valid")} if table.trainings else {}
    every = data
    if learned:
        every = out / "data"
        lipsound2("combine", ",".join(dict.fromkeys(map(str, (data, *learned.values())))), every)
    lipsound2("crop", every, dump, "--regions", table.regions, *jobs)
    lipsound2("mel", every, dump, "--mel", table.mel, *jobs)
    if table.sync and table.sync not in table.trainings:
        lipsound2("sync", table.sync, data.parent / "train", dump, *jobs)
    for name, training in table.trainings.items():
        sets = [word for set_, folder in learned.items() for word in (f"--{set_}", folder)]
        options: list[str | Path] = ["--init", model(training.init)] if training.init else []
        options += ["--override", training.override] if training.override else []
        lipsound2("train", training.config, *sets, "--dump", dump, "--exp", model(name), *options)
        if name == table.sync:
            lipsound2("sync", model(name), data.parent / "train", dump, *jobs)
    for name, speech in table.speech.items():
        place = out / "speech" / name
        controls = ("--controls", ",".join(speech.controls)) if speech.controls else ()
        how = ("--dump", dump, "--vocoder", speech.vocoder, *controls)
        lipsound2("synthesize", model(speech.model), data, place, *how, *jobs)
        metrics = ("--metrics", ",".join(table.metrics)) if table.metrics else ()
        lipsound2("score", dump / "audio", place, "--out", place / "scores", *metrics, *jobs)
    for recognizer in table.recognizers.values():
        asr, texts = heard_by(recognizer.asr, out.parent), out / "text" / texts_of(recognizer)
        search = recognizer.search.split()
        for system, folder, source in decoded(table, out, data):
            if recognizer.hears(system):
                lipsound2("decode", asr, folder, texts / text_name(system), *source, *search, *jobs)
        if recognizer.hears(READ_MISMATCHED):
            mismatch(texts / text_name(READ), data, texts / text_name(READ_MISMATCHED))
        folded = ("--homophones",) if recognizer.homophones else ()
        lipsound2("score-text", data, texts, "--out", out / _scores(recognizer), *folded)
    return read(table, out)


def _scores(recognizer: Recognizer) -> str:
    return "folded" if recognizer.homophones else "scores"


def read(table: Table, out: Path) -> list[Line]:
    """The scores of every clip, out of the files that `score` and `score-text` wrote."""
    speech: dict[tuple[str, str], ClipScores] = {}
    for name in table.speech:
        for row in read_scores(out / "speech" / name / "scores" / CLIPS):
            system = REAL if row.system == REAL else f"{name}/{row.system}"
            speech[system, row.id] = row.scores
    lines = []
    for system in table.systems:
        heard = {
            name: {
                clip.id: clip
                for clip in read_texts(out / _scores(each) / FOLDER / texts_of(each) / f"{text_name(system)}.tsv")
            }
            for name, each in table.recognizers.items()
            if each.hears(system)
        }
        for clip in next(iter(heard.values())).values():
            scores = speech.get((system, clip.id), ClipScores({}, {}))
            errors = {name: texts[clip.id].errors for name, texts in heard.items()}
            lines.append(Line(Row(clip.id, system, scores), clip.units, errors))
    return lines


def unlike(table: Table, made: Numbers, before: Numbers) -> list[str]:
    """A line for each number that was made otherwise than the stored clips give it."""
    columns = dict.fromkeys(column for printed in table.printed.values() for column in printed.columns)
    return [
        f"{system}, {column}: made {new or 'nothing'}, stored {old or 'nothing'}"
        for system in table.systems
        for column in columns
        if (new := made.cell(system, column)) != (old := before.cell(system, column))
    ]


def origin() -> dict[str, str]:
    """When and with what a table is made."""
    packages = ("torch", "pystoi", "pesq", "speechmos", "pocketsphinx", "faster-whisper", "ctranslate2", "jiwer")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{cpu_model()}, {cores()} cores",
        **{name: version(name) for name in packages},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--publish", action="store_true")
    options = parser.parse_args()
    path: Path = options.table
    try:
        table = read_table(path)
        lines = make(table, options.data, options.out, options.nj)
        made = options.out.parent / f"{path.stem}.tsv"
        write_lines(made, lines)
        numbers = Numbers(table, read_clips(made))
        for name, printed in table.printed.items():
            print(f"\n{name}\n\n{rendered(table, numbers, printed)}")
        print(f"\n{made}: the scores of every clip")
        if options.publish:
            write_lines(path.with_suffix(".tsv"), lines)
            write_yaml(path.with_suffix(".origin.yaml"), origin())
            each_printed(path, put)
            print(f"{path.with_suffix('.tsv')}, {path.with_suffix('.origin.yaml')} and the printed tables are written")
        elif path.with_suffix(".tsv").exists():
            told = unlike(table, numbers, stored(path)[1])
            print(*told, sep="\n") if told else print(f"every number is that of {path.with_suffix('.tsv')}")
    except LipsoundError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
