"""Cloud Storage's JSON API as far as one needs it to put an object, and V4 signed URLs to get it."""

from __future__ import annotations

import base64
import calendar
import hashlib
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import google_crc32c

from emulator.messages import Reply, Request, json_reply
from emulator.world import World

OBJECT = re.compile(r"/storage/v1/b/(?P<bucket>[^/]+)/o/(?P<name>.+)")
LIST = re.compile(r"/storage/v1/b/(?P<bucket>[^/]+)/o")
UPLOAD = re.compile(r"/upload/storage/v1/b/(?P<bucket>[^/]+)/o")
DIRECT = re.compile(r"/(?P<bucket>[^/]+)/(?P<name>beowulf/.+)")
BUCKETS = ("inputs",)


class Storage:
    def __init__(self, world: World, folder: Path) -> None:
        self._world, self._folder = world, folder

    def action(self, request: Request) -> str:
        """ "": it is no request of this service."""
        if UPLOAD.fullmatch(request.path):
            return "objects.insert"
        if LIST.fullmatch(request.path):
            return "objects.list"
        if OBJECT.fullmatch(request.path):
            return "objects.delete" if request.method == "DELETE" else "objects.get"
        return "objects.signed" if "X-Goog-Signature" in request.query else ""

    def answer(self, request: Request, action: str) -> Reply:
        pattern = {"objects.insert": UPLOAD, "objects.signed": DIRECT, "objects.list": LIST}.get(action, OBJECT)
        found = pattern.fullmatch(request.path)
        if found is None or found["bucket"] not in BUCKETS:
            return missing("The specified bucket does not exist.")
        if action == "objects.insert":
            return self._insert(request, found["bucket"])
        if action == "objects.list":
            return json_reply(self._listing(request))
        kept = self._world.recall("object", unquote(found["name"]))
        if kept is None:
            return missing("No such object")
        if action == "objects.delete":
            self._world.forget("object", kept["name"])
            return Reply(204)
        return json_reply(kept) if action == "objects.get" else self._signed(request, kept)

    def _listing(self, request: Request) -> dict[str, Any]:
        """By name, page by page."""
        found = sorted(self._world.all_of("object").items())
        shown = [one for name, one in found if name.startswith(request.query.get("prefix", ""))]
        start, size = int(request.query.get("pageToken", 0) or 0), self._world.rule("page_size") or 1000
        more = {"nextPageToken": str(start + size)} if start + size < len(shown) else {}
        return {"kind": "storage#objects", "items": shown[start : start + size], **more}

    def _insert(self, request: Request, bucket: str) -> Reply:
        """In one request, or resumable: a session is begun, then the bytes are put to it."""
        kind = request.query.get("uploadType")
        if kind == "resumable" and request.method == "POST":
            name = json.loads(request.body or b"{}").get("name") or request.query.get("name", "")
            where = f"{request.base}{request.path}?uploadType=resumable&upload_id=1&name={name}"
            return Reply(200, b"", {"Location": where})
        if kind == "resumable":
            return json_reply(self._keep(bucket, request.query["name"], request.body))
        boundary = request.headers["content-type"].partition("boundary=")[2].strip('"').encode()
        parts = request.body.split(b"--" + boundary)
        about, content = (part.partition(b"\r\n\r\n")[2] for part in parts[1:3])
        return json_reply(self._keep(bucket, json.loads(about)["name"], content.removesuffix(b"\r\n")))

    def _keep(self, bucket: str, name: str, content: bytes) -> dict[str, Any]:
        file = self._folder / hashlib.sha256(name.encode()).hexdigest()
        self._folder.mkdir(exist_ok=True)
        file.write_bytes(content)
        md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
        crc32c = base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
        about = {
            "kind": "storage#object",
            "name": name,
            "bucket": bucket,
            "size": str(len(content)),
            "md5Hash": md5,
            "crc32c": crc32c,
            "timeCreated": datetime.fromtimestamp(self._world.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        self._world.remember("object", name, {**about, "generation": "1"})
        return {**about, "generation": "1"}

    def _signed(self, request: Request, kept: dict[str, Any]) -> Reply:
        """ "Signed URLs": who has it may read until it expires. Its signature is looked at, not verified."""
        query = request.query
        begun = calendar.timegm(time.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ"))
        if self._world.now() > begun + int(query["X-Goog-Expires"]) or len(query["X-Goog-Signature"]) != 512:
            return Reply(400, b"<Error><Code>ExpiredToken</Code></Error>")
        content = (self._folder / hashlib.sha256(kept["name"].encode()).hexdigest()).read_bytes()
        begin = int((re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "")) or ("", "0"))[1])
        return Reply(206 if "range" in request.headers else 200, content[begin:])


def missing(message: str) -> Reply:
    return json_reply({"error": {"code": 404, "message": message, "errors": [{"reason": "notFound"}]}}, 404)
