"""What is heard: `transcribe`, `decode`, the former `score --asr`, and recognizers by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.video_making import write_clip
from helpers.written_dump import write_kind

from lipsound2.audio.io import encode_flac, load_audio, write_wav
from lipsound2.audio.mel_settings import SPEECH
from lipsound2.data.archive import ArchiveWriter
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.data.yaml_files import write_yaml
from lipsound2.decoding.hypothesis import Alternative, Hypothesis, Word, joined, to_json
from lipsound2.decoding.pretrained_asr import Bundle, recognize_all, tokenizer_of
from lipsound2.decoding.search_options import SearchOptions
from lipsound2.decoding.subtitles import as_srt
from lipsound2.errors import LipsoundError
from lipsound2.inference import pauses, recognizers, transcriber
from lipsound2.inference.decode import decode
from lipsound2.inference.former_score import label, score
from lipsound2.inference.recognizers import recognizer
from lipsound2.inference.transcribe import transcribe
from lipsound2.metrics.wer_summary import read_summary


def clips(grid: Path, number: int = 4) -> dict[str, Path]:
    return {f"s1-{path.stem}": path for path in sorted((grid / "s1").glob("*.mp4"))[:number]}


def words(text: str, *starts: float) -> Hypothesis:
    rows = [Word(word, start, start + 0.2, 0.9) for word, start in zip(text.split(), starts, strict=True)]
    return Hypothesis(text, rows, -1.0)


def test_subtitles_have_times_and_break_at_pauses():
    text = as_srt(words("bin blue now", 0.5, 0.8, 61.5))
    assert text == "1\n00:00:00,500 --> 00:00:01,000\nbin blue\n\n2\n00:01:01,500 --> 00:01:01,700\nnow\n"
    many = as_srt(words(" ".join("abcdefghij"), *np.arange(10) * 0.3))
    assert many.count("-->") == 2
    assert as_srt(Hypothesis("")) == ""


def test_json_has_times_to_the_millisecond():
    assert to_json(words("bin", 0.123456)) == {
        "text": "bin",
        "words": [{"text": "bin", "start": 0.123, "end": 0.323, "confidence": 0.9}],
        "score": -1.0,
        "confidence": None,
    }
    sure = Hypothesis("bin", confidence=0.61234567, alternatives=[Alternative("pin", 0.25), Alternative("in", 0.1)])
    assert to_json(sure)["confidence"] == 0.6123
    assert to_json(sure, 1)["alternatives"] == [{"text": "pin", "probability": 0.25}]


def test_alternatives_of_stretches_are_the_most_probable_combinations():
    first = Hypothesis(
        "bin", [Word("bin", 0.1, 0.2, 0.8)], -1.0, 0.8, [Alternative("pin", 0.15), Alternative("in", 0.05)]
    )
    second = Hypothesis("now", [Word("now", 0.3, 0.4, 0.3)], -2.0, 0.3, [Alternative("soon", 0.6)])
    both = joined([(0.0, first), (2.0, second)])
    assert both.text == "bin now"
    assert [(word.start, word.confidence) for word in both.words] == [(0.1, 0.8), (2.3, 0.3)]
    assert both.confidence == pytest.approx(0.24)
    assert [each.text for each in both.alternatives] == ["bin soon", "pin soon"]
    assert [each.probability for each in both.alternatives] == pytest.approx([0.48, 0.09])
    assert joined([(0.0, first)]) == first
    # The same words in other stretches are the same text.
    left = Hypothesis("a", confidence=0.6, alternatives=[Alternative("", 0.4)])
    right = Hypothesis("", confidence=0.7, alternatives=[Alternative("a", 0.3)])
    same = joined([(0.0, left), (1.0, right)])
    assert same.confidence == pytest.approx(0.6 * 0.7 + 0.4 * 0.3)
    assert [(each.text, round(each.probability, 9)) for each in same.alternatives] == [
        ("", 0.28)
    ]  # as many as they had
    # A stretch without a confidence leaves none for the whole.
    assert joined([(0.0, first), (2.0, Hypothesis("now"))]).confidence is None
    assert joined([]) == Hypothesis("")


def test_audio_are_heard_some_at_a_time():
    class Counting:
        name = "counting"
        sizes: list[int] = []  # noqa: RUF012

        def recognize(self, waveforms):
            self.sizes.append(len(waveforms))
            return [Hypothesis(str(len(waveform))) for waveform in waveforms]

    counting = Counting()
    found = recognize_all(counting, ((f"c{n}", np.zeros(n)) for n in range(7)), batch=3)
    assert counting.sizes == [3, 3, 1]
    assert {name: what.text for name, what in found.items()} == {f"c{n}": str(n) for n in range(7)}


def test_a_bundles_labels_are_decoded_by_our_own_ctc():
    """torchaudio's bundles number their labels in another way than our tokenizers do."""
    bundle = Bundle.__new__(Bundle)
    bundle._tokenizer = tokenizer_of(("-", "|", "B", "I", "N"))
    path = [0, 2, 2, 3, 0, 4, 1, 3, 4, 4]  # "bin in"
    scores = torch.full((1, len(path), 5), -5.0)
    scores[0, torch.arange(len(path)), path] = 5.0
    bundle._model = lambda waveform: (scores, None)
    (heard,) = bundle.recognize([np.zeros(16000, np.float32)])
    assert heard.text == "bin in"
    assert [(round(word.start, 2), round(word.end, 2)) for word in heard.words] == [(0.1, 0.6), (0.7, 1.0)]
    assert all(word.confidence > 0.9 for word in heard.words)


def test_names_of_recognizers(tmp_path):
    assert label("pocketsphinx:grid", SearchOptions()) == "pocketsphinx-grid"
    (tmp_path / "my asr").mkdir()
    assert label(str(tmp_path / "my asr"), SearchOptions(grammar="grid")) == "my_asr+grid"
    assert label(str(tmp_path / "my asr"), SearchOptions(lm=Path("lm/six gram.arpa"))) == "my_asr+six_gram.arpa"
    with pytest.raises(
        LipsoundError, match=r"no experiment or pack.*need no training: pocketsphinx:, torchaudio:, whisper:"
    ):
        recognizer("nothing")
    with pytest.raises(LipsoundError, match="did you mean 'whisper'"):
        recognizer("wisper:base")
    with pytest.raises(LipsoundError, match=r"is of the task 'regress', wanted one of 'recognize'"):
        recognizer("grid-s1-parallel")


def test_what_cannot_be_transcribed_is_one_line(tmp_path):
    pytest.importorskip("pocketsphinx")
    with pytest.raises(LipsoundError, match="no such file"):
        transcribe(tmp_path / "nothing.wav")
    (tmp_path / "a.txt").write_text("no audio at all")
    with pytest.raises(LipsoundError, match=r"cannot be opened.*expected a video or an audio file"):
        transcribe(tmp_path / "a.txt")


def test_words_lie_inside_the_audio(tmp_path, capsys):
    pytest.importorskip("pocketsphinx")
    rng = np.random.default_rng(0)
    write_wav(tmp_path / "a.wav", (0.05 * rng.standard_normal(16000)).astype(np.float32))
    transcribe(tmp_path / "a.wav", asr="pocketsphinx", json=True)  # noise: whatever it takes it for
    heard = json.loads(capsys.readouterr().out)["words"]
    assert all(0 <= word["start"] < word["end"] <= 1.0 for word in heard)


@pytest.mark.real
def test_real_clips_are_transcribed_by_their_audio_and_by_their_lips(grid: Path, tmp_path, capsys):
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("ai_edge_litert")
    clip = next(iter(clips(grid).values()))
    transcribe(clip, asr="pocketsphinx:grid", audio=True, srt=tmp_path / "a.srt")
    heard = capsys.readouterr().out.split()
    assert len(heard) == 6
    assert "-->" in (tmp_path / "a.srt").read_text()
    transcribe(clip, asr="pocketsphinx:grid")
    assert len(capsys.readouterr().out.split()) == 6


@pytest.mark.real
def test_the_recognizer_that_ships_hears_what_is_said_and_when(grid: Path, capsys):
    """Without a word about which: audio and lips alike. The alignments of GRID tell when."""
    pytest.importorskip("sentencepiece")
    pytest.importorskip("ai_edge_litert")
    from lipsound2.corpora.sentences import words_of

    clip = next(iter(clips(grid).values()))
    transcribe(clip, audio=True, json=True)
    heard = json.loads(capsys.readouterr().out)
    assert heard["text"].split() == list(words_of(clip.stem) or ())
    (align,) = grid.glob(f"align/**/{clip.stem}.align")
    spoken = [line.split() for line in align.read_text().splitlines() if line.split()[2] not in ("sil", "sp")]
    for word, (start, end, _) in zip(heard["words"], spoken, strict=True):
        assert abs(word["start"] - int(start) / 25_000) < 0.15
        assert abs(word["end"] - int(end) / 25_000) < 0.15
    transcribe(clip)
    assert len(capsys.readouterr().out.split()) == 6


def texts_of(words: bytes) -> list[tuple[str, str]]:
    """Id and text of each line of words.jsonl."""
    return [(row["id"], row["text"]) for row in map(json.loads, words.splitlines())]


@pytest.mark.real
def test_score_listens_to_every_system_and_to_the_truth(grid: Path, tmp_path, capsys):
    pytest.importorskip("pocketsphinx")
    from lipsound2.corpora.sentences import words_of

    found = clips(grid)
    waveforms = {name: load_audio(path) for name, path in found.items()}
    (tmp_path / "audio").mkdir()
    with ArchiveWriter(tmp_path / "audio" / "feats.ark", tmp_path / "audio" / "feats.scp") as archive:
        for name, waveform in waveforms.items():
            archive.write(name, encode_flac(waveform))
    write_table(
        tmp_path / "audio" / "utt2num_frames", {name: str(len(waveform)) for name, waveform in waveforms.items()}
    )
    write_yaml(tmp_path / "audio" / "kind.yaml", {"kind": "audio"})
    texts = {name: " ".join(words_of(path.stem) or ()) for name, path in found.items()}
    DataDir.write(tmp_path / "data", utt2spk=dict.fromkeys(found, "s1"), text=texts)
    for name, other in zip(found, [*found][1:] + [*found][:1], strict=True):
        (tmp_path / "wav" / "generated").mkdir(parents=True, exist_ok=True)
        (tmp_path / "wav" / "mismatched").mkdir(parents=True, exist_ok=True)
        write_wav(tmp_path / "wav" / "generated" / f"{name}.wav", waveforms[name])
        write_wav(tmp_path / "wav" / "mismatched" / f"{name}.wav", waveforms[other])
    given = {"ids": tmp_path / "data", "out": tmp_path / "scores", "nj": 1, "resamples": 100}
    asr = {"asr": ("pocketsphinx:grid",), "text": tmp_path / "data"}
    score(tmp_path / "audio", tmp_path / "wav", **given, **asr)
    folder = tmp_path / "scores" / "text" / "pocketsphinx-grid"
    summary = read_summary(folder / "summary.json")
    assert list(summary) == ["real", "generated", "mismatched"]
    assert summary["real"].total == summary["generated"].total
    assert summary["mismatched"].rates["wer"].mean > summary["real"].rates["wer"].mean
    assert "A guess drawn" in (folder / "table.md").read_text()
    assert len((folder / "real.jsonl").read_text().splitlines()) == len(found)
    capsys.readouterr()
    score(tmp_path / "audio", tmp_path / "wav", **given, **asr)
    assert capsys.readouterr().out.count("skipped") == 5  # speech scores, three systems decoded, words counted
    with pytest.raises(LipsoundError, match="--asr and --text belong together"):
        score(tmp_path / "audio", tmp_path / "wav", **given, asr=("pocketsphinx:grid",))

    wavs = {name: str(tmp_path / "wav" / "mismatched" / f"{name}.wav") for name in found}
    spoken = DataDir.write(tmp_path / "spoken", utt2spk=dict.fromkeys(found, "s1"), wav=wavs).path
    decode("pocketsphinx:grid", spoken, tmp_path / "text")
    words = (tmp_path / "text" / "words.jsonl").read_bytes()
    # PocketSphinx adapts to what it has heard before, in the call above the other systems: times may differ, words not.
    assert texts_of(words) == texts_of((folder / "mismatched.jsonl").read_bytes())
    capsys.readouterr()
    decode("pocketsphinx:grid", spoken, tmp_path / "text")
    assert "skipped" in capsys.readouterr().out
    write_wav(next(iter(wavs.values())), next(iter(waveforms.values())))  # other content of the same file
    decode("pocketsphinx:grid", spoken, tmp_path / "text")
    assert (tmp_path / "text" / "words.jsonl").read_bytes() != words

    decode("pocketsphinx:grid", tmp_path / "data", tmp_path / "heard", dump=tmp_path)
    heard = (tmp_path / "heard" / "text").read_text().splitlines()
    assert [line.split()[0] for line in heard] == sorted(found)
    decode("pocketsphinx:grid", tmp_path / "data", tmp_path / "heard", dump=tmp_path)
    assert "skipped" in capsys.readouterr().out


def test_what_cannot_be_decoded_is_one_line_before_anything_is_loaded(tmp_path):
    bare = DataDir.write(tmp_path / "bare", utt2spk={"s1-a": "s1"}, text={"s1-a": "bin"}).path
    listed = DataDir.write(tmp_path / "listed", utt2spk={"s1-a": "s1"}, wav={"s1-a": str(tmp_path / "a.wav")}).path
    out = tmp_path / "text"
    with pytest.raises(LipsoundError, match=r"bare: has no wav.scp to recognize; .* give --dump"):
        decode("grid-s1-asr", bare, out)
    with pytest.raises(LipsoundError, match=r"wav.scp: none of its 1 files is there, '.*a.wav' first"):
        decode("grid-s1-asr", listed, out)
    with pytest.raises(LipsoundError, match="did you mean 'whisper'"):
        decode("wisper:base", listed, out)
    write_yaml(tmp_path / "lips" / "config.yaml", {"task": "recognize", "input": "mouth"})
    with pytest.raises(
        LipsoundError, match="lips: reads lips, not audio; give the dump that holds their crops: --dump"
    ):
        decode(str(tmp_path / "lips"), listed, out)
    write_yaml(tmp_path / "words" / "config.yaml", {"task": "classify", "input": "mouth"})
    with pytest.raises(LipsoundError, match="reads single words, one of a list; leave out --grammar"):
        decode(str(tmp_path / "words"), listed, out, search=SearchOptions(beam=4))
    with pytest.raises(LipsoundError, match="words: reads lips, not audio"):
        decode(str(tmp_path / "words"), listed, out)
    assert not out.exists()


def test_a_clip_that_cannot_be_read_is_told_and_left_out(tmp_path, caplog):
    write_wav(tmp_path / "a.wav", np.zeros(16000, np.float32))
    wavs = {f"s1-{name}": str(tmp_path / f"{name}.wav") for name in "ab"}
    data = DataDir.write(tmp_path / "data", utt2spk=dict.fromkeys(wavs, "s1"), wav=wavs).path
    decode("grid-s1-asr", data, tmp_path / "text")
    rows = (tmp_path / "text" / "words.jsonl").read_text().splitlines()
    assert [json.loads(row)["id"] for row in rows] == ["s1-a"]
    assert "s1-b: missing" in caplog.text


@pytest.mark.parametrize("kept", [False, True], ids=["wav", "dump"])
def test_a_clip_too_short_for_features_is_told_and_left_out(kept, tmp_path, caplog):
    """An empty file ended the whole run, and the message did not say which one it was."""
    lengths = {"s1-a": 16000, "s1-b": 0, "s1-c": SPEECH.shortest - 1, "s1-d": SPEECH.shortest}
    waveforms = {name: np.zeros(length, np.float32) for name, length in lengths.items()}
    for name, waveform in waveforms.items():
        write_wav(tmp_path / f"{name}.wav", waveform)
    stored = {name: encode_flac(waveform) for name, waveform in waveforms.items() if len(waveform)}
    write_kind(tmp_path / "dump/audio", stored, dict.fromkeys(stored, 1), {"coding": "flac"})
    wavs = {name: str(tmp_path / f"{name}.wav") for name in lengths}
    data = DataDir.write(tmp_path / "data", utt2spk=dict.fromkeys(wavs, "s1"), wav=wavs).path
    decode("grid-s1-asr", data, tmp_path / "text", dump=tmp_path / "dump" if kept else None)
    rows = (tmp_path / "text" / "words.jsonl").read_text().splitlines()
    assert [json.loads(row)["id"] for row in rows] == ["s1-a", "s1-d"]
    assert "s1-c: too-short: 159 samples of audio, at least 160 wanted; it counts as missing" in caplog.text
    assert kept or "s1-b: too-short: 0 samples" in caplog.text


def test_decode_keeps_as_many_alternatives_as_are_asked_for(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write_wav(tmp_path / "a.wav", (0.05 * rng.standard_normal(16000)).astype(np.float32))
    data = DataDir.write(tmp_path / "data", utt2spk={"s1-a": "s1"}, wav={"s1-a": str(tmp_path / "a.wav")}).path
    found = {}
    for number in (0, 2, 5):
        decode("grid-s1-asr", data, tmp_path / "text", alternatives=number)
        (row,) = map(json.loads, (tmp_path / "text" / "words.jsonl").read_text().splitlines())
        found[number] = row.pop("alternatives", None)
        assert set(row) == {"id", "text", "words", "score", "confidence"}
        assert 0 <= row["confidence"] <= 1
    assert found[0] is None
    assert found[2] == found[5][:2]
    assert len(found[5]) == 5
    capsys.readouterr()
    decode("grid-s1-asr", data, tmp_path / "text", alternatives=5)
    assert "skipped" in capsys.readouterr().out


def sentences(seconds: float) -> np.ndarray:
    """Noise of 2 s, silence of 1 s, and so on."""
    time = np.arange(int(16000 * seconds)) / 16000
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.1 * noise * (time % 3 < 2) + 1e-4 * noise).astype(np.float32)


def test_fault_D3_long_audio_is_cut_in_its_pauses():
    levels = pauses.levels_of(np.array_split(sentences(100), 77), 16000)
    assert len(levels) == 100 * pauses.LEVELS
    for eager in (False, True):
        cuts = pauses.stretches(levels, pauses.LEVELS, sentences=eager)
        assert [first for first, _ in cuts[1:]] == [end for _, end in cuts[:-1]]
        assert (cuts[0][0], cuts[-1][1]) == (0, 10_000)
        assert max(end - first for first, end in cuts) <= 3000
        assert all(200 < first % 300 < 300 for first, _ in cuts[1:])
        assert 32 <= len(cuts) <= 34 if eager else 4 <= len(cuts) <= 15
    # What a recognizer is used to is not cut, and where nobody pauses it is cut somewhere.
    assert pauses.stretches(levels[:1000], pauses.LEVELS, sentences=True) == [(0, 1000)]
    assert pauses.stretches(levels[:3000], pauses.LEVELS) == [(0, 3000)]
    steady = pauses.stretches(np.random.default_rng(0).normal(-20, 1, 7000), pauses.LEVELS)
    assert max(end - first for first, end in steady) <= 3000
    # Another scene comes before any pause.
    assert pauses.stretches(levels[:4000], pauses.LEVELS, scenes=[1234]) == [(0, 1234), (1234, 4000)]


def test_fault_D3_any_length_is_heard_with_right_times(tmp_path, capsys, monkeypatch):
    class Clockwork:
        """Hears a word wherever noise begins."""

        name = "clockwork"

        def recognize(self, waveforms):
            found = []
            for waveform in waveforms:
                assert len(waveform) <= 30 * 16000
                loud = pauses.levels_of([waveform], 16000) > -40
                begins = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int)])) == 1) / pauses.LEVELS
                found.append(Hypothesis("noise " * len(begins), [Word("noise", b, b + 2, 1.0) for b in begins]))
            return found

    monkeypatch.setattr(recognizers, "recognizer", lambda *args, **options: Clockwork())
    write_wav(tmp_path / "long.wav", np.concatenate([sentences(45), np.zeros(16000 * 40, np.float32), sentences(50)]))
    transcribe(tmp_path / "long.wav", json=True, srt=tmp_path / "long.srt")
    heard = json.loads(capsys.readouterr().out)
    wanted = [*range(0, 45, 3), *(85 + begin for begin in range(0, 50, 3))]
    assert [word["start"] for word in heard["words"]] == pytest.approx(wanted, abs=0.02)
    assert "00:02:15,000" in (tmp_path / "long.srt").read_text()


def test_fault_D3_long_lips_are_cut_where_they_rest_or_the_scene_changes():
    rng = np.random.default_rng(0)

    def crop(number: int) -> np.ndarray:
        moving = number % 75 < 50
        face = np.full((96, 96), 60 if number < 430 else 180, np.uint8)
        face[40:60, 30:66] += rng.integers(0, 60 if moving else 2, (20, 36), dtype=np.uint8)
        return face

    seen: list[int] = []
    reading = transcriber._Reading(1000, lambda crops: seen.append(len(crops)) or Hypothesis("w", [Word("w", 0, 1, 1)]))
    for number in range(1000):
        reading.add(crop(number))
    reading.whole()
    assert sum(seen) == 1000
    assert max(seen) <= 750
    begins = np.cumsum([0, *seen])[:-1]
    assert 430 in begins
    assert all(begin % 75 >= 50 for begin in begins[1:] if begin != 430)
    assert [begin for begin, _ in reading.found] == pytest.approx(begins / 25)
    assert [word.start for word in joined(reading.found).words] == pytest.approx(begins / 25)


def test_fault_D3_audio_is_asked_for_where_there_is_none(tmp_path):
    write_clip(tmp_path / "mute.mp4", [np.full((48, 64), 100 + i, np.uint8) for i in range(8)], np.arange(8) / 25)
    with pytest.raises(LipsoundError, match=r"mute.mp4: no-audio"):
        transcribe(tmp_path / "mute.mp4", audio=True)
