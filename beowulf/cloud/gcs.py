"""Inputs of jobs in a Cloud Storage bucket: each content once, fetched by any number of machines by signed URLs."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import google.auth
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import NotFound
from google.cloud import storage  # type: ignore[attr-defined]

from beowulf.cloud.gcp_errors import translated
from beowulf.model.renting import Cloud

GOOD_FOR = timedelta(hours=1)
PREFIX = "beowulf"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
CALL_S = 60.0
ONCE: Any = None  # the head tries again by itself


class Bucket:
    """A `sync` depot: ``beowulf/CLUSTER/SHA-256`` in the bucket that the cloud's option ``bucket.REGION`` names. Links
    are signed with the service account's own key, so the credentials have to be one's key file."""

    def __init__(self, cloud: Cloud, region: str, cluster: str) -> None:
        self._cloud, self._cluster = cloud, cluster
        self._bucket = cloud.options[f"bucket.{region}"]
        self._lock = threading.Lock()

    def link(self, content: str, path: Path) -> str:
        with self._lock, translated(f"gs://{self._bucket}"):  # one upload at a time: they share one line
            blob = self._client.bucket(self._bucket).blob(f"{PREFIX}/{self._cluster}/{content}")
            if not blob.exists(timeout=CALL_S, retry=ONCE):
                blob.upload_from_filename(str(path), timeout=CALL_S, retry=ONCE)
            at = {"api_access_endpoint": self._cloud.endpoint} if self._cloud.endpoint else {}
            return str(blob.generate_signed_url(version="v4", expiration=GOOD_FOR, **at))

    def drop(self, before: float) -> int:
        """An upload that broke off ends by itself after a week ("Resumable uploads")."""
        with translated(f"gs://{self._bucket}"):
            blobs = self._client.list_blobs(
                self._bucket, prefix=f"{PREFIX}/{self._cluster}/", timeout=CALL_S, retry=ONCE
            )
            old = [one for one in blobs if one.time_created.timestamp() < before]
            for blob in old:
                with suppress(NotFound):
                    blob.delete(timeout=CALL_S, retry=ONCE)
        return len(old)

    @cached_property
    def _client(self) -> Any:
        credentials, project = google.auth.default(scopes=[SCOPE])
        at = ClientOptions(api_endpoint=self._cloud.endpoint) if self._cloud.endpoint else None
        known = self._cloud.options.get("project") or project
        return storage.Client(project=known, credentials=credentials, client_options=at)
