"""Where `transcribe` writes: files beside a clip, by name or in a folder, standard output. Checks come before work."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lipsound2.decoding.hypothesis import marked
from lipsound2.errors import LipsoundError, UsageError
from lipsound2.files import write_text
from lipsound2.inference.phrase_lines import NOBODY, phrase_lines
from lipsound2.inference.transcript import ALTERNATIVES, Transcript
from lipsound2.media.clips import Clip, check_distinct, check_results
from lipsound2.media.standard_streams import STANDARD
from lipsound2.outputs import check_apart, check_file, check_folder, check_inputs

log = logging.getLogger(__name__)

Target = Path | bool | None  # of a format: a file, a folder or `-`; True: it has no name; None, False: not wanted


class TranscriptFiles:
    """All outputs of a call.

    Args:
        clips: what is transcribed.
        targets: of the formats .txt, .srt, .vtt and .json.
        output_dir: folder for formats without a name; for plain text, if there are none.
        many: whether the call is about several clips, whose lines name them.
        alternatives: how many are printed and written; None: none is printed, and JSON has some.
        streamed: whether the clip came from standard input, and there is no place beside it.
        read: other files that are read: own sentences, a grammar, models.

    Raises:
        UsageError: two formats are to go to standard output, or a file of a streamed clip has no name.
        LipsoundError: something cannot be written, or would destroy what is read or what lies beside a clip.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        targets: Mapping[str, Target],
        *,
        output_dir: Path | None = None,
        many: bool = False,
        alternatives: int | None = None,
        streamed: bool = False,
        read: Sequence[Path] = (),
    ) -> None:
        self._many = many
        self._shown = alternatives or 0
        self._written = ALTERNATIVES if alternatives is None else alternatives
        self._folders: dict[str, Path | None] = {}  # of formats with a file for each clip; None: beside the clip
        self._files: dict[str, Path] = {}  # of formats with one file
        printed = []
        for suffix, target in targets.items():
            if target is True and suffix == ".json" and output_dir is None:
                printed.append(suffix)  # as it always was
            elif target is True:
                if streamed and output_dir is None:
                    raise UsageError(
                        f"--{suffix[1:]}: the clip comes from standard input; give its file a name: --{suffix[1:]} FILE"
                    )
                self._folders[suffix] = output_dir
            elif target == STANDARD:
                printed.append(suffix)
            elif target and many:
                self._folders[suffix] = self._folder(Path(target), suffix)
            elif target:
                self._files[suffix] = Path(target)
        if len(printed) > 1:
            options = " and ".join(f"--{each[1:]}" for each in printed)
            raise UsageError(f"{options}: only one of them can be printed; give the others files")
        self._printed = printed[0] if printed else ""
        if many and self._printed not in ("", ".json"):
            option = f"--{self._printed[1:]}"
            raise UsageError(f"{option} -: is for one clip; for several clips give a folder: {option} DIR")
        if output_dir is not None and True not in targets.values():
            self._folders[".txt"] = output_dir
        self._check(clips, read)

    def write(self, clip: Clip, what: Transcript) -> None:
        """Write the files of a clip."""
        for suffix, path in [*self._files.items(), *self._of(clip)]:
            write_text(path, self._content(clip, what, suffix))
            if not self._many:
                log.info("%s: written", path)

    def line(self, clip: Clip, what: Transcript) -> str:
        """What is printed of a clip, without the last line's end. On a terminal, doubtful words are marked."""
        if self._printed:
            return self._content(clip, what, self._printed).removesuffix("\n")
        if what.phrases and not self._many:
            return phrase_lines(what.phrases)
        text = marked(what) if sys.stdout.isatty() else what.text
        if what.phrases and not text:
            text = NOBODY
        others = [f"  {each.probability:.3f}  {each.text}" for each in what.alternatives[: self._shown]]
        corrected = [] if what.corrected is None else [f"  corrected  {what.corrected}"]
        return "\n".join([f"{clip.path}\t{text}" if self._many else text, *corrected, *others])

    def _content(self, clip: Clip, what: Transcript, suffix: str) -> str:
        if suffix == ".json" and self._many:
            row = {"clip": str(clip.path), **what.to_json(self._written)}
            return json.dumps(row, ensure_ascii=False) + "\n"
        return what.render(suffix, self._written)

    def _of(self, clip: Clip) -> Iterator[tuple[str, Path]]:
        """Files of a clip, without those that were named."""
        for suffix, folder in self._folders.items():
            yield suffix, _beside(clip, suffix) if folder is None else clip.out(folder, suffix)

    @staticmethod
    def _folder(given: Path, suffix: str) -> Path:
        option = f"--{suffix[1:]}"
        if given.suffix.lower() == suffix and not given.is_dir():
            raise LipsoundError(
                f"{option} {given}: is one file, for one clip; for several clips give a folder: {option} DIR"
            )
        return given

    def _check(self, clips: Sequence[Clip], read: Sequence[Path]) -> None:
        paths = [clip.path for clip in clips]
        for suffix, path in self._files.items():
            check_file(path, [*paths, *read], (suffix,))
        check_results(clips, [(folder, suffix) for suffix, folder in self._folders.items() if folder is not None])
        if read:
            check_inputs((path for clip in clips for _, path in self._of(clip)), read)
        for suffix in (suffix for suffix, folder in self._folders.items() if folder is None):
            for folder in dict.fromkeys(path.parent for path in paths):
                check_folder(folder)
            beside = [_beside(clip, suffix) for clip in clips]
            check_distinct(clips, beside)
            for clip, out in zip(clips, beside, strict=True):
                if out.exists():
                    instead = "choose a folder: --output-dir DIR" if self._many else f"name a file: --{suffix[1:]} FILE"
                    raise LipsoundError(
                        f"{out}: lies beside {clip.path} already, and would be lost; remove it, or {instead}"
                    )
        check_apart([*self._files.values(), *(path for clip in clips for _, path in self._of(clip))])


def _beside(clip: Clip, suffix: str) -> Path:
    """The file of this suffix beside a clip, under its name."""
    return clip.path.parent / f"{Path(clip.name).name}{suffix}"
