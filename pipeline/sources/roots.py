"""What a list or a link may name: a manifest that comes from elsewhere is no key to this machine.

    a manifest in a bucket   objects of its own bucket, nothing local
    a manifest on a disk     files under its own folder, and objects: the credentials bound those
    a link in a folder       what lies under the folder that was named as the source

`source.allowed_roots` adds folders and s3:// prefixes, `source.trust_manifests` (--trust-manifests) lifts it.
"""

from __future__ import annotations

import os
import posixpath

from pipeline.settings import SourceSettings
from pipeline.sources.refs import file_of

_S3 = "s3://"


def manifest_refusal(manifest: str, uri: str, settings: SourceSettings) -> str | None:
    """Why the manifest with this URI may not name `uri`, and how to allow it; None if it may."""
    if manifest.startswith(_S3):
        own = f"{_S3}{manifest.removeprefix(_S3).partition('/')[0]}/"
    elif uri.startswith(_S3):
        return None
    else:
        own = os.path.dirname(os.path.realpath(manifest))  # noqa: PTH120
    if _allowed(uri, own, settings):
        return None
    return f"{uri} is outside {own}, and this manifest may name nothing else; {_how(uri)}"


def link_refusal(path: str, root: str, settings: SourceSettings) -> str | None:
    """Why the link at `path` may not be followed from the source `root`; None if it may."""
    if _allowed(path, root, settings):
        return None
    target = os.path.realpath(path)
    return f"a link that leads out of {root}, to {target}; {_how(target)}"


def _allowed(uri: str, own: str, settings: SourceSettings) -> bool:
    return settings.trust_manifests or any(_within(uri, root) for root in (own, *settings.allowed_roots))


def _how(uri: str) -> str:
    if uri.startswith(_S3):
        root = f"{_S3}{uri.removeprefix(_S3).partition('/')[0]}/"
    else:
        root = posixpath.dirname(file_of(uri))
    return f'if that is meant: --trust-manifests, or source.allowed_roots = ["{root}"]'


def _within(uri: str, root: str) -> bool:
    """Whether `uri` lies under `root`, with the links of this machine followed and no ".." in a key."""
    if root.startswith(_S3):
        return uri.startswith(f"{root.rstrip('/')}/") and ".." not in uri.split("/")
    if uri.startswith(_S3):
        return False
    real = os.path.realpath(os.path.expanduser(root))  # noqa: PTH111
    return f"{os.path.realpath(file_of(uri))}/".startswith(f"{real.rstrip('/')}/")
