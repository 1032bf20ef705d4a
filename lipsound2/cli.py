"""The command `lipsound2`.

Every verb is a plain function, and its signature is the command line. Its parameters are positional arguments, which
may be left out if they have a default; keyword parameters are options, and the docstring is the text of `--help`. A
dataclass as a parameter stands for its fields, so that options of several verbs are written once. A verb's module is
imported only when the verb is called, so `lipsound2 --help` is immediate.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import importlib
import inspect
import logging
import os
import re
import shlex
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import lipsound2
from lipsound2.arguments import (
    Choices,
    OptionalFile,
    Parser,
    Ranged,
    Several,
    Within,
    by_todays_names,
    named_path,
    near,
    number,
)
from lipsound2.data.folders import AUDIO_SUFFIXES
from lipsound2.error_messages import message_for, plain
from lipsound2.errors import LipsoundError, UsageError
from lipsound2.gpus import check_device, check_gpus
from lipsound2.old_names import OPTION_VALUES, OPTIONS
from lipsound2.outputs import Output, check_outputs
from lipsound2.stopping import Terminated, signals_answered
from lipsound2.verbs import FORMER, GROUPS, VERBS

Note = TypeVar("Note")


def load(verb: str) -> Callable[..., Any]:
    """The function behind a verb."""
    return _function(VERBS[verb][0])


def former(verb: str, words: Sequence[str]) -> Callable[..., Any] | None:
    """The function for a call of a verb as it once was, see `verbs.FORMER`; None: a call of today."""
    if verb not in FORMER:
        return None
    place, options, file = FORMER[verb]
    then = any(word.partition("=")[0] in options or Path(word, file).is_file() for word in words)
    return _function(place) if then else None


def _function(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    return typing.cast(Callable[..., Any], getattr(importlib.import_module(module), name))


def verb_parser(verb: str, function: Callable[..., Any]) -> Parser:
    """The argument parser that a verb function's signature and docstring describe."""
    description, _ = _docstring(function)
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog=f"lipsound2 {verb}", description=description, formatter_class=formatter)
    ranges, choices = declared(function, Within), declared(function, Choices)
    optional_files = declared(function, OptionalFile)
    for parameter in parameters_of(function):
        name, required = parameter.name, parameter.default is inspect.Parameter.empty
        text = parameter.help.replace("%", "%%")
        if not required and not any(parameter.default is nothing for nothing in (None, False, "", ())):
            shown = ",".join(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            text += f" (default: {shown})".replace("%", "%%")
        options: dict[str, Any] = {"help": text, **_reader(parameter.hint, ranges.get(name))}
        if name in choices:
            options["choices"] = list(choices[name].names())
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            parser.add_argument(name, metavar=name.upper(), nargs="+", **options)
            continue
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            if not required:
                options |= {"nargs": "?", "default": parameter.default}
            if "choices" in options:  # usage shows choices of options only
                options["help"] = f"{text.rstrip('.')}. One of: {', '.join(options['choices'])}"
            parser.add_argument(name, metavar=name.upper(), **options)
            continue
        flags = [f"--{name.replace('_', '-')}"]
        if name == "output":
            flags.insert(0, "-o")
        if options.get("action") is None:
            options["metavar"] = options.get("metavar") or name.upper()
            if "choices" in options:
                del options["metavar"]
        if name in optional_files:
            options |= {"nargs": "?", "const": True, "metavar": "FILE"}
            parser.optional_files[flags[0]] = optional_files[name]
        default = {} if required else {"default": parameter.default}
        parser.add_argument(*flags, dest=name, required=required, **default, **options)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


class Parameter(NamedTuple):
    """One argument or option of a verb.

    Attributes:
        name: its name.
        kind: see `inspect.Parameter`.
        default: `inspect.Parameter.empty` if there is none.
        hint: its type, without annotations.
        declared: its type with annotations.
        help: its help, from the docstring.
    """

    name: str
    kind: Any
    default: Any
    hint: Any
    declared: Any
    help: str


@functools.cache
def parameters_of(function: Callable[..., Any]) -> Sequence[Parameter]:
    """Arguments and options of a verb: the parameters of its signature, and the fields of dataclasses among them."""
    found: list[Parameter] = []
    own = _hints_and_helps(function)
    for name, parameter in inspect.signature(function).parameters.items():
        group = own.hints[name]
        if dataclasses.is_dataclass(group):
            fields = [(field.name, getattr(parameter.default, field.name)) for field in dataclasses.fields(group)]
            source = _hints_and_helps(group)
        else:
            fields, source = [(name, parameter.default)], own
        found += [
            Parameter(key, parameter.kind, default, source.hints[key], source.notes[key], source.helps.get(key, ""))
            for key, default in fields
        ]
    return tuple(found)


class _Declared(NamedTuple):
    """Types of a verb's parameters or of a dataclass' fields, without annotations and with them, and their helps."""

    hints: dict[str, Any]
    notes: dict[str, Any]
    helps: dict[str, str]


def _hints_and_helps(source: Any) -> _Declared:
    hints, notes = typing.get_type_hints(source), typing.get_type_hints(source, include_extras=True)
    return _Declared(hints, notes, _docstring(source)[1])


def _reader(hint: Any, within: Within | None = None) -> dict[str, Any]:
    """Arguments for argparse that read a value of the annotated type, within a range if one is declared."""
    origin, parameters = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _reader(next(p for p in parameters if p is not type(None)), within)
    if origin is Literal:
        return {"choices": list(parameters), "type": type(parameters[0])}
    if origin is tuple:
        return {"type": Several(Ranged(parameters[0], within) if within else parameters[0])}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    kind = {Path: named_path, float: number}.get(hint, hint)
    return {"type": Ranged(kind, within) if within else kind}


def _call(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Call a verb with the parsed options; dataclasses are built of their fields."""
    given, hints = dict(options), typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    for name in parameters:
        if dataclasses.is_dataclass(hints[name]):
            group: Any = hints[name]
            given[name] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
    many = next((name for name, one in parameters.items() if one.kind is inspect.Parameter.VAR_POSITIONAL), None)
    if many is None:
        return function(**given)
    before = [given.pop(name) for name in [*parameters][: [*parameters].index(many)]]
    return function(*before, *given.pop(many), **given)


def look_at_outputs(function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Check all outputs of a verb before it begins.

    Args:
        function: the verb; its outputs are declared in its signature, see `outputs.Output`.
        options: its options; all others that name an existing file are inputs.

    Raises:
        LipsoundError: an output cannot be written, or is an input.
    """
    outputs = declared(function, Output)
    inputs = [
        part
        for name, value in options.items()
        if name not in outputs
        for part in (value if isinstance(value, tuple | list) else (value,))
        if isinstance(part, Path | str) and str(part)  # an empty text would be this folder
    ]
    check_outputs([(options[name], kind) for name, kind in outputs.items() if options[name] is not None], inputs)


def declared(function: Callable[..., Any], kind: type[Note]) -> dict[str, Note]:
    """Annotations of one kind in the signature of a verb: outputs, ranges or choices."""
    found: dict[str, Note] = {}
    for parameter in parameters_of(function):
        for part in (parameter.declared, *typing.get_args(parameter.declared)):  # a union with None has it inside
            notes = [note for note in getattr(part, "__metadata__", ()) if isinstance(note, kind)]
            found.update((parameter.name, note) for note in notes)
    return found


def _docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Description and help of each argument from a Google-style docstring, of a dataclass too."""
    text = inspect.getdoc(function) or ""
    description, _, rest = text.replace("\nAttributes:\n", "\nArgs:\n").partition("\nArgs:\n")
    helps: dict[str, str] = {}
    name = ""
    for line in re.split(r"\n\s*\n\w+:\n", "\n" + rest)[0].splitlines():
        match = re.match(r" {4}(\w+): (.*)", line)
        if match:
            name = match.group(1)
            helps[name] = match.group(2)
        elif name and line.strip():
            helps[name] += " " + line.strip()
    return description.strip(), helps


def _overview() -> str:
    width = max(map(len, VERBS))
    about, _, usage = str(lipsound2.__doc__).partition("\n")
    lines = ["usage: lipsound2 VERB ...", "", about]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {verb:<{width}}  {summary}" for verb, (_, summary) in group.items())]
    return "\n".join([*lines, "", "'lipsound2 VERB --help' explains each.", usage.rstrip()])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 failed with one clear line, 2 wrong usage.

    A signal ends it with one line too, and with the usual status of a shell: 130, 143, 129.
    """
    _keep_standard_streams()
    try:
        status = _run(arguments)
        if sys.stdout is not None:  # it may be closed
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has gone, such as `head`
        with contextlib.suppress(OSError, ValueError):  # Python flushes once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # such as a full disk behind it
        print(f"lipsound2: standard output cannot be written: {error.strerror or error}", file=sys.stderr)
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _keep_standard_streams() -> None:
    """Put the null device where a standard stream is closed: a file that is opened next would take its number.

    What libraries print would then end up in that file.
    """
    for stream in range(3):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - kept to the end


def _run(arguments: Sequence[str] | None) -> int:
    """See `main`."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [*arguments[1:3], "--help"] if " ".join(arguments[1:3]) in VERBS else [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(lipsound2.__version__)
        return 0
    verb = arguments[0]
    second = [each.removeprefix(f"{verb} ") for each in VERBS if each.startswith(f"{verb} ")]
    if arguments[1:] and arguments[1] in second:  # a verb of two words
        verb = f"{verb} {arguments[1]}"
    elif arguments[1:] and (hint := near(arguments[1], second)):
        print(f"lipsound2: unknown verb '{verb} {arguments[1]}'{hint}", file=sys.stderr)
        return 2
    if verb not in VERBS or " " in arguments[0]:
        hint = _meant(verb) or near(verb, VERBS) or f"; one of: {', '.join(VERBS)}"
        print(f"lipsound2: unknown verb '{verb}'{hint}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("torch").setLevel(logging.WARNING)  # at the end of a run it tells of its caches
    debug = "--debug" in arguments
    try:
        with signals_answered():
            given = arguments[len(verb.split()) :]
            function = former(verb, given) or load(verb)
            words, notices = by_todays_names(given, OPTIONS.get(verb, {}), OPTION_VALUES)
            for notice in notices:
                print(f"lipsound2 {verb}: {notice}", file=sys.stderr)
            options = vars(verb_parser(verb, function).parse_args(words))
            options.pop("debug")
            look_at_outputs(function, options)
            if options.get("launcher", "local") == "local":  # on a cluster the jobs have them
                check_gpus(options.get("ngpu", 0))
                check_device(options.get("device", "cpu"))
            status = _call(function, options)
    except LipsoundError as error:
        if debug:
            raise
        print(f"lipsound2 {verb}: {plain(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except Terminated as stop:
        print(f"lipsound2 {verb}: stopped{_go_on(verb)}", file=sys.stderr)
        return 128 + stop.signal
    except KeyboardInterrupt:
        print(f"lipsound2 {verb}: interrupted{_go_on(verb)}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        if debug:
            raise
        if line := message_for(error):
            print(f"lipsound2 {verb}: {plain(line)}", file=sys.stderr)
            return 1
        # A bug, not the user's mistake: still one line, and how to see the rest.
        where = _innermost(error)
        print(
            f"lipsound2 {verb}: {type(error).__name__}: {' '.join(str(error).split())} [{where}]; "
            "run again with --debug for the traceback",
            file=sys.stderr,
        )
        return 1
    return status if isinstance(status, int) and not isinstance(status, bool) else 0


def _meant(word: str) -> str:
    """The command for a clip that stands where the verb should; empty: there is no such file."""
    if not os.path.isfile(word):  # noqa: PTH113 - Path.is_file raises where the name is too long
        return ""
    verb = "transcribe" if Path(word).suffix.lower() in AUDIO_SUFFIXES else "speak"
    return f"; did you mean: lipsound2 {verb} {shlex.quote(word)}?"


def _go_on(verb: str) -> str:
    """What the line behind an interruption tells to do; a page, or a session at the camera, is simply over."""
    return "" if verb in ("demo", "live") else "; run the same command again to go on"


def _innermost(error: BaseException) -> str:
    """File and line where `error` was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"


if __name__ == "__main__":
    sys.exit(main())
