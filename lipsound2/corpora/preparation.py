"""The verb `prepare`: what a corpus' module found -> data dirs of all clips and of a protocol's sets."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated

from lipsound2.arguments import AtLeast0, Choices
from lipsound2.corpora.corpus import Corpus, Options
from lipsound2.corpora.lists import Lists, read_lists
from lipsound2.corpora.recordings import Problem, Recording, Recordings
from lipsound2.corpora.registry import LISTS, check_protocol, load, names
from lipsound2.corpora.summary import counted, describe_corpus, describe_protocol, ranges, write_problems
from lipsound2.data.checks import back_up
from lipsound2.data.datadir import DataDir, check_own
from lipsound2.data.names import Names
from lipsound2.data.tables import TABLES as OF_ANY
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock
from lipsound2.fingerprint import Fingerprint
from lipsound2.outputs import OutputFolder

TABLES = (*OF_ANY, "mismatched")
_UNDETERMINED = "und"  # ISO 639-2


def prepare(
    corpus: Annotated[str, Choices(names)],
    root: Path,
    data: OutputFolder,
    *,
    protocol: str | None = None,
    lists: Path | None = None,
    listing: Path | None = None,
    prompts: Path | None = None,
    seed: AtLeast0 = 0,
    unpack: Path | None = None,
) -> None:
    """Make data dirs of a corpus folder: all clips in DATA/all, and the sets of a protocol in DATA/<protocol>/<set>.

    The corpus is only read. A part of a corpus is fine: missing clips are reported, with the counts of the papers.
    Files that cannot be used, or contradict their names, are listed in DATA/problems.tsv.

    Args:
        corpus: name of the corpus; mini: generated faces; own: your videos in any folders; aishell: AISHELL-1 or -2.
        root: folder of the corpus, in any of the layouts in use.
        data: folder for the data dirs.
        protocol: name of a split, or lists; an unknown name is answered with the names of the corpus.
        lists: with the protocol lists: a folder with a TSV file 'id, file, transcript' for each set. Else the lists of
            the corpus: the folder of LRS2's or CMLR's lists, LRS3's lrs3-valid.id, VoxCeleb2's English clips.
        listing: file with the names of the corpus' files, instead of a search of the disk.
        prompts: for TCD-TIMIT: file of the sentences, TIMIT's PROMPTS.TXT.
        seed: of random splits and pairs.
        unpack: folder for unpacking GRID's s1.zip, ..., if the corpus is still packed.

    Raises:
        LipsoundError: no clip found, unknown protocol, an option the corpus has no use for, bad lists, or a protocol
            none of whose clips are there.
    """
    known = load(corpus)
    options = Options(lists=lists, listing=listing, prompts=prompts, unpack=unpack)
    _check(corpus, known, protocol, options)
    with folder_lock(data, "lipsound2 prepare"):
        split = known.protocols.get(protocol or "")
        found = known.scan(root, replace(options, lists=None) if protocol == LISTS else options)
        source = f"lipsound2 prepare {corpus} {root.resolve()}"
        own = read_lists(lists) if protocol == LISTS and lists is not None else None
        chosen: Mapping[str, Collection[str]] = own.sets if own is not None else {}
        if own is not None:
            _take_texts(own, found)
        if split is not None and found.by_id:
            chosen = split.split(found, seed)
        split_by = source + (f" --lists {lists.resolve()}" if lists else "") + (f" --seed {seed}" if seed else "")
        # Before anything of another corpus, or of another split, is written over.
        check_own(data / "all", Names.of(found.by_id), source)
        for name, ids in chosen.items():
            check_own(data / str(protocol) / name, Names.of(id for id in ids if id in found.by_id), split_by)
        problems_file = data / "problems.tsv"
        print("\n".join(describe_corpus(found, known, split, problems_file)))
        write_problems(problems_file, found.problems)
        if not found.by_id:
            raise LipsoundError(f"{root}: no clip of {known.title} that can be used; see {problems_file}")
        whole = data / "all"
        _write_all(found, whole, corpus, known.language, source)
        if split is not None and protocol is not None:
            sets = _there(chosen, found, f"{root}: protocol {protocol} needs {split.needs}")
            options_used = {"protocol": protocol, "seed": seed}
            _write_sets(found, sets, data / protocol, known, {}, options_used, [whole], split_by)
            if found.lists:
                _tell_listed(protocol, chosen, sets)
            counts = {name: len(ids) for name, ids in sets.items()}
            print("\n".join(describe_protocol(protocol, split, found, counts)))
        elif own is not None and protocol is not None and lists is not None:
            found.problems += _contradictions(own, found.by_id, root)
            write_problems(problems_file, found.problems)
            sets = _there(
                own.sets, found, f"{lists}: lists {next(iter(next(iter(own.sets.values()))), 'nothing')}, ..."
            )
            options_used = {"protocol": protocol, "seed": seed}
            _write_sets(found, sets, data / protocol, known, own.pairs, options_used, [whole, lists], split_by)
            _tell_listed(protocol, own.sets, sets)


def _check(corpus: str, known: Corpus, protocol: str | None, options: Options) -> None:
    """Refuse what does not go together.

    Raises:
        LipsoundError: unknown protocol, or an option that would be without effect.
    """
    check_protocol(corpus, protocol)
    if protocol == LISTS and options.lists is None:
        raise LipsoundError("--protocol lists and --lists DIR belong together; give both or neither")
    if options.lists is not None and not options.lists.exists():
        raise LipsoundError(f"--lists {options.lists}: no such file or folder")
    for option in fields(options):
        used = option.name in known.takes or (option.name == "lists" and protocol == LISTS)
        if getattr(options, option.name) is not None and not used:
            hint = "; to split by it add --protocol lists" if option.name == "lists" else ""
            raise LipsoundError(f"--{option.name}: {corpus} has no use for it, leave it out{hint}")


def _there(sets: Mapping[str, Collection[str]], found: Recordings, needs: str) -> dict[str, list[str]]:
    """The ids of each set that are in the corpus at hand, sorted.

    Raises:
        LipsoundError: none is.
    """
    here = {name: sorted(id for id in set(ids) if id in found.by_id) for name, ids in sets.items()}
    if not any(here.values()):
        speakers = ranges({recording.speaker for recording in found.by_id.values()})
        raise LipsoundError(
            f"{needs}, found {speakers}: none of its clips is there; choose another protocol or add them"
        )
    return here


def _tell_listed(protocol: str, sets: Mapping[str, Collection[str]], here: Mapping[str, list[str]]) -> None:
    """How many of the listed clips are there."""
    for name, ids in sets.items():
        listed = set(ids)
        absent = listed.difference(here[name])
        missing = f", {len(absent)} MISSING ('{min(absent)}' first)" if absent else ""
        print(f"{protocol}/{name}: {len(here[name])} of {len(listed)} listed clips{missing}")


def _take_texts(lists: Lists, found: Recordings) -> None:
    """Clips of which the corpus says nothing have the text of their list.

    Raises:
        LipsoundError: two lists give them different ones.
    """
    given: dict[str, str] = {}  # clip -> the list that its text is of
    for name, rows in lists.sets.items():
        for id, row in rows.items():
            if not row.text or id not in found.by_id:
                continue
            text = found.by_id[id].text
            if not text:
                found.by_id[id], given[id] = replace(found.by_id[id], text=row.text), name
            elif id in given and text.split() != row.text.split():
                raise LipsoundError(
                    f"{id}: {given[id]}.tsv says '{text}', and {name}.tsv '{row.text}'; make them the same"
                )


def _contradictions(lists: Lists, by_id: Mapping[str, Recording], root: Path) -> list[Problem]:
    """Rows of lists without a clip, and rows whose text is not the clip's."""
    problems = []
    ids = {recording.file: id for id, recording in by_id.items()}
    for subset, rows in lists.sets.items():
        for id, row in rows.items():
            if id not in by_id:
                known = ids.get(str(root.absolute() / row.file))
                detail = f"listed in {subset}.tsv" + (f"; the id of this file is {known}" if known else "")
                problems.append(Problem(id, row.file, "not-in-corpus", detail))
            elif row.text and row.text.lower().split() != by_id[id].text.lower().split():
                detail = f"{subset}.tsv says '{row.text}', the corpus '{by_id[id].text}'"
                problems.append(Problem(id, by_id[id].file, "transcript-mismatch", detail, dropped=False))
    return problems


def _write_all(found: Recordings, path: Path, corpus: str, language: str, source: str) -> None:
    """DATA/all, unless it stands already."""
    known = sorted(found.by_id.items())
    rows = (f"{id} {r.video} {r.wav} {r.size} {r.words} {r.language} {r.text}\n" for id, r in known)
    options = {"corpus": corpus, "clips": _digest(rows), "tables": sorted(found.tables)}
    fingerprint = Fingerprint(path, "prepare", options, [], ("utt2spk", "spk2utt"), TABLES)
    if fingerprint.up_to_date():
        print(f"{path}: done, skipped")
        return
    _keep(path, fingerprint)
    fingerprint.clear()
    DataDir.write(path, made_by=source, **_tables(path, found, found.by_id, language))
    fingerprint.write()
    print(f"{path}: {counted(len(known), 'clips')}")


def _keep(path: Path, fingerprint: Fingerprint) -> None:
    """Tables that were changed since they were made from the same corpus may be somebody's work: keep them."""
    if fingerprint.same() and (backup := back_up(path, TABLES)):
        print(f"{path}: made again, because a table has changed; as it was it lies in {backup}")


def _digest(rows: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _tables(
    path: Path, found: Recordings, recordings: Mapping[str, Recording], language: str
) -> dict[str, dict[str, str]]:
    """The tables of a data dir, as `DataDir.write` takes them; those that nothing is known for are left out.

    Where some clips have an audio file of their own, `wav.scp` names the video for the others.
    """
    tables = {
        "utt2spk": {id: recording.speaker for id, recording in recordings.items()},
        "video": {id: recording.video for id, recording in recordings.items() if recording.video},
        "text": {id: recording.text for id, recording in recordings.items() if recording.text},
        "word_times": {id: recording.words for id, recording in recordings.items() if recording.words},
    }
    if any(recording.wav for recording in recordings.values()):
        tables["wav"] = {id: recording.wav or recording.video for id, recording in recordings.items()}
    if language or any(recording.language for recording in recordings.values()):
        tables["utt2lang"] = {
            id: recording.language or language or _UNDETERMINED for id, recording in recordings.items()
        }
    if 0 < len(tables["text"]) < len(recordings):
        without = next(id for id, recording in recordings.items() if not recording.text)
        few = f"{len(recordings) - len(tables['text'])} of {len(recordings)} clips have none, '{without}' first"
        print(f"{path}: words are counted where there is a text; {few}")
    tables |= {name: {id: table[id] for id in recordings} for name, table in found.tables.items()}
    return {name: table for name, table in tables.items() if table}


def _write_sets(
    found: Recordings,
    sets: Mapping[str, list[str]],
    path: Path,
    corpus: Corpus,
    pairs: Mapping[str, Mapping[str, str]],
    options: Mapping[str, object],
    inputs: list[Path],
    source: str,
) -> None:
    """One data dir a set; each but training with the table `mismatched`: the other clip of the control."""
    rows = (f"{name} {id}\n" for name, ids in sorted(sets.items()) for id in ids)
    made = [f"{name}/{table}" for name, ids in sets.items() if ids for table in ("utt2spk", "spk2utt")]
    more = [f"{name}/{table}" for name, ids in sets.items() if ids for table in TABLES]
    fingerprint = Fingerprint(path, "prepare", {**options, "sets": _digest(rows)}, inputs, made, more)
    if fingerprint.up_to_date():
        print(f"{path}: done, skipped")
        return
    for name in sets:
        _keep(path / name, fingerprint)
    fingerprint.clear()
    for name, ids in sets.items():
        if not ids:
            print(f"{path / name}: EMPTY, not written; none of its clips is in the corpus at hand")
            shutil.rmtree(path / name, ignore_errors=True)  # of an earlier run, with other clips
            continue
        recordings = {id: found.by_id[id] for id in ids}
        tables = _tables(path / name, found, recordings, corpus.language)
        if name != "train" and "video" in tables:
            tables["mismatched"] = _pairs(
                path / name, recordings, corpus, pairs.get(name, {}), int(str(options["seed"]))
            )
        DataDir.write(path / name, made_by=source, **{name: table for name, table in tables.items() if table})
        print(f"{path / name}: {counted(len(ids), 'clips')}")
    fingerprint.write()


def _pairs(
    path: Path, recordings: Mapping[str, Recording], corpus: Corpus, given: Mapping[str, str], seed: int
) -> dict[str, str]:
    """Given pairs as far as both clips are there, a fixed derangement for the rest."""
    kept = {id: other for id, other in given.items() if id in recordings and other in recordings}
    if len(kept) == len(recordings):
        return kept
    made = corpus.pairs(recordings, seed)
    if not made:
        print(f"{path}: a single clip, so no mismatched pair")
    return {**made, **kept}
