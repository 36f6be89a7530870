"""A burst job's inputs by way of S3: up once, fetched by two real machines that have no credentials."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from emulator.starting import Emulator
from real_head import RealHead
from test_burst import SETTINGS, nothing_is_left, spec

from beowulf.client.pack import pack

pytestmark = [pytest.mark.root, pytest.mark.cluster, pytest.mark.usefixtures("aws_credentials")]
SIZE = 3 << 20


def test_two_machines_fetch_what_went_up_once(cloud: Callable[..., Emulator], tmp_path: Path) -> None:
    ec2 = cloud("ec2")
    url = ec2.inside_url()
    path_style = Config(s3={"addressing_style": "path"})
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=url, config=path_style)
    client.create_bucket(Bucket="inputs")
    work = tmp_path / "work"
    work.mkdir()
    (work / "large.bin").write_bytes(bytes(range(256)) * (SIZE // 256))
    (tmp_path / "head").mkdir()
    settings = SETTINGS.format(url=url).replace("address: private", "address: private, bucket.us-east-1: inputs")
    (tmp_path / "head" / "settings.yaml").write_text(settings)
    head = RealHead(tmp_path / "head")
    head.up()
    try:
        packed = pack(work)
        head.client.put_tree(packed.digest, packed.chunks())
        job = head.submit(replace(spec("sha256sum large.bin; env", nodes=2), workdir=packed.tree))
        done = head.ended(job, 120)
        assert done["word"] == "COMPLETED", done["reason"] + head.log()
        wanted = hashlib.sha256((work / "large.bin").read_bytes()).hexdigest()
        for process in ("0", "1"):
            text = head.text(job, process).decode()
            assert wanted in text and "AWS_" not in text
        assert (len(ec2.calls("PutObject")), len(ec2.calls("GetObject"))) == (1, 2)
        nothing_is_left(head, ec2)
    finally:
        head.down()
