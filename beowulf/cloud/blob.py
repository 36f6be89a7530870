"""Inputs of jobs in an Azure Blob container: each content once, fetched by any number of machines by signed URLs."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient, generate_blob_sas

from beowulf.cloud.azure import credential
from beowulf.cloud.azure_errors import translated
from beowulf.model.errors import LaunchRefused
from beowulf.model.renting import Cloud

GOOD_FOR = timedelta(hours=1)
SKEW = timedelta(minutes=5)  # a link begins so long ago: clocks differ
PREFIX = "beowulf"


class Container:
    """A `sync` depot: ``beowulf/CLUSTER/SHA-256`` in the container whose URL the cloud's option ``bucket.REGION`` is.
    Links are signed with a key that Azure lends the head's identity for the hour, so no account key is needed."""

    def __init__(self, cloud: Cloud, region: str, cluster: str) -> None:
        self._cloud, self._cluster = cloud, cluster
        self._url = cloud.options[f"bucket.{region}"].rstrip("/")
        self._lock = threading.Lock()

    def link(self, content: str, path: Path) -> str:
        with self._lock, translated(self._url):  # one upload at a time: they share one line
            blob = self._container.get_blob_client(f"{PREFIX}/{self._cluster}/{content}")
            if not blob.exists():
                with path.open("rb") as file:
                    blob.upload_blob(file, overwrite=True)
            return f"{blob.url}?{self._signed(blob.blob_name)}"

    def drop(self, before: float) -> int:
        """Blocks of an upload that broke off are thrown away after a week ("Put Block")."""
        with translated(self._url):
            listed = self._container.list_blobs(name_starts_with=f"{PREFIX}/{self._cluster}/")
            old = [one.name for one in listed if one.last_modified.timestamp() < before]
            for name in old:
                with suppress(ResourceNotFoundError):
                    self._container.delete_blob(name)
        return len(old)

    def _signed(self, name: str) -> str:
        account = self._service.account_name
        if account is None:
            raise LaunchRefused(f"{self._url} is no container's URL", hint="https://ACCOUNT.blob.core.windows.net/NAME")
        now = datetime.now(UTC)
        key = self._service.get_user_delegation_key(now - SKEW, now + GOOD_FOR)
        return generate_blob_sas(
            account,
            self._container.container_name,
            name,
            user_delegation_key=key,
            permission="r",
            start=now - SKEW,
            expiry=now + GOOD_FOR,
        )

    @cached_property
    def _container(self) -> ContainerClient:
        known = credential(self._cloud)
        return ContainerClient.from_container_url(self._url, credential=known, retry_total=0)

    @cached_property
    def _service(self) -> BlobServiceClient:
        return BlobServiceClient(self._url.rpartition("/")[0], credential=credential(self._cloud), retry_total=0)
