"""docs/cloud.md as a newcomer walks through it: the settings printed there, every `beowulf cloud` command, and what is
said when credentials are missing, wrong or may not do something. No machine is rented."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
import yaml
from emulator.azure import GROUP, SUBSCRIPTION
from emulator.starting import Emulator
from real_head import RealHead
from test_azure import azure_credentials
from test_gcp import google_credentials

__all__ = ["azure_credentials", "google_credentials"]
pytestmark = pytest.mark.usefixtures("aws_credentials")
TEXT = (Path(__file__).resolve().parents[2] / "docs" / "cloud.md").read_text()
ORDER = ("aws", "gcp", "azure")


@pytest.fixture
def emulators(
    cloud: Callable[..., Emulator], google_credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Emulator]:
    made = {name: cloud("ec2" if name == "aws" else name, hosts="none") for name in ORDER}
    account = json.loads(google_credentials.read_text())
    google_credentials.write_text(json.dumps({**account, "token_uri": f"{made['gcp'].url}/token"}))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made["azure"].certificate))
    return made


def settings(emulators: dict[str, Emulator]) -> str:
    """The samples of the docs in one file, with the newcomer's own names in them, and the emulators for endpoints."""
    text = TEXT.replace("SUBSCRIPTION", SUBSCRIPTION).replace("GROUP", GROUP).replace("PROJECT", "emulated")
    ec2 = boto3.client("ec2", region_name="us-east-1", endpoint_url=emulators["aws"].url)
    group = ec2.create_security_group(GroupName="beowulf", Description="ssh from the head")["GroupId"]
    text = text.replace("sg-0123456789abcdef0", group)
    samples = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    clouds = {name: part for one in samples for name, part in one.get("clouds", {}).items() if name in emulators}
    for name, part in clouds.items():
        part["endpoint"] = emulators[name].url
    clouds["azure"]["options"]["authority"] = emulators["azure"].url
    return yaml.safe_dump({"clouds": clouds, "burst": {"budget": {"month": 50}}})


def test_every_command_of_a_newcomer(fresh_head: RealHead, emulators: dict[str, Emulator]) -> None:
    fresh_head.home.mkdir()
    (fresh_head.home / "settings.yaml").write_text(settings(emulators))
    fresh_head.up()
    checked = fresh_head.cli("cloud", "login-check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for line in ("aws: ok: credentials: arn:", "gcp: ok: permission compute.", "azure: ok: cores in eastus"):
        assert line in checked.stdout
    offers = fresh_head.cli("cloud", "offers", "--gpu", "T4").stdout
    assert all(name in offers for name in ("g4dn.xlarge", "n1-standard-4", "Standard_NC4as_T4_v3"))
    assert fresh_head.cli("cloud", "ls").returncode == 0
    swept = fresh_head.cli("cloud", "gc")
    assert (swept.returncode, "nothing is rented" in swept.stderr) == (0, True), swept
    spent = fresh_head.cli("cloud", "cost", "--by", "job")
    assert spent.returncode == 0 and "the month's budget is $50.00" in spent.stderr
    gone = fresh_head.cli("cloud", "terminate", "aws-7")
    assert gone.returncode != 0 and "aws-7" in gone.stderr
    emulators["gcp"].rules(denied=["instances.aggregatedList"])
    unsure = fresh_head.cli("cloud", "gc")
    assert unsure.returncode == 1 and "gcp does not answer" in unsure.stderr
    permissions_lack(fresh_head, emulators)
    assert not any(one.machines() for one in emulators.values())


def permissions_lack(head: RealHead, emulators: dict[str, Emulator]) -> None:
    emulators["aws"].rules(denied=["RunInstances"])
    emulators["gcp"].rules(denied=["compute.instances.setMetadata"])
    emulators["azure"].rules(denied=["usages/read"])
    checked = head.cli("cloud", "login-check")
    assert checked.returncode == 1
    said = checked.stdout.splitlines()
    for what, mend in (
        ("aws: MISSING: ec2:RunInstances in us-east-1", "nodes/policies/aws-launch.json"),
        ("gcp: MISSING: permission compute.instances.setMetadata", "nodes/policies/gcp-role.yaml"),
        ("azure: MISSING: region eastus", "nodes/policies/azure-quota-role.json"),
    ):
        [at] = [number for number, line in enumerate(said) if line.startswith(what)]
        assert said[at + 1].startswith("    mend: ") and mend in said[at + 1]
    assert sum("MISSING" in line for line in said) == 3


@pytest.mark.slow  # each provider's own test has the short form
@pytest.mark.parametrize("how", ["missing", "wrong"])
def test_what_is_said_of_credentials(
    how: str, fresh_head: RealHead, emulators: dict[str, Emulator], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fresh_head.home.mkdir()
    (fresh_head.home / "settings.yaml").write_text(settings(emulators))
    if how == "wrong":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAINVALID")
        monkeypatch.setenv("AZURE_CLIENT_SECRET", "stolen")
        (tmp_path / "key.json").write_text("{}")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    else:
        for name in (
            *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS"),
            *("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
        ):
            monkeypatch.delenv(name)
        monkeypatch.setenv("NO_GCE_CHECK", "true")  # neither SDK need wait for the metadata of a cloud we are not in
        monkeypatch.setenv("HOME", str(tmp_path))
    fresh_head.up()
    for name, mend in (("aws", "aws configure"), ("gcp", "gcloud auth"), ("azure", "az login")):
        checked = fresh_head.cli("cloud", "login-check", name)
        assert checked.returncode == 1
        [missing, mended] = checked.stdout.splitlines()
        assert missing.startswith(f"{name}: MISSING: ") and mend in mended, checked.stdout
