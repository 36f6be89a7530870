"""What Google's errors mean for a launch attempt. https://cloud.google.com/compute/docs/reference/rest/v1/errors"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError, TransportError

from beowulf.model.errors import CloudError, LaunchRefused, NoCapacity, QuotaReached, Unclear

OPERATION_ERRORS: tuple[tuple[str, type[CloudError]], ...] = (
    ("QUOTA_EXCEEDED|LIMIT_EXCEEDED", QuotaReached),
    ("RESOURCE_POOL_EXHAUSTED|STOCKOUT|RESOURCE_NOT_READY|UNSUPPORTED_OPERATION", NoCapacity),
    ("INTERNAL_ERROR|UNAVAILABLE|TIMEOUT", Unclear),
)
THROTTLES = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "concurrentLimitExceeded"}
LOG_IN = "gcloud auth application-default login"
ROLE = "grant the role in nodes/policies/gcp-role.yaml"


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Errors of the SDK become ours; ``what`` was tried."""
    try:
        yield
    except exceptions.GoogleAPICallError as error:
        kind = kind_of_call(error)
        hint = {403: ROLE, 401: LOG_IN}.get(int(error.code or 0), "") if kind is LaunchRefused else ""
        raise kind(f"{what}: {error.message}", hint=hint) from error
    except (exceptions.RetryError, TransportError, OSError) as error:  # those of requests are OSErrors
        raise Unclear(f"{what}: {error}") from error
    except GoogleAuthError as error:
        raise LaunchRefused(f"{what}: {error}", hint=LOG_IN) from error


def kind_of_call(error: exceptions.GoogleAPICallError) -> type[CloudError]:
    reasons = {str(one.get("reason", "")) for one in error.errors if isinstance(one, dict)}
    code = int(error.code or 500)
    if code >= 500 or code in (408, 429) or reasons & THROTTLES:
        return Unclear
    if "quotaExceeded" in reasons:
        return QuotaReached
    if "resourceNotReady" in reasons or "does not exist in zone" in str(error.message):
        return NoCapacity  # the zone does not have this type: another may
    return LaunchRefused


def kind_of_operation(code: str) -> type[CloudError]:
    """Of an operation that was accepted and then failed."""
    return next((kind for pattern, kind in OPERATION_ERRORS if re.search(pattern, code)), LaunchRefused)
