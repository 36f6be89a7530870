"""Inputs of jobs in an S3 bucket: each content once, fetched by any number of machines through presigned URLs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from beowulf.cloud.aws import ANSWER_S, CONNECT_S
from beowulf.cloud.aws_errors import code_of, raise_kind
from beowulf.model.errors import Unclear
from beowulf.model.renting import Cloud

GOOD_FOR_S = 3600
PREFIX = "beowulf"


class Bucket:
    """A `sync` depot: ``beowulf/CLUSTER/SHA-256`` in the bucket that the cloud's option ``bucket.REGION`` names."""

    def __init__(self, cloud: Cloud, region: str, cluster: str) -> None:
        self._cloud, self._region, self._cluster = cloud, region, cluster
        self._bucket = cloud.options[f"bucket.{region}"]
        self._lock = threading.Lock()
        self._opened: Any = None

    def link(self, content: str, path: Path) -> str:
        key = f"{PREFIX}/{self._cluster}/{content}"
        client = self._client()
        with self._lock:  # one upload at a time: they share one line, and nothing goes up twice
            try:
                if not self._has(client, key):
                    client.upload_file(str(path), self._bucket, key)
                where = {"Bucket": self._bucket, "Key": key}
                return str(client.generate_presigned_url("get_object", where, ExpiresIn=GOOD_FOR_S))
            except (ClientError, BotoCoreError) as error:
                raise_kind(f"s3://{self._bucket}", error)
            except Boto3Error as error:
                raise Unclear(f"s3://{self._bucket}: {error}") from error

    def drop(self, before: float) -> int:
        """Parts of an upload that broke off are billed and in no list of objects."""
        ours = {"Bucket": self._bucket, "Prefix": f"{PREFIX}/{self._cluster}/"}
        client = self._client()
        try:
            whole = [
                one["Key"]
                for page in client.get_paginator("list_objects_v2").paginate(**ours)
                for one in page.get("Contents", ())
                if one["LastModified"].timestamp() < before
            ]
            broken = [
                (one["Key"], one["UploadId"])
                for page in client.get_paginator("list_multipart_uploads").paginate(**ours)
                for one in page.get("Uploads", ())
                if one["Initiated"].timestamp() < before
            ]
            for key in whole:
                client.delete_object(Bucket=self._bucket, Key=key)
            for key, upload in broken:
                client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
        except (ClientError, BotoCoreError) as error:
            raise_kind(f"s3://{self._bucket}", error)
        return len(whole) + len(broken)

    def _has(self, client: Any, key: str) -> bool:
        try:
            client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchKey", "NotFound"):
                return False
            raise
        return True

    def _client(self) -> Any:
        with self._lock:
            if self._opened is None:
                config = Config(
                    connect_timeout=CONNECT_S,
                    read_timeout=ANSWER_S,
                    signature_version="s3v4",
                    s3={"addressing_style": "path"} if self._cloud.endpoint else None,
                )
                self._opened = boto3.session.Session().client(
                    "s3", self._region, endpoint_url=self._cloud.endpoint or None, config=config
                )
            return self._opened
