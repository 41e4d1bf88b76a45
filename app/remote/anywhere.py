"""A recording that is on this machine or elsewhere, named by its text alone: a path, or a URL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.artefacts import content_key
from app.remote.access import Say
from app.remote.files import fetched, marks
from app.remote.urls import is_remote


@contextmanager
def at_hand(place: str, say: Say = lambda line: None) -> Iterator[Path]:
    """Where it can be read on this machine: itself, or a copy of what is elsewhere, gone afterwards.

    Raises what app.remote.fetched raises; that a local file is absent is its reader's to find out.
    """
    if not is_remote(place):
        yield Path(place)
        return
    with fetched(place, say=say) as copy:
        yield copy


def identity(place: str, say: Say = lambda line: None) -> str:
    """Names what is in it, as app.artefacts.content_key does; 32 characters.

    What is elsewhere is not read for that: its URL, size and the server's own mark of its content tell, where there is
    such a mark. Raises OSError for a local file; InputError and WorkError for one elsewhere.
    """
    if not is_remote(place):
        return content_key(Path(place))
    size, token = marks(place, say)
    if size is not None and token:
        return marked(place, size, token)
    with fetched(place, say=say) as copy:
        return content_key(copy)


def marked(url: str, size: int, token: str) -> str:
    """The same for what a listing has told of: app.remote.RemoteFile says what these are."""
    return hashlib.sha256(json.dumps([url, size, token]).encode()).hexdigest()[:32]
