"""EC2, STS and a small S3 as boto3 calls them, behind one address: the signature's scope says which is meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from emulator import ec2_instances, ec2_places, ec2_volumes, imds, s3
from emulator.aws_wire import AwsError, ec2_reply, error_reply, nested, signed_for, sts_reply
from emulator.messages import Reply, Request
from emulator.permissions import of_aws
from emulator.world import Machine, World

ACCOUNT = "111122223333"
VERBS = {**ec2_instances.VERBS, **ec2_places.VERBS, **ec2_volumes.VERBS}


def make(world: World) -> Aws:
    return Aws(world)


class Aws:
    def __init__(self, world: World) -> None:
        self._world = world
        self._metadata = imds.Metadata(world)

    def action(self, request: Request) -> str:
        if signed_for(request)[2] == "s3":
            return s3.action(request)
        return request.form().get("Action", "")

    def answer(self, request: Request, action: str) -> Reply:
        key, region, service = signed_for(request)
        try:
            if not key:
                raise AwsError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
            if key.endswith("INVALID"):
                code = "InvalidClientTokenId" if service == "sts" else "AuthFailure"
                raise AwsError(code, "AWS was not able to validate the provided access credentials", 403)
            if service == "s3":
                return s3.answer(self._world, request, action)
            if service == "sts":
                return self._sts(action, key)
            return ec2_reply(action, self._ec2(action, nested(request.form()), region))
        except AwsError as error:
            return error_reply(service or "ec2", error)

    def _sts(self, action: str, key: str) -> Reply:
        if action != "GetCallerIdentity":
            raise AwsError("InvalidAction", f"Could not find operation {action}")
        arn = f"arn:aws:iam::{ACCOUNT}:user/{key.lower()}"
        return sts_reply(action, {"Arn": arn, "UserId": key, "Account": ACCOUNT})

    def _ec2(self, action: str, given: dict[str, Any], region: str) -> dict[str, Any]:
        verb = VERBS.get(action)
        if verb is None:
            raise AwsError("InvalidAction", f"The action {action} is not valid for this web service.")
        if given.get("DryRun") == "true":
            if action == "RunInstances":
                ec2_instances.may_run(given, self._world, region)
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        return verb(self._world, given, region)

    def refuse(self, request: Request, code: str, message: str, status: int) -> Reply:
        service = signed_for(request)[2] or "ec2"
        if code == "throttled":
            code, status = ("SlowDown", 503) if service == "s3" else ("RequestLimitExceeded", 503)
        if code == "denied":
            code = {"ec2": "UnauthorizedOperation", "sts": "AccessDenied"}.get(service, "AccessDenied")
        return error_reply(service, AwsError(code, message, status))

    def needs(self, request: Request, action: str) -> Iterable[str]:
        service = signed_for(request)[2]
        return of_aws(service, action, request.form() if service == "ec2" else {})

    def metadata(self, machine: Machine, request: Request) -> Reply:
        return self._metadata.answer(machine, request)
