"""The verbs of the command line, in groups: the function of each, and a few words about it.

A verb may be of two words, such as `models get`.
"""

GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "your own clips": {
        "speak": ("lipsound2.inference.speak:speak", "synthesize the speech of any silent clip"),
        "transcribe": ("lipsound2.inference.transcribe:transcribe", "transcribe audio, or the lips in a video"),
        "demo": (
            "lipsound2.demo.serve:demo",
            "open a page on this machine: a clip or the camera in, speech and words out",
        ),
        "live": (
            "lipsound2.live.live:live",
            "read lips at the camera: words on the screen, speech from the loudspeaker",
        ),
        "record": ("lipsound2.live.record:record", "record sentences at the camera into a corpus of your own"),
        "models": (
            "lipsound2.inference.model_list:models",
            "list models: those that ship, those here, and public ones",
        ),
        "models get": ("lipsound2.hub.get:models_get", "fetch a known public model, and convert it"),
        "models push": ("lipsound2.hub.push:models_push", "upload a pack to a model hub"),
        "selftest": ("lipsound2.selftest:selftest", "check this installation on a stored clip; tell what is installed"),
        "completion": ("lipsound2.completion:completion", "complete verbs and options at the prompt: bash, zsh, fish"),
        "export": (
            "lipsound2.inference.export:export",
            "export a model to ONNX: speech, or words, without torch",
        ),
    },
    "corpora and data dirs": {
        "generate": ("lipsound2.synthetic.corpus:generate", "make a talking-face corpus in GRID's layout"),
        "download": ("lipsound2.corpora.download:download", "fetch a corpus, with resume and checksums"),
        "prepare": ("lipsound2.corpora:prepare", "make data dirs of a corpus folder"),
        "validate": ("lipsound2.data.datadir:validate", "check a data dir"),
        "fix": ("lipsound2.data.datadir:fix", "repair a data dir"),
        "fold": ("lipsound2.corpora.folds:fold", "split a data dir into folds"),
        "subset": (
            "lipsound2.corpora.folds:subset",
            "make a data dir of some clips of another, balanced over speakers or classes",
        ),
        "combine": ("lipsound2.corpora.folds:combine", "join data dirs"),
        "words": ("lipsound2.corpora.word_clips:words", "cut the clips of a data dir into single words"),
    },
    "crops and features": {
        "crop": ("lipsound2.video.crop:crop", "find faces in videos: landmarks and crops"),
        "mel": ("lipsound2.audio.dump:mel", "extract audio, aligned with the video, and its mel spectrogram"),
        "targets": ("lipsound2.features.targets:targets", "compute acoustic targets of LiRA: PASE+, MFCC, HuBERT, ..."),
        "features": ("lipsound2.features.states:features", "store the front-end's states of every clip of a data dir"),
        "voices": ("lipsound2.features.voices:voices", "compute the speaker embedding of every clip of a data dir"),
        "sync": ("lipsound2.inference.sync:sync", "estimate by how much the audio of every clip lags its video"),
    },
    "published weights": {
        "convert-avsr": (
            "lipsound2.published.avsr:convert_avsr",
            "make a pack of a published lip reader or its language model",
        ),
        "convert-hifigan": (
            "lipsound2.published.hifigan:convert_hifigan",
            "make a pack of a published HiFi-GAN, to begin a training with or to speak",
        ),
        "convert-lrw": ("lipsound2.published.lrw:convert_lrw", "make a pack of a published word classifier"),
        "convert-trunk": (
            "lipsound2.published.trunk:convert_trunk",
            "make a pack of the trunk of RAVEn, AV-HuBERT or others, to begin a training with",
        ),
        "convert-pase": ("lipsound2.published.pase:convert_pase", "make a pack of the published PASE+ weights"),
    },
    "training": {
        "train": ("lipsound2.training.train:train", "train a network"),
        "tokens": ("lipsound2.text.tokens:tokens", "make a recognizer's tokenizer from transcripts"),
        "ngram": ("lipsound2.decoding.ngram:ngram", "estimate an n-gram language model (ARPA)"),
        "average": ("lipsound2.training.average:average", "average checkpoints into model.safetensors"),
    },
    "speech and text of a data dir": {
        "synthesize": (
            "lipsound2.inference.synthesize:synthesize",
            "synthesize the speech of every clip of a data dir, and of the controls",
        ),
        "decode": ("lipsound2.inference.decode:decode", "recognize every clip of a data dir"),
        "calibrate": (
            "lipsound2.inference.calibrate:calibrate",
            "bring a recognizer's confidences to how often it is right",
        ),
    },
    "scores and releases": {
        "score": ("lipsound2.metrics.score:score", "score speech: STOI, ESTOI, PESQ, controls, verdict"),
        "score-text": ("lipsound2.metrics.score_text:score_text", "score decoded text: WER, CER, SER"),
        "report": ("lipsound2.report.report:report", "write the report of an experiment, an HTML page"),
        "compare": ("lipsound2.report.compare:compare", "compare experiments: scores, config keys, words, clips"),
        "share": ("lipsound2.sharing.share:share", "make one archive of an experiment for a colleague"),
        "check": ("lipsound2.sharing.check:check", "compute the scores of a shared experiment again, and compare"),
        "pack": ("lipsound2.pack:pack", "make a pack of an experiment, a folder that works elsewhere"),
    },
}
VERBS = {verb: entry for group in GROUPS.values() for verb, entry in group.items()}

# Verbs that once did more: the function that runs such a call. It is known by an option, or by a file in a folder.
FORMER: dict[str, tuple[str, frozenset[str], str]] = {
    "score": (
        "lipsound2.inference.former_score:score",
        frozenset({"--asr", "--text", "--grammar", "--lm", "--lm-weight", "--word-bonus", "--language"}),
        "words.jsonl",
    ),
}
