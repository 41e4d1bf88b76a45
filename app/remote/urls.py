"""What is a URL and what is a file's name, by their text alone, and how a URL is said."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.errors import UsageError

Location = Path | str
"""Of a file or a folder: a path on this machine, or, as text, a URL of somewhere else."""

S3 = frozenset(("s3", "s3a"))
WEB = frozenset(("http", "https"))


def is_remote(text: str) -> bool:
    """Whether it is a URL of somewhere else: `scheme://...`, and the scheme is not `file`.

    Never by what lies on the disk: `a:b.wav`, `s3:` and `C:/talk.wav` are names of files, and s3://bucket/x is none
    even where a folder called `s3:` stands; that one is `./s3:/bucket/x`.
    """
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    return found is not None and found[1].lower() != "file"


def local_path(text: str) -> Path:
    """Of what is_remote denies: the path as it is typed, or that of a file:// URL; UsageError for another host's."""
    if not text.lower().startswith("file://"):
        return Path(text)
    parts = urlsplit(text.replace("?", "%3F").replace("#", "%23"))
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise UsageError(f"{text}: a file URL has three slashes and the whole path, as file:///data/talk.mp3")
    return Path(unquote(parts.path))


def located(text: str) -> Location:
    """What was typed: a URL as it is, a path where it is none. Raises UsageError, as local_path does."""
    return text if is_remote(text) else local_path(text)


def file_name(url: str) -> str:
    """The last part: of a web address without its query, and with blanks for %20."""
    if scheme_of(url) not in WEB:
        return url.rstrip("/").rpartition("/")[2]
    name = url.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2]
    plain = unquote(name)
    return name if "/" in plain or "\0" in plain or plain in (".", "..") else plain


def joined(url: str, name: str) -> str:
    """`name` below `url`: s3://bucket/out and day1/talk.srt are s3://bucket/out/day1/talk.srt."""
    return f"{url.rstrip('/')}/{name}" if not url.endswith("://") else f"{url}{name}"


def shown(place: Location) -> str:
    """For messages: a path as it is; a URL in one line, and without the query of a web address, which may be a
    signature.
    """
    url = str(place)
    if isinstance(place, Path):
        return url
    if scheme_of(url) in WEB:
        url = url.partition("?")[0]
    return "".join(character if character.isprintable() else "?" for character in url)


def scheme_of(url: str) -> str:
    """In small letters; raises UsageError where there is none, or where the URL carries a password."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise UsageError(f"{url}: no URL: it would begin as s3://")
    scheme = scheme.lower()
    host = rest.partition("/")[0]
    # An AWS secret may hold slashes, so the @ need not lie in what a parser takes for the host. No bucket's name has
    # a colon but in an ARN; elsewhere a colon with a number behind it is a port.
    arn = host.startswith("arn:")
    if (scheme in S3 and not arn and set(host) & set(":@")) or re.match(r"[^/@]*:(?!\d+(/|$))[^@]*@", rest):
        way = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if scheme in S3 else "its own settings are the place"
        raise UsageError(f"{scheme}://...@...: a URL must not carry a user and a password: {way}")
    return scheme
