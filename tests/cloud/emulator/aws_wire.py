"""How AWS's query services speak: nested form keys in, XML out, errors in each service's own envelope."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from emulator.messages import Reply, Request

EC2_SPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
STS_SPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
REQUEST_ID = "59dbff89-35bd-4eac-99ed-be587EXAMPLE"
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([a-z0-9-]+)/([a-z0-9]+)/aws4_request")


class AwsError(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def signed_for(request: Request) -> tuple[str, str, str]:
    """(access key, region, service) of the signature's scope; empty words where the request is not signed."""
    text = request.headers.get("authorization", "")
    if not text and "X-Amz-Credential" in request.query:
        text = f"Credential={request.query['X-Amz-Credential']}"
    found = _CREDENTIAL.search(text)
    return (found[1], found[2], found[3]) if found else ("", "", "")


def nested(form: dict[str, str]) -> dict[str, Any]:
    """``{"Tag.1.Key": "a", "Tag.1.Value": "b"}`` → ``{"Tag": [{"Key": "a", "Value": "b"}]}``."""
    root: dict[str, Any] = {}
    for name, value in form.items():
        place = root
        *steps, last = name.split(".")
        for step in steps:
            place = place.setdefault(step, {})
        place[last] = value
    return {key: _listed(value) for key, value in root.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(inner) for key, inner in value.items()}


def xml(value: Any) -> str:
    """Dictionaries become elements, lists ``item``s, None nothing, times ISO 8601."""
    if isinstance(value, dict):
        return "".join(f"<{key}>{xml(inner)}</{key}>" for key, inner in value.items() if inner is not None)
    if isinstance(value, list):
        return "".join(f"<item>{xml(inner)}</item>" for inner in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def ec2_reply(action: str, value: dict[str, Any]) -> Reply:
    body = f'<{action}Response xmlns="{EC2_SPACE}"><requestId>{REQUEST_ID}</requestId>{xml(value)}</{action}Response>'
    return _xml_reply(200, body)


def sts_reply(action: str, value: dict[str, Any]) -> Reply:
    result = f"<{action}Result>{xml(value)}</{action}Result>"
    meta = f"<ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata>"
    return _xml_reply(200, f'<{action}Response xmlns="{STS_SPACE}">{result}{meta}</{action}Response>')


def error_reply(service: str, error: AwsError) -> Reply:
    told = f"<Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
    if service == "s3":
        body = f"<Error>{told}<RequestId>{REQUEST_ID}</RequestId></Error>"
    elif service == "ec2":
        body = f"<Response><Errors><Error>{told}</Error></Errors><RequestID>{REQUEST_ID}</RequestID></Response>"
    else:
        error_element = f"<Error><Type>Sender</Type>{told}</Error>"
        body = f"<ErrorResponse>{error_element}<RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
    return _xml_reply(error.status, body)


def _xml_reply(status: int, body: str) -> Reply:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    return Reply(status, text.encode(), {"Content-Type": "text/xml;charset=UTF-8"})
