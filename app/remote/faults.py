"""What went wrong far away, in one line: whose fault it is, whether trying again can help, and what would be right."""

from __future__ import annotations

import errno
import os
from enum import Enum
from typing import NamedTuple

from app.errors import in_a_line
from app.remote.urls import S3

CONNECT_S = 10.0
"""Longest wait for a connection, each attempt."""
SILENCE_S = 30.0
"""Longest silence of a server in the middle of an answer, each attempt."""


class Scope(Enum):
    """What can't go on."""

    ONE = "this file"
    ALL = "anything there"


class Fault(NamedTuple):
    """One error, understood."""

    scope: Scope
    transient: bool
    """Trying again may help."""
    reason: str


UNREACHABLE = frozenset(
    "EndpointConnectionError ConnectTimeoutError ProxyConnectionError ClientConnectorError gaierror "
    "ConnectionRefusedError".split()
)
BROKEN_OFF = frozenset(
    "HTTPClientError ClientPayloadError IncompleteRead IncompleteReadError ServerDisconnectedError FSTimeoutError "
    "ResponseParserError ConnectionError TimeoutError ClientOSError".split()
)
WRONG_KEYS = frozenset("InvalidAccessKeyId SignatureDoesNotMatch InvalidToken InvalidClientTokenId".split())
EXPIRED = frozenset("ExpiredToken ExpiredTokenException TokenRefreshRequired RequestTimeTooSkewed".split())
PASSING = frozenset("SlowDown ServiceUnavailable InternalError RequestTimeout 500 502 503 504 429".split())
"""Codes of an S3 server that mean: later."""

NO_BUCKET = frozenset(("NoSuchBucket", "404"))
"""The second is said of a bucket asked for by itself; a missing file has words of its own."""

KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def understood(error: Exception, scheme: str) -> Fault:
    """By the names of its classes: botocore's and aiohttp's need not be there to be imported."""
    names = {kind.__name__ for kind in type(error).__mro__}
    code = code_of(error)
    if "NoCredentialsError" in names:
        return Fault(Scope.ALL, False, f"no credentials in the environment: set {KEYS}, or AWS_PROFILE")
    if "PartialCredentialsError" in names:
        return Fault(Scope.ALL, False, f"half of the credentials is missing: set both {KEYS}")
    if "ProfileNotFound" in names or "CredentialRetrievalError" in names:
        return Fault(Scope.ALL, False, f"no credentials: {_first_line(error)}")
    if "SSLError" in names or "ClientConnectorCertificateError" in names:
        return Fault(Scope.ALL, False, f"the server{_endpoint(scheme)} has no certificate to be trusted; AWS_CA_BUNDLE")
    if names & UNREACHABLE:
        return Fault(Scope.ALL, True, f"the server{_endpoint(scheme)} does not answer")
    if "ReadTimeoutError" in names or "ServerTimeoutError" in names or "SocketTimeoutError" in names:
        return Fault(Scope.ALL, True, f"the server{_endpoint(scheme)} said nothing for {SILENCE_S:g} s")
    if "ParamValidationError" in names or (isinstance(error, ValueError) and "Invalid bucket name" in str(error)):
        return Fault(Scope.ALL, False, "no bucket can have this name")
    if names & BROKEN_OFF or code in PASSING:
        what = _first_line(error) if type(error) is ConnectionError else code or type(error).__name__
        return Fault(Scope.ONE, True, f"the transfer broke off ({what})")
    if isinstance(error, NotImplementedError):
        return Fault(Scope.ALL, False, f"{scheme}:// can't do that, by fsspec")
    return _of_system(error, code, scheme) if isinstance(error, OSError) else _other(error, code, scheme)


def _of_system(error: OSError, code: str, scheme: str) -> Fault:
    if isinstance(error, FileNotFoundError):
        if code in NO_BUCKET and scheme in S3:
            return Fault(Scope.ALL, False, "no such bucket")
        return Fault(Scope.ONE, False, "no such file")
    if isinstance(error, PermissionError):
        if code in WRONG_KEYS:
            return Fault(Scope.ALL, False, f"the server does not accept the credentials ({code}): look at {KEYS}")
        if code in EXPIRED:
            return Fault(Scope.ALL, False, f"the credentials are not valid now ({code}): renew them, look at the clock")
        hint = f"; the owner of {KEYS} may not do that, or they are wrong" if scheme in S3 else ""
        return Fault(Scope.ONE, False, f"access denied{hint}")
    if isinstance(error, (IsADirectoryError, NotADirectoryError, FileExistsError)):
        return Fault(Scope.ONE, False, os.strerror(error.errno) if error.errno else _first_line(error))
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return Fault(Scope.ALL, False, os.strerror(error.errno))
    if code:  # a server's refusal, such as a wrong region: the same the next time
        return Fault(Scope.ALL, False, f"the server refuses ({code}): {_first_line(error)}")
    return Fault(Scope.ONE, True, f"the transfer broke off ({_first_line(error)})")


def _other(error: Exception, code: str, scheme: str) -> Fault:
    if code in ("401", "403"):
        return Fault(Scope.ONE, False, f"access denied ({code})")
    if isinstance(error, ValueError) and "endpoint" in str(error).lower():
        return Fault(Scope.ALL, False, f"{_first_line(error)}; AWS_ENDPOINT_URL would be as https://s3.example.org")
    if isinstance(error, TypeError):
        return Fault(Scope.ALL, False, f"{scheme}:// needs settings that a URL does not carry ({_first_line(error)})")
    return Fault(Scope.ONE, False, in_a_line(error))


def code_of(error: BaseException) -> str:
    """The server's word for it, where there is one: NoSuchBucket, 403."""
    for one in (error, error.__cause__, error.__context__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return str(getattr(error, "status", ""))


def _endpoint(scheme: str) -> str:
    if scheme not in S3:
        return ""
    given = next((name for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if os.environ.get(name)), None)
    return f" of {given}" if given else " of AWS (AWS_ENDPOINT_URL names another)"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
