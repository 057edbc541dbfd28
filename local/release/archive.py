"""Archives whose bytes depend on their files only."""

from __future__ import annotations

import gzip
import io
import pathlib
import tarfile
import time
import zipfile
from collections.abc import Mapping

EXECUTABLE, READABLE = 0o755, 0o644


def function_package(executable: pathlib.Path, epoch: int) -> bytes:
    """A zip file for Lambda's custom runtimes: the program under the name `bootstrap`."""
    content = io.BytesIO()
    member = zipfile.ZipInfo("bootstrap", time.gmtime(epoch)[:6])
    # Regular file, in the upper half as Unix stores it.
    member.external_attr = (0o100000 | EXECUTABLE) << 16
    # Unix, also where Python runs on another system.
    member.create_system = 3
    with zipfile.ZipFile(content, "w") as package:
        package.writestr(member, executable.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return content.getvalue()


def tar(files: Mapping[str, pathlib.Path], epoch: int) -> bytes:
    """A tar.gz file with these files, by their names in the archive."""
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", compresslevel=9, mtime=epoch) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            member.mode = EXECUTABLE if path.stat().st_mode & 0o100 else READABLE
            member.mtime = epoch
            with path.open("rb") as file:
                archive.addfile(member, file)
    return content.getvalue()
