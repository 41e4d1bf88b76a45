"""Stands before gradio and our own routes: what is not asked for by the page or by a client of its API gets no further.

Gradio serves more than this page needs: redirects, a proxy, streams, uploads that name paths and addresses. Here is the
list of what passes, and everything else is 404, so that a route which a later gradio brings is closed until looked at.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.auth import Doorkeeper
from app.web.places import Places

MOST_BODY_BYTES = 8 << 20
"""Of any request but an upload: a page's event holds at most a long transcript."""

_OPEN = re.compile(  # also to whom has not logged in: the log-in itself, and what it looks like
    r"/|/login/?|/logout|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt"
    r"|/(assets|static|svelte)/.+|/gradio_api/(theme\.css|app_id|login_check|user|info)/?"
)
_READ = re.compile(
    r"/gradio_api/(openapi\.json|startup-events|queue/data|queue/status|upload_progress)"
    r"|/gradio_api/heartbeat/[^/]+|/gradio_api/call/(v2/)?[^/]+/[^/]+|/gradio_api/file=.+|/jobs/.+"
)
_WRITE = re.compile(
    r"/login/?|/gradio_api/(upload|queue/join|cancel|reset/?|component_server/?|(call|call/v2|run)/[^/]+/?)"
)
_UPLOAD = "/gradio_api/upload"

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    # Gradio writes scripts into its page, and makes functions of text; the microphone's worklet is a blob of ours.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; frame-src 'none'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
}
# By these gradio takes the address of its own page from whoever asks, and writes it into what others get.
_FORGEABLE = (b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"x-gradio-server", b"forwarded")


class RefusalError(Exception):
    """The request ends here."""

    def __init__(self, status: int, line: str, headers: dict[str, str] | None = None) -> None:
        self.status, self.line, self.headers = status, line, headers


class Guard:
    """ASGI middleware."""

    def __init__(
        self, app: ASGIApp, door: Doorkeeper, places: Places, *, loopback: bool, root: str, pages: Iterable[str] = ()
    ) -> None:
        """`loopback`: only this machine can reach the server. `root`: its address outside, where a proxy has one.
        `pages`: paths of the page's own pages but the first.
        """
        self._app, self._door, self._places = app, door, places
        self._loopback, self._pages = loopback, {f"/{page.strip('/')}" for page in pages}
        self._origin = _origin(root)
        own = socket.gethostname().lower()
        self._names = {"localhost"} | (set() if loopback else {own, f"{own}.local"})
        if outside := _name(urlsplit(root).netloc):
            self._names.add(outside)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            self._check_sender(scope, Headers(scope=scope))
            visitor = self._check_route(scope)
            if scope["path"].rstrip("/") == "/login" and scope["method"] == "POST":
                await self._log_in(scope, receive, send_safe)
                return
            if scope["method"] == "POST" and scope["path"] != _UPLOAD:
                receive = await self._checked(scope, receive, visitor)
            scope["headers"] = [each for each in scope["headers"] if each[0] not in _FORGEABLE]
            await self._app(scope, receive, send_safe)
        except RefusalError as refusal:
            answer = JSONResponse({"detail": refusal.line}, refusal.status, refusal.headers)
            await answer(scope, receive, send_safe)

    def _check_sender(self, scope: Scope, headers: Headers) -> None:
        """Against a name that was pointed at this machine (DNS rebinding), and against other sites' scripts."""
        host = headers.get("host", "")
        if not self._is_ours(_name(host)):
            raise RefusalError(403, f"{host[:100]}: not a name of this server")
        origin = headers.get("origin")
        if origin is not None and origin not in (f"{scope['scheme']}://{host}", self._origin):
            raise RefusalError(403, "asked by another site's page")
        foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if foreign and (scope["method"] not in ("GET", "HEAD") or headers.get("sec-fetch-mode") != "navigate"):
            raise RefusalError(403, "asked by another site's page")

    def _is_ours(self, name: str) -> bool:
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # Nobody can point an address elsewhere; behind a port mapping it is not one of this machine's.
        return address.is_loopback or not self._loopback

    def _check_route(self, scope: Scope) -> str:
        """The visitor's name."""
        path, method = scope["path"], scope["method"]
        to_all = bool(_OPEN.fullmatch(path)) or path in self._pages
        read = method in ("GET", "HEAD") and (to_all or _READ.fullmatch(path))
        if not read and not (method == "POST" and _WRITE.fullmatch(path)):
            raise RefusalError(404, "there is no such page")
        visitor = self._door.visitor(HTTPConnection(scope).cookies)
        if visitor is None and not to_all:
            raise RefusalError(401, "log in first")
        return visitor or ""

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio's log-in, a few times a minute."""
        address = scope["client"][0] if scope["client"] else ""
        if wait_s := self._door.wait_s(address):
            raise RefusalError(429, "too many attempts to log in; wait a minute", {"Retry-After": f"{wait_s:.0f}"})

        async def forgive(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self._door.forgive(address)
            await send(message)

        await self._app(scope, _replay(await _body(receive), receive), forgive)

    async def _checked(self, scope: Scope, receive: Receive, visitor: str) -> Receive:
        """The body, once it names no file but the visitor's own: gradio would copy a path, and fetch an address.

        It goes on as it was understood here, so that no other reading of it is possible.
        """
        body = await _body(receive)
        if not body:
            return _replay(body, receive)
        try:
            data = json.loads(body)
            unchecked = [data]
            while unchecked:
                value = unchecked.pop()
                if isinstance(value, list):
                    unchecked += value
                elif isinstance(value, dict):
                    unchecked += value.values()
                    if ("path" in value or "meta" in value) and not self._places.has(visitor, value.get("path")):
                        raise RefusalError(403, "a file that was not uploaded here by you")
            body = json.dumps(data, allow_nan=False).encode()
        except (ValueError, RecursionError):
            raise RefusalError(400, "not JSON") from None
        length = [(b"content-length", str(len(body)).encode())]
        scope["headers"] = [
            each for each in scope["headers"] if each[0] not in (b"content-length", b"transfer-encoding")
        ]
        scope["headers"] += length
        return _replay(body, receive)


async def _body(receive: Receive) -> bytes:
    """Raises RefusalError."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise RefusalError(400, "the connection broke off")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_BODY_BYTES:
            raise RefusalError(413, f"larger than {MOST_BODY_BYTES} bytes")
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _name(netloc: str) -> str:
    """Without the port, in small letters; "" for what is none."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _origin(root: str) -> str:
    parts = urlsplit(root)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else ""
