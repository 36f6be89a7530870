"""What EC2's errors mean for a launch attempt. API Reference, "Error codes for the Amazon EC2 API"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from beowulf.model.errors import CloudError, LaunchRefused, NoCapacity, QuotaReached, TokenSpent, Unclear

NO_CAPACITY = """
    InsufficientInstanceCapacity InsufficientHostCapacity InsufficientCapacity InsufficientFreeAddressesInSubnet
    InsufficientAddressCapacity InsufficientVolumeCapacity SpotMaxPriceTooLow Unsupported
"""
QUOTA = """
    InstanceLimitExceeded VcpuLimitExceeded MaxSpotInstanceCountExceeded VolumeLimitExceeded
    NetworkInterfaceLimitExceeded
"""
# Nobody knows whether an earlier call of this token acted, and these pass: a throttle, or credentials that ran out.
PASSING = """
    RequestLimitExceeded Throttling ThrottlingException RequestThrottled ResourceCountExceeded ConcurrentModification
    RequestExpired ExpiredToken ExpiredTokenException AuthFailure InvalidClientTokenId SignatureDoesNotMatch
"""
KINDS: Mapping[str, type[CloudError]] = {
    **dict.fromkeys(NO_CAPACITY.split(), NoCapacity),
    **dict.fromkeys(QUOTA.split(), QuotaReached),
    **dict.fromkeys(("IdempotentParameterMismatch", "IdempotentInstanceTerminated"), TokenSpent),
    **dict.fromkeys(PASSING.split(), Unclear),
}
"""EC2's words; of others 5xx is Unclear, else LaunchRefused."""
LOG_IN = "aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the head's environment"
LOG_IN_CODES = (
    "AuthFailure InvalidClientTokenId SignatureDoesNotMatch ExpiredToken ExpiredTokenException RequestExpired"
)
HINTS = {
    **dict.fromkeys(LOG_IN_CODES.split(), LOG_IN),
    "UnauthorizedOperation": "the permissions to paste are in nodes/policies/aws-launch.json",
    "InvalidAMIID.NotFound": "images differ by region: set image.REGION, or one that begins with resolve:ssm:",
}


def raise_kind(action: str, error: ClientError | BotoCoreError) -> NoReturn:
    message = f"{action}: {said(error)}"
    if isinstance(error, ClientError):
        code = code_of(error)
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        kind = KINDS.get(code, Unclear if status >= 500 or status == 0 else LaunchRefused)
        raise kind(message, hint=HINTS.get(code, "")) from error
    if isinstance(error, NoCredentialsError | ParamValidationError):
        raise LaunchRefused(message, hint=LOG_IN if isinstance(error, NoCredentialsError) else "") from error
    raise Unclear(message) from error


def code_of(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def said(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        told = error.response.get("Error", {})
        return f"{told.get('Code', '?')}: {told.get('Message', '')}"
    return str(error)
