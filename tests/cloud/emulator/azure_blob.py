"""Azure's Blob service as far as one needs it to put a block blob, and shared access signatures to get it."""

from __future__ import annotations

import base64
import calendar
import hashlib
import re
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

from emulator.messages import Reply, Request
from emulator.world import World

ACCOUNT, CONTAINER = "account", "inputs"
WHOLE = re.compile(rf"/{ACCOUNT}/(?P<container>[^/]+)")
SERVICE = re.compile(rf"/{ACCOUNT}/?")
BLOB = re.compile(rf"/{ACCOUNT}/(?P<container>[^/]+)/(?P<name>.+)")
KEY = """<?xml version="1.0" encoding="utf-8"?><UserDelegationKey><SignedOid>o</SignedOid><SignedTid>t</SignedTid>
<SignedStart>{start}</SignedStart><SignedExpiry>{end}</SignedExpiry><SignedService>b</SignedService>
<SignedVersion>2023-11-03</SignedVersion><Value>{value}</Value></UserDelegationKey>"""


class Blobs:
    def __init__(self, world: World, folder: Path) -> None:
        self._world, self._folder = world, folder

    def action(self, request: Request) -> str:
        """ "": it is no request of this service."""
        if request.query.get("comp") == "list" and WHOLE.fullmatch(request.path):
            return "blobs/list"
        if SERVICE.fullmatch(request.path):
            return "blobServices/generateUserDelegationKey"
        if not BLOB.fullmatch(request.path):
            return ""
        verb = {"PUT": "write", "DELETE": "delete"}.get(request.method, "read")
        return "blobs/signed" if "sig" in request.query else f"blobs/{verb}"

    def answer(self, request: Request, action: str) -> Reply:
        if action.startswith("blobServices"):
            said = {
                name: (re.search(rf"<{name}>(.*?)</", request.body.decode()) or ("", ""))[1]
                for name in ("Start", "Expiry")
            }
            value = base64.b64encode(b"of an hour").decode()
            text = KEY.format(start=said["Start"], end=said["Expiry"], value=value)
            return Reply(200, text.encode(), {"Content-Type": "application/xml"})
        found = (WHOLE if action == "blobs/list" else BLOB).fullmatch(request.path)
        assert found is not None
        if found["container"] != CONTAINER:
            return refused(404, "ContainerNotFound")
        if action == "blobs/list":
            return self._listing(request)
        name = unquote(found["name"])
        if action == "blobs/write":
            return self._put(request, name)
        kept = self._world.recall("blob", name)
        if kept is None:
            return refused(404, "BlobNotFound")
        if action == "blobs/delete":
            self._world.forget("blob", name)
            return Reply(202, b"", times())
        return self._shown(kept) if action == "blobs/read" else self._signed(request, kept)

    def _put(self, request: Request, name: str) -> Reply:
        """In one request, or block after block and then their list."""
        file = self._folder / hashlib.sha256(name.encode()).hexdigest()
        self._folder.mkdir(exist_ok=True)
        kind = request.query.get("comp", "")
        if kind == "block":
            block = hashlib.sha256(request.query["blockid"].encode()).hexdigest()
            file.with_suffix(f".{block}").write_bytes(request.body)
            return Reply(201, b"", times())
        content = request.body
        if kind == "blocklist":
            listed = re.findall(r"<(?:Latest|Uncommitted|Committed)>(.*?)</", request.body.decode())
            parts = [file.with_suffix(f".{hashlib.sha256(one.encode()).hexdigest()}") for one in listed]
            content = b"".join(part.read_bytes() for part in parts)
        file.write_bytes(content)
        self._world.remember("blob", name, {"file": str(file), "size": len(content), "at": self._world.now()})
        return Reply(201, b"", {**times(), "ETag": '"1"'})

    def _listing(self, request: Request) -> Reply:
        """ "List Blobs": by name, page by page."""
        found = [(name, one) for name, one in sorted(self._world.all_of("blob").items())]
        found = [(name, one) for name, one in found if name.startswith(request.query.get("prefix", ""))]
        start, size = int(request.query.get("marker", 0) or 0), self._world.rule("page_size") or 5000
        text = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties>"
            f"<Last-Modified>{formatdate(one['at'], usegmt=True)}</Last-Modified>"
            f"<Content-Length>{one['size']}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
            for name, one in found[start : start + size]
        )
        more = str(start + size) if start + size < len(found) else ""
        body = f"<Blobs>{text}</Blobs><NextMarker>{more}</NextMarker>"
        told = f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults>{body}</EnumerationResults>'
        return Reply(200, told.encode(), {**times(), "Content-Type": "application/xml"})

    def _shown(self, kept: dict[str, Any]) -> Reply:
        told = {"Content-Length": str(kept["size"]), "x-ms-blob-type": "BlockBlob", "ETag": '"1"'}
        return Reply(200, b"", {**times(), **told})

    def _signed(self, request: Request, kept: dict[str, Any]) -> Reply:
        """ "Create a user delegation SAS": who has it may do what ``sp`` says until ``se``. Its signature is looked at,
        not verified."""
        until = calendar.timegm(time.strptime(request.query["se"], "%Y-%m-%dT%H:%M:%SZ"))
        if self._world.now() > until or "r" not in request.query["sp"] or len(request.query["sig"]) != 44:
            return refused(403, "AuthenticationFailed")
        content = Path(kept["file"]).read_bytes()
        begin = int((re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "")) or ("", "0"))[1])
        return Reply(206 if "range" in request.headers else 200, content[begin:])


def times() -> dict[str, str]:
    return {"Last-Modified": formatdate(usegmt=True), "x-ms-version": "2023-11-03"}


def refused(status: int, code: str) -> Reply:
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return Reply(status, text.encode(), {"Content-Type": "application/xml", "x-ms-error-code": code})
