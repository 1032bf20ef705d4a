"""Where a corpus' files lie, what is said in them, and who trains on what."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from lipsound2.corpora.grid import Clip, Inventory, Problem, is_speaker_archive, scan
from lipsound2.corpora.lists import Lists, read_lists
from lipsound2.corpora.pairs import derange, most_shared
from lipsound2.corpora.protocols import PROTOCOLS, split
from lipsound2.corpora.speech import SPEECH_CORPORA, prepare_speech
from lipsound2.corpora.summary import describe_corpus, describe_protocol, write_problems
from lipsound2.corpora.unpack import unpack_zip
from lipsound2.datadir import DataDir
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock
from lipsound2.stamp import Stamp


def prepare(
    corpus: Literal["grid", "mini", "librispeech", "aishell"],
    root: Path,
    data: Path,
    *,
    protocol: str | None = None,
    lists: Path | None = None,
    seed: int = 0,
    unpack: Path | None = None,
) -> None:
    """Corpus folder -> data dirs: every clip once in DATA/all, and the sets of a protocol in DATA/<protocol>/<set>.

    The corpus is only read. A part of it is fine: what is missing is said, beside the counts of the papers. Whatever
    cannot be used, or contradicts its file name, is listed in DATA/problems.tsv.

    Args:
        corpus: grid, mini for generated faces (the same layout), or a recogniser's corpus, sound and text alone:
            librispeech, aishell (1 or 2).
        root: folder that holds s1, s2, ... in any of the layouts in use; LibriSpeech; data_aishell or AISHELL-2.
        data: folder for the data dirs.
        protocol: 4speakers, lipsound2-sd, 33seen, overlapped, unseen, unseen-vougioukas, mini, or lists; of LibriSpeech
            960h, 460h or 100h; of AISHELL aishell2 or aishell1.
        lists: with the protocol 'lists': a folder of TSV lists 'id, file, transcript', one file a set.
        seed: of the random splits.
        unpack: folder to unpack s1.zip, ... into when the corpus is still packed.

    Raises:
        LipsoundError: no clip found, unknown protocol, bad lists, or a protocol none of whose clips are there.
    """
    if corpus in SPEECH_CORPORA:
        if lists is not None or unpack is not None or seed:
            raise LipsoundError(
                f"--lists, --unpack, --seed: only for GRID; the sets of {corpus} are fixed, leave them out"
            )
        prepare_speech(corpus, root, data, protocol)
        return
    _check_protocol(protocol, lists)
    with folder_lock(data, "lipsound2 prepare"):
        inventory = scan([root, *_unpacked(root, unpack)])
        problems_file = data / "problems.tsv"
        print("\n".join(describe_corpus(inventory, problems_file)))
        problems = list(inventory.problems)
        whole = _write_all(inventory, data / "all", corpus)
        if protocol == "lists" and lists is not None:
            _write_lists(inventory, whole, read_lists(lists), data / protocol, lists, seed, problems)
        elif protocol:
            _write_protocol(inventory, whole, protocol, data / protocol, seed)
        write_problems(problems_file, problems)


def _check_protocol(protocol: str | None, lists: Path | None) -> None:
    if protocol not in (None, "lists", *PROTOCOLS):
        raise LipsoundError(f"unknown protocol '{protocol}'; one of: {', '.join(PROTOCOLS)}, lists")
    if (protocol == "lists") != (lists is not None):
        raise LipsoundError("--protocol lists and --lists DIR belong together; give both or neither")


def _unpacked(root: Path, folder: Path | None) -> list[Path]:
    """Unpack the speakers' archives and the alignments of `root` into `folder`."""
    if folder is None:
        return []
    for archive in sorted(root.glob("*.zip")):
        if is_speaker_archive(archive) or archive.stem.startswith("align"):
            unpack_zip(archive, folder)
    return [folder] if folder.is_dir() else []


def _write_all(inventory: Inventory, path: Path, corpus: str) -> DataDir:
    """DATA/all, unless it stands already."""
    clips = inventory.clips
    times = hashlib.sha256(repr(sorted(inventory.word_times.items())).encode()).hexdigest()
    stamp = Stamp(path, "prepare", {"corpus": corpus, "clips": _listing(clips), "word_times": times}, [])
    if stamp.fresh():
        print(f"{path}: done, skipped")
        return DataDir(path)
    stamp.clear()
    whole = DataDir.write(
        path,
        utt2spk={id: clip.speaker for id, clip in clips.items()},
        video={id: str(clip.video.absolute()) for id, clip in clips.items()},
        text={id: clip.text for id, clip in clips.items()},
        word_times=inventory.word_times,
    )
    stamp.write()
    print(f"{path}: {len(clips)} clips")
    return whole


def _listing(clips: Mapping[str, Clip]) -> str:
    """Digest of which files the clips are and how large."""
    rows = (f"{id} {clip.video.absolute()} {clip.video.stat().st_size}\n" for id, clip in sorted(clips.items()))
    return hashlib.sha256("".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


def _write_protocol(inventory: Inventory, whole: DataDir, name: str, path: Path, seed: int) -> None:
    """The sets of a published split."""
    protocol = PROTOCOLS[name]
    sets = {
        subset: [id for id in sorted(ids) if id in inventory.clips]
        for subset, ids in split(protocol, inventory.names, seed).items()
    }
    if not any(sets.values()):
        raise LipsoundError(
            f"protocol {name} needs the speakers {' '.join(protocol.speakers)}, found {' '.join(inventory.speakers)}; "
            "choose another protocol or add them"
        )
    stamp = Stamp(path, "prepare", {"protocol": name, "seed": seed, "sets": _digest(sets)}, [whole.path])
    _write_sets(whole, sets, {}, path, stamp, seed)
    counts = {subset: len(ids) for subset, ids in sets.items()}
    print("\n".join(describe_protocol(name, protocol, inventory, counts)))


def _write_lists(
    inventory: Inventory, whole: DataDir, lists: Lists, path: Path, folder: Path, seed: int, problems: list[Problem]
) -> None:
    """The sets of given lists; rows without a clip are counted, rows that contradict the file name told."""
    sets: dict[str, list[str]] = {}
    for subset, rows in lists.sets.items():
        sets[subset] = [id for id in sorted(rows) if id in inventory.clips]
        for id, row in rows.items():
            if id not in inventory.clips:
                problems.append(Problem(id, Path(row.file), "not-in-corpus", f"listed in {subset}.tsv"))
            elif row.text.lower().split() != inventory.clips[id].text.split():
                detail = f"{subset}.tsv says '{row.text}', the file name '{inventory.clips[id].text}'"
                problems.append(Problem(id, inventory.clips[id].video, "transcript-mismatch", detail, dropped=False))
    if not any(sets.values()):
        first = next(iter(next(iter(lists.sets.values()))), "nothing")
        raise LipsoundError(f"{folder}: none of the listed clips is in the corpus (wanted {first}, ...)")
    stamp = Stamp(path, "prepare", {"protocol": "lists", "seed": seed, "sets": _digest(sets)}, [whole.path, folder])
    _write_sets(whole, sets, lists.pairs, path, stamp, seed)
    for subset, ids in sets.items():
        listed = len(lists.sets[subset])
        absent = f", {listed - len(ids)} MISSING" if listed > len(ids) else ""
        print(f"lists/{subset}: {len(ids)} of {listed} listed clips{absent}")


def _digest(sets: Mapping[str, list[str]]) -> str:
    return hashlib.sha256(repr(sorted(sets.items())).encode()).hexdigest()


def _write_sets(
    whole: DataDir,
    sets: Mapping[str, list[str]],
    pairs: Mapping[str, Mapping[str, str]],
    path: Path,
    stamp: Stamp,
    seed: int,
) -> None:
    """One data dir a set; each but training with the table `mismatched`: the other clip of the control."""
    if stamp.fresh():
        print(f"{path}: done, skipped")
        return
    stamp.clear()
    word_times = whole.table("word_times")
    for subset, ids in sets.items():
        if not ids:
            print(f"{path / subset}: EMPTY, not written; none of its clips is in the corpus")
            shutil.rmtree(path / subset, ignore_errors=True)  # of an earlier run, with other clips
            continue
        tables = {"word_times": {id: word_times[id] for id in ids if id in word_times}}
        if subset != "train":
            tables["mismatched"] = _pairs(path / subset, ids, pairs.get(subset, {}), seed)
        DataDir.write(
            path / subset,
            utt2spk={id: whole.utt2spk[id] for id in ids},
            video={id: whole.video[id] for id in ids},
            text={id: whole.text[id] for id in ids},
            **{name: table for name, table in tables.items() if table},
        )
    stamp.write()


def _pairs(path: Path, ids: list[str], given: Mapping[str, str], seed: int) -> dict[str, str]:
    """Given pairs as far as both clips are there, a fixed derangement for the rest."""
    present = set(ids)
    kept = {id: other for id, other in given.items() if id in present and other in present}
    if not kept:
        kept = derange(ids, seed)
        if most_shared(kept):
            print(f"{path}: mismatched pairs share up to {most_shared(kept)} of 6 words; the set is too small for none")
        if not kept:
            print(f"{path}: a single clip, so no mismatched pair")
        return kept
    return {**derange(ids, seed), **kept} if len(kept) < len(ids) else kept
