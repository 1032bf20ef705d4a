"""Archives that tests have made."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(path: Path, folder: Path) -> None:
    """Unpack a .tar.gz. Python 3.11.2, which Debian 12 has, knows no filters, and later ones want one."""
    with tarfile.open(path) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _folder: member)
        archive.extractall(folder)
