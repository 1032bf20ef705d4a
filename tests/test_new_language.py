"""`docs/new-language.md`, carried out: a rule for texts, then tokens, n-grams, a recognizer and scores in German."""

from __future__ import annotations

import json

import pytest
import yaml
from helpers.face_corpora import talking_clip
from helpers.pages import ROOT, Workshop

from lipsound2.data.datadir import DataDir
from lipsound2.synthetic.speech import Voice

pytestmark = pytest.mark.slow
SENTENCES = ["Grüne Bäume", "blaue Vögel", "Weiße Straße", "grüne Vögel", "Blaue Bäume!", "weiße Vögel"]
TINY = {"max_epochs": 1, "valid_every": 1, "width": 16, "layers": 1, "channels": 4, "heads": 2, "decoder_layers": 1}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A copy with the page's entry, and clips with German texts."""
    workshop = Workshop(tmp_path_factory.mktemp("copy"), "new-language.md")
    assert [*workshop.entries] == ["lipsound2/text/normalize.py"]
    workshop.decode_step(before='    "zh": Normalization(\n')
    for number, sentence in enumerate(SENTENCES):
        clip = workshop.root / f"videos/anna/{number}.mp4"
        talking_clip(clip, sentence.lower().strip("!").split(), Voice("de"), wav=clip.with_suffix(".wav"))
        clip.with_suffix(".txt").write_text(sentence, encoding="utf-8")
    workshop.run("prepare", "own", "videos", "data", "--protocol", "own")
    texts = DataDir(workshop.root / "data/all").text
    wavs = {id: str(workshop.root / f"videos/anna/{id[-1]}.wav") for id in texts}
    DataDir.write(workshop.root / "audio", utt2spk=dict.fromkeys(texts, "anna"), text=texts, wav=wavs)
    return workshop


def test_subwords_and_language_model_are_of_normalized_texts(workshop: Workshop) -> None:
    for kind, out in (("characters", "tokens.txt"), ("unigram", "tokens.model")):
        workshop.run("tokens", "data/all", out, "--kind", kind, "--size", "60", "--language", "de")
    assert set((workshop.root / "tokens.txt").read_text(encoding="utf-8").split()) & set("GBWVS!?") == set()
    assert "ß" in (workshop.root / "tokens.txt").read_text(encoding="utf-8")
    workshop.run("ngram", "data/all", "german.arpa", "--order", "2", "--language", "de")
    lines = (workshop.root / "german.arpa").read_text(encoding="utf-8").splitlines()
    words = {line.split("\t")[1] for line in lines if line.count("\t") >= 1 and " " not in line.split("\t")[1]}
    assert {"grüne", "weiße", "straße", "bäume"} <= words


def test_a_recognizer_learns_and_is_scored(workshop: Workshop) -> None:
    config = yaml.safe_load((ROOT / "egs/grid/conf/asr_conformer.yaml").read_text(encoding="utf-8")) | TINY
    config |= {"language": "de", "tokens": "characters", "word_loss_weight": 0, "workers": 0, "tensorboard": False}
    (workshop.root / "german.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    workshop.run("mel", "audio", "dump", "--mel", "none", "--nj", "1")
    sets = ["--train", "audio", "--valid", "audio", "--dump", "dump"]
    workshop.run("train", "german.yaml", *sets, "--exp", "exp")
    workshop.run("decode", "exp", "audio", "recognized", "--dump", "dump", "--nj", "1")
    printed = workshop.run("score-text", "audio", "recognized", "--language", "de")
    assert "normalization de-1" in printed
    summary = json.loads((workshop.root / "recognized/scores/text/recognized/summary.json").read_text())
    assert any(line.startswith("German (de-1): Unicode") for line in summary["rule"])
    (system,) = summary["systems"].values()
    counts = system["total"]["words"]
    assert counts["hits"] + counts["substitutions"] + counts["deletions"] == 2 * len(SENTENCES)
