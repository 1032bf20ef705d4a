"""The verb `completion`: what a shell offers behind the Tab key: verbs, options, choices, names of models.

The script is written once and holds everything, so no Tab starts Python. Signatures are read from the source of the
verbs, because importing them would load torch; `tests/test_completion.py` compares them with the parsers.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from lipsound2.inference.model_list import ModelRecord, hears, models_here, reads_lips
from lipsound2.verbs import VERBS

_PACKAGE = Path(__file__).parent
_COMMAND = "lipsound2"
# Options that take a model -> which models.
_MODELS: dict[str, Callable[[ModelRecord], bool]] = {
    "model": reads_lips,
    "asr": hears,
    "vocoder": lambda record: record.task == "vocode",
}


@dataclass(frozen=True)
class Option:
    """An option of a verb.

    Attributes:
        flag: such as `--format`.
        choices: values that are offered.
        takes_value: whether a value stands behind it.
    """

    flag: str
    choices: tuple[str, ...]
    takes_value: bool


def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print a script that completes verbs, options, choices and names of models at the prompt of a shell.

    bash: `lipsound2 completion bash > ~/.local/share/bash-completion/completions/lipsound2`
    zsh: `lipsound2 completion zsh > ~/.zfunc/_lipsound2`, with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
    fish: `lipsound2 completion fish > ~/.config/fish/completions/lipsound2.fish`

    Args:
        shell: bash, zsh or fish.
    """
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]())


def options_of(verb: str) -> list[Option]:
    """The options of a verb, in their order."""
    module, _, name = VERBS[verb][0].partition(":")
    found = [*_options(*_definition(module, name)), Option("--debug", (), False), Option("--help", (), False)]
    return [_with_models(option) for option in found]


def _with_models(option: Option) -> Option:
    suits = _MODELS.get(option.flag.lstrip("-"))
    if option.choices or suits is None:
        return option
    names = [record.name for record in models_here() if suits(record)]
    return Option(option.flag, (*(["griffin-lim"] if option.flag == "--vocoder" else []), *names), True)


def _options(module: str, function: ast.FunctionDef | ast.ClassDef) -> Iterator[Option]:
    """Options of a function: its keyword parameters, and the fields of dataclasses among its parameters."""
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    for argument in (*given.args, *given.kwonlyargs):
        assert argument.annotation is not None
        kind, choices = _kind(module, argument.annotation)
        if isinstance(kind, ast.ClassDef):
            for field in kind.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield from _option(field.target.id, *_kind(choices[0], field.annotation))
        elif argument in given.kwonlyargs:
            yield from _option(argument.arg, kind, choices)


def _option(name: str, kind: str | ast.ClassDef, choices: tuple[str, ...]) -> Iterator[Option]:
    flag = name.replace("_", "-")
    if name == "output":
        yield Option("-o", choices, True)
    yield Option(f"--{flag}", choices, kind != "bool")
    if kind == "bool":
        yield Option(f"--no-{flag}", (), False)


def _kind(module: str, hint: ast.expr) -> tuple[str | ast.ClassDef, tuple[str, ...]]:
    """What a type hint is: its name, or a dataclass (with its module); and the choices of a literal."""
    if isinstance(hint, ast.Constant) and isinstance(hint.value, str):
        return _kind(module, ast.parse(hint.value, mode="eval").body)
    if isinstance(hint, ast.BinOp):
        return _kind(module, hint.left)
    if isinstance(hint, ast.Subscript):
        assert isinstance(hint.value, ast.Name)
        parts = hint.slice.elts if isinstance(hint.slice, ast.Tuple) else [hint.slice]
        if hint.value.id == "Literal":
            return "str", tuple(str(part.value) for part in parts if isinstance(part, ast.Constant))
        return _kind(module, parts[0]) if hint.value.id == "Annotated" else ("value", ())
    if isinstance(hint, ast.Name):
        found = _named(module, hint.id)
        if found is None:
            return hint.id, ()
        place, node = found
        if isinstance(node, ast.ClassDef):
            return node, (place,)
        return _kind(place, node)
    return "value", ()


def _named(module: str, name: str) -> tuple[str, ast.expr | ast.ClassDef] | None:
    """Where a name of a module is defined, and what as; None: in no file of the package."""
    for node in ast.walk(_source(module)):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return module, node.value
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lipsound2"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _named(str(node.module), alias.name)
    return None


def _definition(module: str, name: str) -> tuple[str, ast.FunctionDef]:
    """The function behind a verb, and the module that it is written in."""
    for node in ast.walk(_source(module)):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names):
            return _definition(str(node.module), name)
    raise LookupError(f"{module}:{name}")


@cache
def _source(module: str) -> ast.Module:
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _first_words() -> list[str]:
    """The first word of every verb."""
    return [verb for verb in VERBS if " " not in verb]


def _second_verbs() -> list[str]:
    """The verbs of two words."""
    return [verb for verb in VERBS if " " in verb]


def _second_words() -> dict[str, list[str]]:
    """What may stand behind the first word of verbs of two words."""
    found: dict[str, list[str]] = {}
    for first, second in map(str.split, _second_verbs()):
        found.setdefault(first, []).append(second)
    return found


def _quoted(text: str) -> str:
    return f"'{text}'"


def _cases(pattern: str, action: str) -> Iterator[str]:
    """A line of a shell's `case` for each option with choices."""
    for verb in VERBS:
        for option in options_of(verb):
            if option.choices:
                yield "    " + pattern.format(f"'{verb}:{option.flag}'") + action.format(" ".join(option.choices))


def _bash() -> str:
    options = [f"    '{verb}') words='{' '.join(each.flag for each in options_of(verb))}' ;;" for verb in VERBS]
    return "\n".join(
        [
            f"# Completion of {_COMMAND} for bash.",
            f"_{_COMMAND}() {{",
            "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} words=",
            "  COMPREPLY=()",
            '  if [ "$COMP_CWORD" -eq 1 ]; then',
            f"    mapfile -t COMPREPLY < <(compgen -W '{' '.join(_first_words())} help --version' -- \"$word\")",
            "    return",
            "  fi",
            '  if [ "$COMP_CWORD" -eq 2 ]; then case $verb in',
            *(f"    {verb}) words='{' '.join(second)}' ;;" for verb, second in _second_words().items()),
            "  esac; [[ $word == -* ]] && words=",
            '  else case "$verb ${COMP_WORDS[2]}" in',
            f'    {"|".join(map(_quoted, _second_verbs()))}) verb="$verb ${{COMP_WORDS[2]}}" ;;',
            "  esac; fi",
            "  case $verb:$before in",
            *_cases("{})", " words='{}' ;;"),
            "  esac",
            "  [[ -n $words || $word != -* ]] || case $verb in",
            *options,
            "  esac",
            '  [ -z "$words" ] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")',
            "}",
            f"complete -o default -F _{_COMMAND} {_COMMAND}",
        ]
    )


def _zsh() -> str:
    verbs = [f"    '{verb}:{_plain(VERBS[verb][1])}'" for verb in _first_words()]
    options = [f"    '{verb}') compadd -- {' '.join(each.flag for each in options_of(verb))} ;;" for verb in VERBS]
    return "\n".join(
        [
            f"#compdef {_COMMAND}",
            f"# Completion of {_COMMAND} for zsh.",
            "local -a verbs=(",
            *verbs,
            ")",
            "if (( CURRENT == 2 )); then _describe verb verbs; return; fi",
            "local verb=$words[2]",
            "if (( CURRENT == 3 )) && [[ $PREFIX != -* ]]; then case $verb in",
            *(f"  {verb}) compadd -- {' '.join(second)}; return ;;" for verb, second in _second_words().items()),
            "esac; fi",
            'case "$words[2] $words[3]" in',
            f'  {"|".join(map(_quoted, _second_verbs()))}) verb="$words[2] $words[3]" ;;',
            "esac",
            "case $verb:$words[CURRENT-1] in",
            *_cases("{})", " compadd -- {}; _files; return ;;"),
            "esac",
            "if [[ $PREFIX = -* ]]; then",
            "  case $verb in",
            *options,
            "  esac",
            "else",
            "  _files",
            "fi",
        ]
    )


def _fish() -> str:
    lines = [f"# Completion of {_COMMAND} for fish."]
    for verb, (_, summary) in VERBS.items():
        first, _, second = verb.partition(" ")
        here = f"__fish_seen_subcommand_from {first}" if second else "__fish_use_subcommand"
        lines.append(f"complete -c {_COMMAND} -n '{here}' -f -a {second or first} -d '{_plain(summary)}'")
        for option in options_of(verb):
            name = f"-s {option.flag[1:]}" if option.flag == "-o" else f"-l {option.flag[2:]}"
            value = f" -r -a '{' '.join(option.choices)}'" if option.choices else " -r" * option.takes_value
            seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in verb.split())
            lines.append(f"complete -c {_COMMAND} -n '{seen}' {name}{value}")
    return "\n".join(lines)


def _plain(summary: str) -> str:
    """Words about a verb, as they can stand between a shell's quotes."""
    return summary.replace("'", "").replace(":", ",")
