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

from emulator.messages import Reply, Request
from emulator.world import World

ACCOUNT, CONTAINER = "account", "inputs"
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
        if SERVICE.fullmatch(request.path):
            return "blobServices/generateUserDelegationKey"
        if not BLOB.fullmatch(request.path):
            return ""
        return "blobs/signed" if "sig" in request.query else f"blobs/{'write' if request.method == 'PUT' else 'read'}"

    def answer(self, request: Request, action: str) -> Reply:
        if action.startswith("blobServices"):
            said = {
                name: (re.search(rf"<{name}>(.*?)</", request.body.decode()) or ("", ""))[1]
                for name in ("Start", "Expiry")
            }
            value = base64.b64encode(b"of an hour").decode()
            text = KEY.format(start=said["Start"], end=said["Expiry"], value=value)
            return Reply(200, text.encode(), {"Content-Type": "application/xml"})
        found = BLOB.fullmatch(request.path)
        assert found is not None
        if found["container"] != CONTAINER:
            return refused(404, "ContainerNotFound")
        name = unquote(found["name"])
        if action == "blobs/write":
            return self._put(request, name)
        kept = self._world.recall("blob", name)
        if kept is None:
            return refused(404, "BlobNotFound")
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
        self._world.remember("blob", name, {"file": str(file), "size": len(content)})
        return Reply(201, b"", {**times(), "ETag": '"1"'})

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
