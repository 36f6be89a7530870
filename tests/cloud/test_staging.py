"""Inputs through an S3 bucket: up once, fetched without credentials by whoever has the link."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from emulator.starting import Emulator

from beowulf.agent.bulk_fetch import fetched
from beowulf.cloud import registry
from beowulf.model.errors import CloudError
from beowulf.model.renting import Cloud

pytestmark = pytest.mark.usefixtures("aws_credentials")
SIZE = 9 << 20  # more than one part


@pytest.fixture
def s3(cloud: Any) -> Iterator[Emulator]:
    emulator = cloud("ec2", hosts="none")
    path_style = Config(s3={"addressing_style": "path"})
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=emulator.url, config=path_style)
    client.create_bucket(Bucket="inputs")
    yield emulator


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


def test_without_its_bucket_it_says_so(s3: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    depot = registry.depots(clouds(s3, "none"), "lab")["aws:us-east-1"]
    with pytest.raises(CloudError, match="s3://none"):
        depot.link("0" * 64, tmp_path / "file")
    assert s3.machines() == []
