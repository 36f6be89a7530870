"""An existing Slurm cluster as a site: a machine is a pilot job that holds (part of) one compute node.

The job's name carries cluster, machine and token, so a pilot is found in the queue alone, and a token is looked up
before it is submitted. The pilot (`beowulf.agent.pilot`) opens an sshd of its own and writes its address into the job's
comment; the head reaches it through the login host. Slurm has no client library but its commands.
"""

from __future__ import annotations

import importlib.resources
import math
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from beowulf.cloud.commands import LoginHost, Ran, Run, run_here
from beowulf.cloud.options import check_options, number
from beowulf.cloud.provider import Check, Instance, InstanceState, LaunchRequest
from beowulf.model.errors import CloudError, LaunchRefused, NoCapacity, QuotaReached, TokenSpent, Unclear
from beowulf.model.renting import Cloud

PYTHONS = "python3 python3.12 python3.11 python3.9 python3.8 python3.6 /usr/libexec/platform-python /usr/bin/python3"
BATCH = """\
#!/bin/sh
trap '' USR1  # until the pilot takes it
for python in {pythons}; do
    "$python" -S -E -c 'import sys; sys.exit(sys.version_info < (3, 6))' </dev/null >/dev/null 2>&1 || continue
    exec "$python" -I -S - <<'END_OF_PILOT'
{pilot}
sys.exit(main({order!r}))
END_OF_PILOT
done
echo "this node has no Python 3.6 or newer" >&2
exit 127
"""
# Under a lock that its own end releases: two submits of one token make one job, whoever lost sight of the first.
SUBMIT = """\
set -eu
token=$1 name=$2
shift 2
record="$HOME/.beowulf/pilots/$token"
mkdir -p "$HOME/.beowulf/pilots"
exec 9>>"$record"
flock 9
job=$(cat "$record")
[ -n "$job" ] || job=$(squeue --me --states=all --noheader --name="$name" --format=%A)
[ -n "$job" ] || job=$(sacct -n -X -P --name="$name" -S now-7days -o JobIDRaw 2>/dev/null) || job=
[ -n "$job" ] || job=$(sbatch --parsable "$@")
job=$(printf '%s\\n' "$job" | sed -n '1s/;.*//;1p')
printf '%s\\n' "$job" >"$record"
echo "beowulf|$job"
"""
FIND = 'PATH="${1:+$1:}$PATH"; export PATH; shift; exec "$@"'
QUEUE = ("squeue", "--me", "--states=all", "--noheader", "--format=beowulf|%A|%T|%V|%u|%j|%k")
STATES = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"), InstanceState.PENDING),
    **dict.fromkeys(("RUNNING", "RESIZING", "SIGNALING", "STAGE_OUT"), InstanceState.RUNNING),
    **dict.fromkeys(("COMPLETING", "STOPPED"), InstanceState.STOPPING),
    "SUSPENDED": InstanceState.STOPPED,
}
"""https://slurm.schedmd.com/squeue.html, JOB STATE CODES; every other state is an end."""
NOTHING_LAUNCHED: tuple[tuple[str, type[CloudError]], ...] = (
    ("SubmitJobPerUser|SubmitJobLimit|job submit limit|QOSMax|AssocMax|AssocGrp|QOSGrp", QuotaReached),
    ("node configuration is not available|nodes required for job are DOWN", NoCapacity),
    ("partition is down|partition.*inactive", NoCapacity),
    (
        "invalid |violates accounting|not permitted|access.*denied|unrecognized option|more processors requested",
        LaunchRefused,
    ),
)
"""What sbatch says when it refused (its words, as there are no codes)."""
PLAIN = re.compile(r"[A-Za-z0-9._-]+")
NOTICE_S = 180  # before the limit; Slurm may be a minute early


class Slurm:
    """`Provider` for one Slurm cluster. Options: ``login`` (user@host:port; absent: this machine submits), ``programs``
    (the folder of sbatch and its like, where it is not on the PATH), ``arguments`` (for every sbatch:
    ``--account=physics --qos=gpu``), ``limit_hours`` (of a pilot, which ends then whatever runs; 4), ``output`` (of
    pilots: a path that exists on compute nodes, ``%j`` is the job). Offers name partitions as machine types."""

    def __init__(self, cloud: Cloud, cluster: str, run: Run | None = None) -> None:
        check_options(cloud)
        self.name = cloud.name
        self._cluster = cluster
        self._login = cloud.options.get("login", "")
        self._programs = cloud.options.get("programs", "")
        self._arguments = tuple(shlex.split(cloud.options.get("arguments", "")))
        self._limit_s = 3600.0 * number(cloud, "limit_hours")
        self._output = cloud.options.get("output", "/dev/null")
        self._run = run or (LoginHost.of(self._login) if self._login else run_here)

    def create(self, request: LaunchRequest) -> Instance:
        name = ":".join(("beowulf", request.cluster, request.machine_id, request.token))
        for part in (request.cluster, request.machine_id, request.token):
            if not PLAIN.fullmatch(part):
                raise LaunchRefused(f"{part!r} cannot stand in the name of a Slurm job")
        argv = ("sh", "-c", SUBMIT, "beowulf", request.token, name, *self._options(request, name))
        ran = self._command(argv, batch(request))
        found = re.search(r"^beowulf\|(\d+)$", ran.out, re.MULTILINE)
        if not found:
            raise refusal("sbatch", ran)
        for instance in self.list():
            if instance.instance_id == found[1] and instance.state is not InstanceState.GONE:
                return instance
        raise TokenSpent(f"Slurm's job {found[1]} for this token has ended")

    def list(self, regions: Collection[str] = ()) -> Sequence[Instance]:
        ran = self._command(("env", "SLURM_TIME_FORMAT=%s", *QUEUE))
        if ran.code != 0:
            raise Unclear(f"squeue: {ran.err.strip() or ran.code}")
        found = (self._instance(line) for line in ran.out.splitlines() if line.startswith("beowulf|"))
        return [instance for instance in found if instance]

    def destroy(self, instance_id: str) -> None:
        if not instance_id.isdecimal():
            raise LaunchRefused(f"{instance_id!r} is not the number of a Slurm job")
        ran = self._command(("scancel", instance_id))
        if ran.code != 0 and "invalid job id" not in ran.err.lower():
            raise Unclear(f"scancel {instance_id}: {ran.err.strip() or ran.code}")

    def check(self) -> Sequence[Check]:
        checks = [self._check("Slurm's controller", ("sinfo", "--noheader", "--format=%P %a %l %D %T"))]
        checks.append(self._check("flock", ("flock", "--version"), "install util-linux on the login host"))
        options = ("--test-only", "--nodes=1", f"--time={minutes(self._limit_s)}", *self._arguments)
        mend = "mend the site's arguments (--partition=…, --account=…, --qos=…) or limit_hours"
        checks.append(self._check("permission to submit", ("sbatch", *options), mend, "#!/bin/sh\n"))
        return checks

    def _options(self, request: LaunchRequest, name: str) -> tuple[str, ...]:
        offer = request.offer
        limit_s = max(self._limit_s, request.lease_s)
        return (
            f"--job-name={name}",
            "--nodes=1",
            "--ntasks=1",
            f"--cpus-per-task={offer.cpus}",
            f"--mem={offer.memory_mib}M",
            f"--time={minutes(limit_s)}",
            f"--output={self._output}",
            f"--signal=B:USR1@{NOTICE_S}",  # to the pilot; its machine is taken back then
            "--no-requeue",  # a second run of one token would be a second machine
            *((f"--partition={offer.machine_type}",) if offer.machine_type else ()),
            *((f"--gres=gpu:{offer.accelerators}",) if offer.accelerators else ()),
            *self._arguments,
        )

    def _instance(self, line: str) -> Instance | None:
        """Of one line of `QUEUE`; None where it is no pilot of this cluster."""
        _, job, state, submitted, user, name, comment = (*line.split("|", 6), "", "")[:7]
        kind, _, rest = name.partition(":")
        cluster, _, rest = rest.partition(":")
        machine_id, _, token = rest.partition(":")
        if kind != "beowulf" or cluster != self._cluster:
            return None
        address, _, port = comment.strip().rpartition(":")
        return Instance(
            instance_id=job,
            machine_id=machine_id,
            token=token,
            state=STATES.get(state, InstanceState.GONE),
            address=address if port.isdecimal() else "",
            port=int(port) if port.isdecimal() else 22,
            user=user,
            proxy_jump=self._login,
            launched_at=float(submitted) if submitted.isdecimal() else 0.0,
        )

    def _command(self, argv: Sequence[str], stdin: str = "") -> Ran:
        return self._run(("sh", "-c", FIND, "beowulf", self._programs, *argv), stdin)

    def _check(self, what: str, argv: Sequence[str], remedy: str = "", stdin: str = "") -> Check:
        try:
            ran = self._command(argv, stdin)
        except Unclear as error:
            return Check(what, False, error.message, error.hint)
        said = (ran.out.strip() or ran.err.strip()).splitlines() or [""]
        detail = said[0] if ran.code == 0 else ran.err.strip()
        return Check(what, ran.code == 0, detail, "" if ran.code == 0 else remedy or "is Slurm's folder on the PATH?")


def batch(request: LaunchRequest) -> str:
    """The pilot's batch script. Of the cloud-config it needs the host key; the rest of it is root's."""
    order = {
        "host_key": host_key(request.user_data),
        "authorized_key": request.authorized_key,
        "lease_s": request.lease_s,
        "notice_s": NOTICE_S,
        "folder": f"~/.beowulf/{request.cluster}/{request.machine_id}",
    }
    pilot = importlib.resources.files("beowulf.agent").joinpath("pilot.py").read_text(encoding="utf-8")
    return BATCH.format(pythons=PYTHONS, pilot=pilot, order=order)


def host_key(user_data: str) -> str:
    """The private ed25519 key that cloud-init would install. Raises LaunchRefused."""
    config: Any = YAML(typ="safe").load(user_data)
    keys = config.get("ssh_keys") if isinstance(config, Mapping) else None
    if not isinstance(keys, Mapping) or not isinstance(keys.get("ed25519_private"), str):
        raise LaunchRefused("the cloud-config of this launch has no ssh_keys.ed25519_private")
    return str(keys["ed25519_private"])


def minutes(seconds: float) -> int:
    return max(1, math.ceil(seconds / 60))


def refusal(what: str, ran: Ran) -> CloudError:
    said = ran.err.strip() or f"exit code {ran.code}"
    for pattern, kind in NOTHING_LAUNCHED:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(f"{what}: {said}")
    return Unclear(f"{what}: {said}")
