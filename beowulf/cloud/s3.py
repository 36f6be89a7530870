"""Inputs of jobs in an S3 bucket: each content once, fetched by any number of machines through presigned URLs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from beowulf.cloud.aws import ANSWER_S, CONNECT_S, code_of, raise_kind
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
        with self._lock:  # one upload at a time: they share one line, and nothing goes up twice
            client = self._client()
            try:
                if not self._has(client, key):
                    client.upload_file(str(path), self._bucket, key)
                where = {"Bucket": self._bucket, "Key": key}
                return str(client.generate_presigned_url("get_object", where, ExpiresIn=GOOD_FOR_S))
            except (ClientError, BotoCoreError) as error:
                raise_kind(f"s3://{self._bucket}", error)
            except Boto3Error as error:
                raise Unclear(f"s3://{self._bucket}: {error}") from error

    def _has(self, client: Any, key: str) -> bool:
        try:
            client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchKey", "NotFound"):
                return False
            raise
        return True

    def _client(self) -> Any:
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
