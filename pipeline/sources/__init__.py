"""Where documents come from: folders, globs, single files, manifests, zip and tar archives, and S3.

    listing.py     sources as typed by a person → a stream of DocumentRefs
    fetching.py    one URI → its bytes, pinned to one version
    local.py  s3.py  archives.py  manifests.py        the kinds of source
    s3_errors.py   every exception of boto3, as one of ours
    limits.py      how many bytes a document may have

A URI is `s3://bucket/key`, an absolute path, or `ARCHIVE!/member`. What is found but cannot be a document is
named with a failure, never left out in silence; only hidden files and folders, and the truth beside
specimens (truth.jsonl, metadata.jsonl), are passed over.
"""

from pipeline.sources.fetching import fetch
from pipeline.sources.limits import Limits
from pipeline.sources.listing import list_documents

__all__ = ["Limits", "fetch", "list_documents"]
