"""Where documents come from: folders, globs, single files, manifests, zip and tar archives, and S3.

    listing.py     sources as typed by a person → a stream of DocumentRefs
    fetching.py    one URI → its bytes, pinned to one version
    places.py      the registry of where documents lie: local.py (files), s3.py (objects; s3_errors.py: every
                   exception of boto3, as one of ours)
    groups.py      which of the files found are one document
    manifests.py   lists; roots.py: what a list or a link may name
    archives.py    zips.py, tars.py and gzips.py, read by positional.py; archive.py: what they share;
                   portfolios.py: PDFs that hold documents, whose members are found when they are read;
                   looks.py: pictures that an invoice's stylesheet shows, and logos, which are no documents
    refs.py        names, for all of them
    limits.py      how many bytes a document may have

A URI is `s3://bucket/key`, an absolute path, or `ARCHIVE!/member`. What is found but cannot be a document is
named with a failure, never left out in silence. Passed over are only what is hidden, the system's own or no
document by its name, pictures of a mailed invoice's looks, the truth beside specimens (truth.jsonl,
metadata.jsonl), and what a person does not want (choice.py); a plan names those too.
"""

from pipeline.sources.fetching import fetch
from pipeline.sources.groups import Rules, nothing_grouped
from pipeline.sources.limits import SizeLimits
from pipeline.sources.listing import list_documents, members, together
from pipeline.sources.places import uri

__all__ = ["Rules", "SizeLimits", "fetch", "list_documents", "members", "nothing_grouped", "together", "uri"]
