"""Many clips in one call: one after the other, past clips that fail, with a summary at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from tqdm import tqdm

from lipsound2.errors import ClipFailure, LipsoundError, is_machine_error
from lipsound2.jobs.shards import describe
from lipsound2.media.clips import Clip, describe_failure


def each_clip(clips: Sequence[Clip], work: Callable[[Clip], str], verb: str) -> int:
    """Process every clip. Results go to standard output, failures and the summary to standard error.

    On a terminal one line shows how far it is; a file or a pipe gets the results alone.

    Args:
        clips: all of them.
        work: processes a clip and returns the line to print, or an empty text.
        verb: name on the progress bar.

    Returns:
        The exit status: 1 if any clip failed.

    Raises:
        OSError, MemoryError: an error of the machine, so other clips would fail too.
    """
    failed: list[str] = []
    with tqdm(clips, desc=verb, unit="clip", disable=None) as bar:
        for clip in bar:
            try:
                line = work(clip)
            except (ClipFailure, LipsoundError) as failure:
                if failure.__cause__ is not None and is_machine_error(failure.__cause__):
                    raise
                line = describe_failure(clip.path, failure)
            except Exception as error:
                if is_machine_error(error):
                    raise
                line = f"{clip.path}: {describe(error)}"
            else:
                if line:
                    tqdm.write(line)
                continue
            tqdm.write(line, file=sys.stderr)
            failed.append(line)
    summary = f"done     {len(clips) - len(failed)} of {len(clips)} clips" + (", failed:" if failed else "")
    print("\n         ".join([summary, *failed]), file=sys.stderr)
    return 1 if failed else 0
