"""The verbs of the command line: where each function is, and what it does in a few words."""

VERBS: dict[str, tuple[str, str]] = {
    "generate": ("lipsound2.synthetic.corpus:generate", "make a talking-face corpus in GRID's layout"),
    "download": ("lipsound2.corpora.download:download", "fetch a corpus, with resume and checksums"),
    "prepare": ("lipsound2.corpora:prepare", "corpus folder -> data dirs"),
    "validate": ("lipsound2.data.datadir:validate", "check a data dir"),
    "fix": ("lipsound2.data.datadir:fix", "repair a data dir"),
    "fold": ("lipsound2.corpora.folds:fold", "data dir -> parts, and what is left without each"),
    "subset": ("lipsound2.corpora.folds:subset", "data dir -> some of its clips, balanced over speakers or classes"),
    "combine": ("lipsound2.corpora.folds:combine", "data dirs -> one"),
    "crop": ("lipsound2.video.crop:crop", "video -> landmarks and crops"),
    "mel": ("lipsound2.audio.dump:mel", "audio, aligned to the video, and its mel"),
    "targets": (
        "lipsound2.features.targets:targets",
        "audio -> acoustic targets of lips: PASE+, MFCC, HuBERT, ...",
    ),
    "convert-pase": ("lipsound2.features.convert:convert_pase", "the published PASE+ weights -> a pack"),
    "words": ("lipsound2.corpora.word_clips:words", "data dir with word times -> data dir of single words"),
    "features": ("lipsound2.features.states:features", "experiment + data dir -> states of its trunk, an archive"),
    "train": ("lipsound2.training.train:train", "-> experiment"),
    "tokens": ("lipsound2.text.tokenizer:tokens", "transcripts -> tokenizer of a recognizer"),
    "average": ("lipsound2.training.average:average", "average checkpoints into model.safetensors"),
    "synthesize": (
        "lipsound2.inference.synthesize:synthesize",
        "experiment + data dir -> speech, attention video frames",
    ),
    "decode": ("lipsound2.inference.decode:decode", "recognizer + data dir -> text"),
    "score": ("lipsound2.metrics.score:score", "speech + ground truth -> STOI, ESTOI, PESQ, controls, verdict"),
    "score-text": ("lipsound2.metrics.score_text:score_text", "decoded text + transcripts -> WER, CER, SER"),
    "report": ("lipsound2.report.report:report", "experiment -> report.html"),
    "compare": ("lipsound2.report.compare:compare", "a score of several experiments -> table and plot"),
    "speak": ("lipsound2.inference.speak:speak", "any clip -> speech"),
    "transcribe": ("lipsound2.inference.transcribe:transcribe", "audio, or lips in a video -> text"),
    "export": (
        "lipsound2.inference.export:export",
        "parallel model or vocoder -> ONNX, speech without torch",
    ),
    "pack": ("lipsound2.pack:pack", "experiment -> a folder anyone can use"),
    "ngram": ("lipsound2.decoding.ngram:ngram", "text -> n-gram language model (ARPA)"),
}

# Verbs that once did more. A call of then is told by an option, or by a folder with a file in it: what answers it.
FORMER: dict[str, tuple[str, frozenset[str], str]] = {
    "score": (
        "lipsound2.inference.former_score:score",
        frozenset({"--asr", "--text", "--grammar", "--lm", "--lm-weight", "--word-bonus", "--language"}),
        "words.jsonl",
    ),
}
