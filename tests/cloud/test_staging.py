"""Inputs through an S3 bucket: up once, fetched without credentials by whoever has the link."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from emulator.starting import Emulator

from beowulf.agent.bulk_fetch import fetched
from beowulf.client.s3 import fetch
from beowulf.client.submitting import packed_spec
from beowulf.cloud import registry
from beowulf.model.errors import BadInput, BeowulfError, CloudError
from beowulf.model.renting import Cloud
from beowulf.specs.job import parse_job

pytestmark = pytest.mark.usefixtures("aws_credentials")
SIZE = 9 << 20  # more than one part


@pytest.fixture(scope="module")
def _cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator.start(tmp_path_factory.mktemp("ec2"), "ec2", hosts="none")
    yield emulator
    emulator.stop()


@pytest.fixture
def s3(_cloud: Emulator) -> Emulator:
    emulator = _cloud
    emulator.reset(hosts="none")
    bucket_client(emulator).create_bucket(Bucket="inputs")
    return emulator


def clouds(emulator: Emulator, bucket: str = "inputs") -> list[Cloud]:
    options = {"bucket.us-east-1": bucket}
    aws = Cloud("aws", "aws", ("us-east-1", "eu-west-1"), image="ami-1", endpoint=emulator.url, options=options)
    return [aws, Cloud("slurm", "slurm")]


def test_it_goes_up_once_and_comes_down_without_credentials(
    s3: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * (SIZE // 256)
    (tmp_path / "large").write_bytes(content)
    name = hashlib.sha256(content).hexdigest()
    for _ in range(2):  # a head that was restarted meanwhile
        depots = registry.depots(clouds(s3), "lab")
        assert list(depots) == ["aws:us-east-1"]
        url = depots["aws:us-east-1"].link(name, tmp_path / "large")
    assert len(s3.calls("CompleteMultipartUpload")) == 1
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert b"".join(fetched(url, SIZE)) == content
    assert "not-a-secret" not in url
    s3.advance(3601)
    with pytest.raises(ValueError, match="403"):
        list(fetched(url, SIZE))


def test_what_lay_there_too_long_is_deleted_and_brought_again(s3: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * SIZE)
    ours, theirs = (registry.depots(clouds(s3), name)["aws:us-east-1"] for name in ("lab", "another-lab"))
    raw = bucket_client(s3)
    for depot, content in ((ours, "a" * 64), (ours, "b" * 64), (theirs, "c" * 64)):
        depot.link(content, tmp_path / "file")
    raw.put_object(Bucket="inputs", Key="beowulf-notes", Body=b"somebody's")
    raw.create_multipart_upload(Bucket="inputs", Key=f"beowulf/lab/{'d' * 64}")  # a head that died on the way
    assert ours.drop(time.time() - 3600.0) == 0 and len(keys_in(raw)) == 4
    s3.rules(lose_replies=[{"action": "DeleteObject"}])
    with contextlib.suppress(CloudError):  # some versions of boto ask again by themselves
        ours.drop(time.time() + 3600.0)
    ours.drop(time.time() + 3600.0)
    assert keys_in(raw) == ["beowulf-notes", f"beowulf/another-lab/{'c' * 64}"]
    assert not raw.list_multipart_uploads(Bucket="inputs").get("Uploads")
    url = ours.link("a" * 64, tmp_path / "file")
    assert b"".join(fetched(url, SIZE)) == b"x" * SIZE


def bucket_client(s3: Emulator) -> Any:
    config = Config(s3={"addressing_style": "path"})
    return boto3.client("s3", region_name="us-east-1", endpoint_url=s3.url, config=config)


def keys_in(raw: Any) -> list[str]:
    return [one["Key"] for one in raw.list_objects_v2(Bucket="inputs")["Contents"]]


def test_without_its_bucket_it_says_so(s3: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    depot = registry.depots(clouds(s3, "none"), "lab")["aws:us-east-1"]
    with pytest.raises(CloudError, match="s3://none"):
        depot.link("0" * 64, tmp_path / "file")
    with pytest.raises(CloudError, match="s3://none"):
        depot.drop(0.0)
    assert s3.machines() == []


@pytest.fixture
def sources(s3: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A user whose SDK knows the endpoint by its own means, and a bucket of inputs."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    client = boto3.session.Session().client("s3")
    for key, body in {"set/a.csv": b"1,2", "set/deep/b.csv": b"3", "set/": b"", "settle.txt": b"no"}.items():
        client.put_object(Bucket="inputs", Key=key, Body=body)
    return client


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_source_in_s3_is_a_folder_that_follows_the_bucket(s3: Emulator, sources: Any) -> None:
    folder = fetch("s3://inputs/set", "file_mounts")
    assert contents(folder) == {"a.csv": b"1,2", "deep/b.csv": b"3"}
    assert fetch("s3://inputs/set/a.csv", "file_mounts").read_bytes() == b"1,2"
    downloads = len(s3.calls("GetObject"))
    sources.put_object(Bucket="inputs", Key="set/a.csv", Body=b"changed")
    sources.delete_object(Bucket="inputs", Key="set/deep/b.csv")
    assert contents(fetch("s3://inputs/set/", "file_mounts")) == {"a.csv": b"changed"}
    assert contents(fetch("s3://inputs/set", "file_mounts")) == {"a.csv": b"changed"}
    assert len(s3.calls("GetObject")) == downloads + 2  # the second spelling is a cache of its own
    assert contents(fetch("s3://inputs/set", "file_mounts")) == {"a.csv": b"changed"}
    assert len(s3.calls("GetObject")) == downloads + 2


@pytest.mark.parametrize(
    ("source", "objects", "said"),
    [
        ("s3://inputs/nothing", {}, "nothing at"),
        ("s3://none/set", {}, "NoSuchBucket"),
        ("s3://", {}, "no bucket"),
        ("s3://inputs/bad", {"bad/../../etc/passwd": b"x"}, "not a plain path"),
        ("s3://inputs/two", {"two/a": b"x", "two/a/b": b"y"}, "a file and a folder"),
    ],
)
def test_what_cannot_be_mounted_is_said(sources: Any, source: str, objects: dict[str, bytes], said: str) -> None:
    for key, body in objects.items():
        sources.put_object(Bucket="inputs", Key=key, Body=body)
    with pytest.raises(BadInput, match=said):
        fetch(source, "file_mounts")


def test_a_job_file_may_mount_it(sources: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mounts = "{data: 's3://inputs/set', one.csv: 's3://inputs/set/a.csv'}"
    request = parse_job(f"name: j\nrun: 'true'\nfile_mounts: {mounts}\n", name="j.yaml")
    spec, packed = packed_spec(request)
    assert [(mount.target, mount.tree.files) for mount in spec.mounts] == [("data", 2), ("", 1)]
    assert [entry.path for entry in packed[1].entries] == ["one.csv"]


def test_a_bucket_without_its_sdk_is_said_by_name(monkeypatch: pytest.MonkeyPatch, s3: Emulator) -> None:
    for module in ("boto3", "beowulf.cloud.s3"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BeowulfError) as caught:
        registry.depots(clouds(s3), "lab")
    assert "is not installed" in caught.value.message and "beowulf[aws]" in caught.value.hint
