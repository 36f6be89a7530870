"""What Azure's errors mean for a launch attempt. https://learn.microsoft.com/troubleshoot/azure/virtual-machines/
(allocation-failure, error-not-available, and azure/quotas for the limits)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from beowulf.model.errors import CloudError, LaunchRefused, NoCapacity, QuotaReached, Unclear

ROLE = "assign the role in nodes/policies/azure-role.json on the resource group"
LOG_IN = "az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
CODES: tuple[tuple[str, type[CloudError]], ...] = (
    ("QuotaExceeded|LimitReached|LimitExceeded", QuotaReached),
    ("SkuNotAvailable|AllocationFailed|OverconstrainedAllocation|OverconstrainedZonal|ZoneNotFound", NoCapacity),
    ("TooManyRequests|Throttl|RetryableError|AnotherOperationInProgress|Conflict|OperationPreempted", Unclear),
    ("InternalExecutionError|InternalOperationError|InternalServerError|ServerTimeout|NetworkingInternal", Unclear),
)
WORDS: tuple[tuple[str, type[CloudError]], ...] = (
    ("quota", QuotaReached),
    ("max price|not available in location|no capacity", NoCapacity),
)
"""OperationNotAllowed says either in its message alone."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Errors of the SDKs become ours; ``what`` was tried."""
    try:
        yield
    except ClientAuthenticationError as error:
        raise LaunchRefused(f"{what}: {of_credentials(error)}", hint=LOG_IN) from error
    except HttpResponseError as error:
        code, message, status = told(error)
        kind, sentence = kind_of(code, message, status), f"{what}: {code or status}: {message}"
        if kind is Unclear:
            raise Unclear(sentence, after_s=retry_after_s(error)) from error
        raise kind(sentence, hint=ROLE if "AuthorizationFailed" in code else "") from error
    except (AzureError, OSError) as error:  # nothing came back, or nothing was sent
        raise Unclear(f"{what}: {error}") from error


def retry_after_s(error: HttpResponseError) -> float:
    """What a throttled call has to wait, in seconds, as Azure Resource Manager says it; 0: it does not."""
    response: Any = error.response
    said = str(response.headers.get("Retry-After", "")) if response else ""
    return float(said) if said.isdecimal() else 0.0


def of_credentials(error: ClientAuthenticationError) -> str:
    """`DefaultAzureCredential` tells of every kind it tried; what matters is one that was there and was refused."""
    if error.response is not None:
        code, message, _ = told(error)
        return f"{code}: {message}"
    lines = [line.strip() for line in error.message.splitlines()]
    return "; ".join(line for line in lines if "Authentication failed:" in line) or lines[0]


def told(error: HttpResponseError) -> tuple[str, str, int]:
    """(code, message, HTTP status); a failed operation's error comes with status 200."""
    inner = error.error
    code = str(getattr(inner, "code", "") or "")
    message = str(getattr(inner, "message", "") or error.message)
    return code, message, int(error.status_code or 0)


def kind_of(code: str, message: str, status: int) -> type[CloudError]:
    if status == 429 or status >= 500:
        return Unclear
    for pattern, kind in CODES:
        if re.search(pattern, code):
            return kind
    if code == "OperationNotAllowed":
        return next((kind for pattern, kind in WORDS if re.search(pattern, message, re.IGNORECASE)), LaunchRefused)
    return LaunchRefused


def operation_failed(error: HttpResponseError) -> bool:
    """Whether an accepted operation ended like this; else only the question after it was refused."""
    return not isinstance(error, ClientAuthenticationError) and 0 < int(error.status_code or 0) < 400
