"""Where results go: a file of this machine, or an object of S3."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.errors import UsageError
from pipeline.private import whole_file
from pipeline.settings import SourceSettings


@contextmanager
def whole(out: str, settings: SourceSettings) -> Iterator[IO[bytes]]:
    """What is written here takes the name `out` (a path or s3://BUCKET/KEY) when it is complete, or never.

    Raises UsageError for a folder that is not there or may not be written to, Permanent or Transient of S3.
    """
    if not out.startswith("s3://"):
        try:
            with whole_file(Path(out)) as file:
                yield file
        except FileNotFoundError:
            raise UsageError(f"cannot write {out}: there is no folder {Path(out).parent}") from None
        except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
            raise UsageError(f"cannot write {out}: {error.strerror}") from None
        return
    from pipeline.sources import s3  # with boto3, which a file does without

    bucket, key = s3.parse(out)
    with tempfile.NamedTemporaryFile(prefix="vinbatch-") as copy:  # its owner's alone
        yield copy
        copy.flush()
        s3.upload(bucket, key, Path(copy.name), settings)
