"""Inputs and outputs that are URLs: s3://bucket/talk.mp3, memory://a.wav, and whatever else fsspec knows.

A recording is brought into a local file for as long as it is worked on; an output is written whole or not at all.
Who may read and write is said by the environment alone, never by a URL.
"""

from app.remote.access import spelt
from app.remote.anywhere import at_hand, identity, marked
from app.remote.files import (
    RemoteFile,
    check_writable,
    create_exclusively,
    exists,
    fetched,
    listing,
    put,
    read_bytes,
    read_if_there,
    remove,
    write_bytes,
)
from app.remote.urls import Location, file_name, is_remote, joined, local_path, located, shown

__all__ = [
    "Location",
    "RemoteFile",
    "at_hand",
    "check_writable",
    "create_exclusively",
    "exists",
    "fetched",
    "file_name",
    "identity",
    "is_remote",
    "joined",
    "listing",
    "local_path",
    "located",
    "marked",
    "put",
    "read_bytes",
    "read_if_there",
    "remove",
    "shown",
    "spelt",
    "write_bytes",
]
