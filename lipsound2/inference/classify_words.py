"""The verb `decode` for the task *classify*: the most probable word of every clip, and the five best candidates."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import torch

from lipsound2 import experiment, model_names
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.data.yaml_files import write_yaml
from lipsound2.decoding.hypothesis import ACCURACY, DETAILS, TEXT
from lipsound2.files import folder_lock, write_text
from lipsound2.fingerprint import Fingerprint
from lipsound2.progress import progress
from lipsound2.tasks.classify import TOP, Classify, accuracy, ranks_of

log = logging.getLogger(__name__)

MADE = (TEXT, DETAILS, ACCURACY, "origin.yaml")
_BATCH = 32


@torch.no_grad()
def read_words(exp: str, dir: Path, out: Path, dump: Path, ngpu: int = 0) -> None:
    """Write OUT/text, the five best words of every clip to OUT/words.jsonl, and accuracies to OUT/accuracy.yaml.

    Args:
        exp: experiment or pack of the task *classify*.
        dir: data dir whose `text` has one word per clip.
        out: folder to write.
        dump: folder of the crops.
        ngpu: GPUs to use: 0 or 1.
    """
    path = model_names.find(exp)
    device = experiment.device_for(ngpu)
    loaded = experiment.load(path, device, task=Classify)
    task, network, words = loaded.task, loaded.model, loaded.assets.words
    kind = dump / task.settings.input
    fingerprint = Fingerprint(out, "decode", {"asr": exp}, [dir, kind, path / model_names.WEIGHTS], MADE)
    if fingerprint.up_to_date():
        print(f"{out}: done already with these inputs and options; skipped")
        return
    clips = task.windows(DataDir(dir), dump, words)
    texts: dict[str, str] = {}
    rows: list[str] = []
    ranks: list[int] = []
    with folder_lock(out, "decode"):
        fingerprint.clear()
        for start in progress(range(0, len(clips), _BATCH), desc="decode", unit="batch"):
            chosen = range(start, min(start + _BATCH, len(clips)))
            batch = task.collate([clips.get(index, None) for index in chosen]).to(device)
            scores = network(batch.video, batch.video_lengths, batch.inside).float()
            ranks += ranks_of(scores, batch.labels)
            for name, shares in zip(batch.ids, scores.softmax(1).cpu().numpy(), strict=True):
                first = np.argsort(-shares, kind="stable")[:TOP]
                texts[name] = words[first[0]]
                candidates = {words[word]: round(float(shares[word]), 4) for word in first}
                rows.append(json.dumps({"id": name, "text": texts[name], "candidates": candidates}, ensure_ascii=False))
        found = accuracy(ranks)
        write_table(out / TEXT, texts)
        write_text(out / DETAILS, "".join(f"{row}\n" for row in sorted(rows)))
        write_yaml(out / ACCURACY, {"clips": len(ranks), **{top: round(v, 5) for top, v in found.items()}})
        write_yaml(out / "origin.yaml", {"asr": exp, "data": str(dir), "dump": str(dump), "clips": len(ranks)})
        fingerprint.write()
    log.info(
        "%s: %d words, top-1 %.1f %%, top-%d %.1f %%; %d classes",
        *(out, len(ranks), 100 * found["top1"], TOP, 100 * found[f"top{TOP}"], len(words)),
    )
