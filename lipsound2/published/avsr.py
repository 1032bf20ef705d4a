"""The verb `convert-avsr`: lip readers and language models of auto_avsr and its multilingual sibling, as packs.

Their files and what was verified: docs/published-models.md.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from lipsound2 import model_names
from lipsound2.data.json_text import read_json
from lipsound2.data.texts import shown
from lipsound2.datasets.augment import AugmentConfig
from lipsound2.decoding.search_options import OwnSearch
from lipsound2.errors import LipsoundError
from lipsound2.models.asr.language_model import LanguageModelConfig
from lipsound2.models.asr.lip_reader import LipReaderConfig
from lipsound2.models.state_dict import Translated, fitted, read_state_dict
from lipsound2.outputs import OutputFolder
from lipsound2.published import visual_speech
from lipsound2.published.write import write_pack
from lipsound2.tasks.base import AnyTask
from lipsound2.tasks.language import Language, LanguageAssets, LanguageConfig
from lipsound2.tasks.recognize import Recognize, RecognizeAssets, RecognizeConfig
from lipsound2.text.piece_table import PieceTable
from lipsound2.text.tokenizer import Characters, Tokenizer

_WEIGHTS, _SETTINGS = "model.pth", "model.json"
_PICKLE = "data.pkl"  # in an archive that torch wrote
# What zipfile raises of an archive that is damaged, encrypted, or packed in a way that it does not know.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, UnicodeDecodeError)
_ADVICE = "is it a file of auto_avsr or of Visual Speech Recognition for Multiple Languages?"
_LICENSE = (
    "the file's own, and that of its data set. auto_avsr: code Apache-2.0, 'models may have terms of the data set'. "
    "Visual Speech Recognition for Multiple Languages: for comparison and benchmarks alone, not commercial. Do not "
    "pass this pack on without permission"
)
# As published: auto_avsr's and LRS3 19.1's over pieces, LRS2's and LRS3 32.3's over characters. Weight and bonus are
# with their language models. CMLR's is the one in Mandarin. GRID's, which no file tells, has a beam of 20.
_SEARCHES = {
    "pieces": OwnSearch(beam=40, ctc_weight=0.1, lm_weight=0.3),
    "characters": OwnSearch(beam=40, ctc_weight=0.1, lm_weight=0.6, word_bonus=0.5),
    "zh": OwnSearch(beam=20, ctc_weight=0.1, lm_weight=0.3, word_bonus=0.3),
}
_UNITS = "unigram5000_units.txt of auto_avsr, spm/unigram/"
# Settings of the published code that are another network than ours.
_FIXED: dict[str, object] = {
    **{"transformer_input_layer": "conv3d", "macaron_style": True, "use_cnn_module": True, "zero_triu": False},
    "relu_type": "swish",  # with others, their code has Swish in the stem still
}
_ATTENTION, _OLD_ATTENTION = "rel_mha", "legacy_rel_mha"
# Sizes that the tensors tell, too: setting -> key of our config.
_SIZES = {"adim": "width", "aheads": "heads", "elayers": "layers", "dlayers": "decoder_layers"}
_SIZES |= {"dunits": "decoder_feed_forward", "cnn_module_kernel": "kernel"}


def convert_avsr(
    file: Path,
    out: OutputFolder | None = None,
    *,
    name: str | None = None,
    config: Path | None = None,
    tokens: Path | None = None,
    language: Literal["en", "zh"] = "en",
    knows: str = "",
) -> None:
    """Make a pack of a published lip reader, or of its language model.

    It takes auto_avsr's .pth and .ckpt files, and the .zip files and folders (model.pth, model.json) of Visual Speech
    Recognition for Multiple Languages. The file is read as plain tensors: no code in it runs, and every tensor has to
    be used and to fit.

    Args:
        file: the published file, or a folder of model.pth and model.json.
        out: folder to write; or give --name.
        name: name that the pack gets in your folder of models, instead of OUT; every verb finds it by this name.
        config: its model.json, if it does not lie beside model.pth or in the .zip file. Without one it is taken for
            auto_avsr's.
        tokens: table of its tokens, a line 'piece number' each, such as unigram5000_units.txt; or a model.json that
            lists them: a language model of characters has those of its reader. Not needed where the model's own
            model.json lists them.
        language: language of its texts.
        knows: one line about the voices and words it knows; shown to those who use it.
    """
    out = model_names.folder_for(out, name)
    summary = avsr_pack(file, out, config=config, tokens=tokens, language=language, knows=knows)
    print(f"{out}: {summary.size / 1e6:.1f} M parameters; use it with: {summary.use.format(model_names.name_of(out))}")
    for line in summary.assumed:
        print(f"assumed  {line}")
    print(f"license  {_LICENSE}")


@dataclass(frozen=True)
class PackSummary:
    """What was written.

    Attributes:
        size: number of weights.
        use: the command that uses it, with {} for its name.
        assumed: what neither tensors nor settings tell, a line each.
    """

    size: int
    use: str
    assumed: tuple[str, ...] = ()


def avsr_pack(
    file: Path,
    out: Path,
    *,
    config: Path | None = None,
    tokens: Path | None = None,
    language: str = "en",
    knows: str = "",
) -> PackSummary:
    """Write the pack of a published lip reader or language model; see `convert_avsr`.

    Raises:
        LipsoundError: the file is of another layout, damaged, or not what its settings say.
    """
    with _opened(file, config) as (weights, settings_file):
        where = str(file)
        settings = _settings(settings_file) if settings_file else {}
        state = read_state_dict(weights)
        if all(name.startswith("model.") for name in state):  # Lightning's checkpoints
            state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
        written = _language_model if "embed.weight" in state else _reader
        made = written(state, settings, tokens, language, where)
    write_pack(
        out,
        weights if file.is_dir() else file,
        "convert-avsr",
        made.task,
        made.assets,
        made.tensors,
        knows=knows or f"whatever {file.name} was trained on; it was published by others",
        license=_LICENSE,
        facts=made.facts,
        search=made.search,
    )
    return PackSummary(sum(tensor.numel() for tensor in made.tensors.values()), made.task.usage("{}"), made.assumed)


@dataclass(frozen=True)
class _Made:
    """What a pack is written from; see `write_pack`."""

    task: AnyTask
    assets: Any
    tensors: dict[str, Tensor]
    facts: dict[str, str] = field(default_factory=dict)
    search: OwnSearch | None = None
    assumed: tuple[str, ...] = ()


def _reader(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], tokens: Path | None, language: str, where: str
) -> _Made:
    for name, wanted in _FIXED.items():
        if settings.get(name, wanted) != wanted:
            raise LipsoundError(
                f"{where}: its {name} is {shown(str(settings[name]))}, wanted {wanted!r}; it is not built here"
            )
    for name, known in (
        ("rel_pos_type", (None, "latest", "legacy")),
        ("transformer_encoder_attn_layer_type", (_ATTENTION, _OLD_ATTENTION)),
    ):
        if name in settings and settings[name] not in known:
            raise LipsoundError(
                f"{where}: its {name} is {shown(str(settings[name]))}, wanted {known[-2]!r} or {known[-1]!r}; such a "
                "model is not built here"
            )
    old = settings.get("transformer_encoder_attn_layer_type") == _OLD_ATTENTION
    legacy = old or (bool(settings) and settings.get("rel_pos_type") != "latest")
    found = visual_speech.reader(state, where, legacy=legacy)
    if "relu_type" in settings and found.config["trunk_activation"] != settings["relu_type"]:
        raise LipsoundError(f"{where}: its model.json says relu_type 'swish', its tensors are those of PReLU")
    _agree(settings, found.config, where)
    network = LipReaderConfig(**found.config)
    task = Recognize(
        RecognizeConfig(model="lips", input="mouth-published", language=language), network, AugmentConfig()
    )
    tokenizer = _tokenizer(settings, tokens, len(found.tensors["ctc.bias"]) - 1, where)
    assets = RecognizeAssets(tokenizer, 0, ())
    tensors = _fitted(found, task, assets, where)
    search = _SEARCHES[
        language if language == "zh" else "characters" if isinstance(tokenizer, Characters) else "pieces"
    ]
    if not network.decoder_layers:
        search = replace(search, ctc_weight=1.0)
    positions = f"relative positions '{found.config['positions']}'"
    facts = {
        "Input": "`mouth-published`, 25 frames a second",
        "Output": f"{len(tokenizer)} tokens",
        "Network": positions,
    }
    assumed = () if settings else (f"{positions}, as auto_avsr has them; --config model.json tells others",)
    return _Made(task, assets, tensors, facts, search, assumed)


def _language_model(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], tokens: Path | None, language: str, where: str
) -> _Made:
    places = settings.get("pos_enc", "none")
    if places not in ("none", "sinusoidal"):
        raise LipsoundError(
            f"{where}: its pos_enc is {shown(str(places))}, wanted 'none' or 'sinusoidal'; such a model is not built "
            "here"
        )
    if settings.get("tie_weights"):
        raise LipsoundError(f"{where}: its weights are tied, wanted free ones; such a model is not built here")
    found = visual_speech.language_model(state, where, heads=_heads(settings, where), places=places == "sinusoidal")
    for name, key in (
        ("layer", "layers"),
        ("att_unit", "width"),
        ("unit", "feed_forward"),
        ("embed_unit", "embedding"),
    ):
        _same(settings, name, found.config[key], where)
    task = Language(LanguageConfig(language=language), LanguageModelConfig(**found.config))
    tokenizer = _tokenizer({}, tokens, len(found.tensors["leave.bias"]) - 1, where)
    assets = LanguageAssets(tokenizer)
    tensors = _fitted(found, task, assets, where)
    heads = f"{found.config['heads']} attention heads"
    assumed = () if "head" in settings else (f"{heads}, as lm_en_subword has; --config model.json tells others",)
    return _Made(task, assets, tensors, {"Network": heads}, assumed=assumed)


def _heads(settings: Mapping[str, Any], where: str) -> int:
    heads = settings.get("head", 8)
    if type(heads) is not int or not 1 <= heads <= 1024:  # a bool is an int, too
        raise LipsoundError(
            f"{where}: its model.json says head {shown(str(heads))}, wanted a number of attention heads"
        )
    return heads


def _fitted(found: Translated, task: AnyTask, assets: Any, where: str) -> dict[str, Tensor]:
    try:
        network = task.build(assets)
    except LipsoundError as error:  # such as of a kernel; it names no file
        raise LipsoundError(f"{where}: {error}") from error
    return fitted(found.tensors, network, where, _ADVICE, found.named)


def _agree(settings: Mapping[str, Any], config: Mapping[str, Any], where: str) -> None:
    """Check that the settings say what the tensors say."""
    for name, key in _SIZES.items():
        _same(settings, name, config[key], where)
    _same(settings, "eunits", config["feed_forward"] or config["expansion"] * config["width"], where)


def _same(settings: Mapping[str, Any], name: str, size: int, where: str) -> None:
    if settings.get(name, size) != size:
        raise LipsoundError(f"{where}: its model.json says {name} {shown(str(settings[name]))}, its tensors {size}")


def _tokenizer(settings: Mapping[str, Any], tokens: Path | None, size: int, where: str) -> Tokenizer:
    """The tokenizer of a model with so many tokens, blank and unknown included."""
    listed = settings.get("char_list")
    made: Tokenizer
    if tokens is not None:
        made, source = _given(tokens), str(tokens)
    elif isinstance(listed, list) and len(listed) == size + 1:
        made, source = _listed(listed, where), "its char_list"
    else:
        raise LipsoundError(
            f"{where}: does not tell its {size} tokens; give the table of them: --tokens FILE ({_UNITS})"
        )
    if len(made) != size:
        raise LipsoundError(f"{source}: lists {len(made)} tokens, {where} has {size}; give the table of this model")
    return made


def _given(tokens: Path) -> Tokenizer:
    """What --tokens names: a table of pieces, or settings that list them."""
    if tokens.suffix == ".json":
        listed = _settings(tokens).get("char_list")
        if not isinstance(listed, list):
            raise LipsoundError(f"--tokens {tokens}: has no char_list; give the model.json of a model of characters")
        return _listed(listed, str(tokens))
    return PieceTable.read_units(tokens)


def _listed(listed: list[Any], where: str) -> Tokenizer:
    """The tokens that a char_list names."""
    if not all(isinstance(each, str) for each in listed):
        raise LipsoundError(f"{where}: its char_list holds what is no text; give --tokens FILE")
    if listed[:2] != ["<blank>", "<unk>"] or listed[-1] not in ("<eos>", "<sos/eos>"):
        raise LipsoundError(f"{where}: its char_list does not go from <blank>, <unk> to <eos>; give --tokens FILE")
    if len(set(listed)) < len(listed) or any(not each or len(each.splitlines()) != 1 for each in listed):
        raise LipsoundError(f"{where}: its char_list holds a token twice, or an empty one; give --tokens FILE")
    names = [" " if each == "<space>" else each for each in listed[2:-1]]
    return Characters(names) if all(len(each) == 1 for each in names) else PieceTable(names)


def _settings(file: Path) -> dict[str, Any]:
    """The settings in a model.json: a mapping, or a list of input size, output size and a mapping."""
    content = read_json(file, object, "give the model.json that came with the weights")
    if isinstance(content, list) and len(content) == 3:
        content = content[2]
    if not isinstance(content, dict):
        raise LipsoundError(
            f"{file}: expected settings of a model, found {type(content).__name__}; give its model.json"
        )
    return content


@contextmanager
def _opened(file: Path, config: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """The files of weights and of settings, for as long as the context lasts.

    Raises:
        LipsoundError: there are no weights.
    """
    if file.is_dir():
        if not (file / _WEIGHTS).is_file():
            raise _without_weights(file)
        yield file / _WEIGHTS, config or _beside(file / _WEIGHTS)
        return
    members = _members(file)
    if not members:
        yield file, config or (_beside(file) if file.name == _WEIGHTS else None)
        return
    # Torch maps its files, which it cannot inside of an archive.
    with tempfile.TemporaryDirectory(prefix="lipsound2-") as folder:
        _unpack(file, members, Path(folder))
        try:
            yield Path(folder) / _WEIGHTS, config or (Path(folder) / _SETTINGS if _SETTINGS in members else None)
        except LipsoundError as error:
            raise LipsoundError(str(error).replace(folder, str(file))) from error


def _beside(weights: Path) -> Path | None:
    """The settings that lie beside the weights; None: there are none."""
    settings = weights.with_name(_SETTINGS)
    return settings if settings.is_file() else None


def _without_weights(file: Path) -> LipsoundError:
    return LipsoundError(f"{file}: holds no {_WEIGHTS}; give a folder with {_WEIGHTS} and {_SETTINGS}, or a file")


def _unpack(file: Path, members: Mapping[str, zipfile.ZipInfo], folder: Path) -> None:
    """Copy members of an archive into a folder.

    Raises:
        LipsoundError: there is no room, or they are damaged, encrypted, or packed in a way that is not known.
    """
    need, free = sum(member.file_size for member in members.values()), shutil.disk_usage(folder).free
    if need > free:
        raise LipsoundError(
            f"{file}: holds {need / 1e6:,.0f} MB, and {folder.parent} has {free / 1e6:,.0f} MB free; free some room, "
            "or name a folder on another disk: TMPDIR"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            for name, member in members.items():
                with archive.open(member) as packed, (folder / name).open("wb") as copy:
                    shutil.copyfileobj(packed, copy, 1 << 20)
    except _DAMAGED as error:
        raise LipsoundError(f"{file}: cannot be unpacked ({error}); fetch it again, or give its folder") from error


def _members(file: Path) -> dict[str, zipfile.ZipInfo]:
    """The two files in an archive; none in a file that torch wrote, which is an archive, too.

    Raises:
        LipsoundError: no such file, an archive of other things, or one of the two is there twice.
    """
    if not file.is_file():
        raise LipsoundError(f"{file}: no such file; give a .pth, .ckpt or .zip file, or a folder")
    if not zipfile.is_zipfile(file):
        return {}
    try:
        with zipfile.ZipFile(file) as archive:
            listed = archive.infolist()
    except _DAMAGED as error:
        raise LipsoundError(f"{file}: cannot be unpacked ({error}); fetch it again, or give its folder") from error
    found: dict[str, zipfile.ZipInfo] = {}
    for member in listed:
        name = Path(member.filename).name
        if name in (_WEIGHTS, _SETTINGS) and not member.is_dir():
            if name in found:
                raise LipsoundError(f"{file}: holds {name} twice; unpack it and give the folder of one model")
            found[name] = member
    if _WEIGHTS in found:
        return found
    if not any(Path(member.filename).name == _PICKLE for member in listed):
        raise _without_weights(file)
    return {}
