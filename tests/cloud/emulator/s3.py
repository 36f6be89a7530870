"""A small S3, path style: buckets, objects, ranges, lists and multipart uploads; counts what leaves it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from emulator.aws_wire import AwsError, iso
from emulator.messages import Reply, Request
from emulator.world import World

SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def action(request: Request) -> str:
    """The S3 operation's name, as far as we have it."""
    _, key = _split(request)
    query, method = request.query, request.method
    if "uploads" in query:
        return "CreateMultipartUpload" if method == "POST" else "ListMultipartUploads"
    if "uploadId" in query:
        return {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}[method]
    if not key:
        return {"PUT": "CreateBucket", "GET": "ListObjectsV2", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}[method]
    return {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}[method]


def answer(world: World, request: Request, name: str) -> Reply:
    bucket, key = _split(request)
    _check_time(world, request)
    if name == "CreateBucket":
        world.remember("bucket", bucket, {})
        return Reply(200, headers={"Location": f"/{bucket}"})
    if world.recall("bucket", bucket) is None:
        raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
    return OPERATIONS[name](world, request, bucket, key)


def _check_time(world: World, request: Request) -> None:
    """A presigned URL is good for so long."""
    if "X-Amz-Expires" in request.query:
        signed = datetime.strptime(request.query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if world.now() > signed + int(request.query["X-Amz-Expires"]):
            raise AwsError("AccessDenied", "Request has expired", 403)


def _split(request: Request) -> tuple[str, str]:
    bucket, _, key = request.path.lstrip("/").partition("/")
    return unquote(bucket), unquote(key)


def _body(request: Request) -> bytes:
    """Without the chunk signatures and trailers of ``aws-chunked``."""
    if "aws-chunked" not in request.headers.get("content-encoding", ""):
        return request.body
    left, whole = request.body, b""
    while left:
        line, _, left = left.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        whole, left = whole + left[:size], left[size + 2 :]
    return whole


def _keep(world: World, bucket: str, key: str, content: bytes) -> str:
    digest = hashlib.md5(content).hexdigest()
    path = _file(world, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    world.remember("object", f"{bucket}/{key}", {"md5": digest, "size": len(content), "at": world.now()})
    return digest


def _file(world: World, digest: str) -> Path:
    return world.folder / "objects" / digest


def _object(world: World, bucket: str, key: str) -> dict[str, Any]:
    found = world.recall("object", f"{bucket}/{key}")
    if found is None:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
    return dict(found)


def _put(world: World, request: Request, bucket: str, key: str) -> Reply:
    if "x-amz-copy-source" in request.headers:
        raise AwsError("NotImplemented", "no copies here", 501)
    return Reply(200, headers={"ETag": f'"{_keep(world, bucket, key, _body(request))}"'})


def _get(world: World, request: Request, bucket: str, key: str) -> Reply:
    found = _object(world, bucket, key)
    headers = {"ETag": f'"{found["md5"]}"', "Last-Modified": "Wed, 02 Sep 2026 00:00:00 GMT", "Accept-Ranges": "bytes"}
    if request.method == "HEAD":
        return Reply(200, headers={**headers, "Content-Length": str(found["size"])})
    content, status = _file(world, found["md5"]).read_bytes(), 200
    wanted = request.headers.get("range", "")
    if wanted.startswith("bytes="):
        first, _, last = wanted[6:].partition("-")
        start, end = int(first), min(int(last or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        content, status = content[start : end + 1], 206
    world.remember("egress", bucket, int(world.recall("egress", bucket) or 0) + len(content))
    return Reply(status, content, headers)


def _delete(world: World, request: Request, bucket: str, key: str) -> Reply:
    world.forget("object" if key else "bucket", f"{bucket}/{key}" if key else bucket)
    return Reply(204)


def _list(world: World, request: Request, bucket: str, key: str) -> Reply:
    prefix, start = request.query.get("prefix", ""), request.query.get("continuation-token", "")
    most = int(request.query.get("max-keys", 1000))
    rows = sorted(
        (name.removeprefix(bucket + "/"), value)
        for name, value in world.all_of("object").items()
        if name.startswith(f"{bucket}/{prefix}")
    )
    rows = [row for row in rows if row[0] > start]
    page, more = rows[:most], len(rows) > most
    text = "".join(
        f'<Contents><Key>{escape(name)}</Key><Size>{value["size"]}</Size><ETag>"{value["md5"]}"</ETag>'
        f"<LastModified>{iso(value['at'])}</LastModified></Contents>"
        for name, value in page
    )
    next_token = f"<NextContinuationToken>{escape(page[-1][0])}</NextContinuationToken>" if more else ""
    return _xml(
        f"<ListBucketResult {SPACE}><Name>{bucket}</Name><KeyCount>{len(page)}</KeyCount>{next_token}"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{text}</ListBucketResult>"
    )


def _begin(world: World, request: Request, bucket: str, key: str) -> Reply:
    upload = hashlib.sha256(f"{bucket}/{key}/{world.now()}".encode()).hexdigest()[:32]
    world.remember("upload", upload, {})
    world.remember("upload-of", upload, {"bucket": bucket, "key": key, "at": world.now()})
    told = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
    return _xml(f"<InitiateMultipartUploadResult {SPACE}>{told}</InitiateMultipartUploadResult>")


def _part(world: World, request: Request, bucket: str, key: str) -> Reply:
    upload = request.query["uploadId"]
    parts = world.recall("upload", upload)
    if parts is None:
        raise AwsError("NoSuchUpload", "The specified upload does not exist.", 404)
    content = _body(request)
    digest = hashlib.md5(content).hexdigest()
    _file(world, digest).parent.mkdir(parents=True, exist_ok=True)
    _file(world, digest).write_bytes(content)
    world.remember("upload", upload, {**parts, request.query["partNumber"]: digest})
    return Reply(200, headers={"ETag": f'"{digest}"'})


def _complete(world: World, request: Request, bucket: str, key: str) -> Reply:
    parts = world.recall("upload", request.query["uploadId"])
    if parts is None:
        raise AwsError("NoSuchUpload", "The specified upload does not exist.", 404)
    tree = ElementTree.fromstring(request.body)
    numbers = [element.text or "" for element in tree.iter() if element.tag.endswith("PartNumber")]
    if not numbers or any(number not in parts for number in numbers):
        raise AwsError("InvalidPart", "One or more of the specified parts could not be found.")
    digest = _keep(world, bucket, key, b"".join(_file(world, parts[number]).read_bytes() for number in numbers))
    world.forget("upload", request.query["uploadId"])
    told = f'<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><ETag>"{digest}-{len(numbers)}"</ETag>'
    return _xml(f"<CompleteMultipartUploadResult {SPACE}>{told}</CompleteMultipartUploadResult>")


def _uploads(world: World, request: Request, bucket: str, key: str) -> Reply:
    """Of those that were begun and neither completed nor aborted, all on one page."""
    begun = [
        (upload, one) for upload, one in world.all_of("upload-of").items() if world.recall("upload", upload) is not None
    ]
    text = "".join(
        f"<Upload><Key>{escape(one['key'])}</Key><UploadId>{upload}</UploadId><Initiated>{iso(one['at'])}</Initiated></Upload>"
        for upload, one in begun
        if one["bucket"] == bucket and one["key"].startswith(request.query.get("prefix", ""))
    )
    told = f"<Bucket>{bucket}</Bucket><IsTruncated>false</IsTruncated>"
    return _xml(f"<ListMultipartUploadsResult {SPACE}>{told}{text}</ListMultipartUploadsResult>")


def _abort(world: World, request: Request, bucket: str, key: str) -> Reply:
    world.forget("upload", request.query["uploadId"])
    return Reply(204)


def _xml(body: str) -> Reply:
    return Reply(200, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode(), {"Content-Type": "application/xml"})


OPERATIONS = {
    "PutObject": _put,
    "GetObject": _get,
    "HeadObject": _get,
    "HeadBucket": lambda world, request, bucket, key: Reply(200),
    "DeleteObject": _delete,
    "DeleteBucket": _delete,
    "ListObjectsV2": _list,
    "CreateMultipartUpload": _begin,
    "UploadPart": _part,
    "CompleteMultipartUpload": _complete,
    "AbortMultipartUpload": _abort,
    "ListMultipartUploads": _uploads,
}
