"""The `slurm` provider over a real Slurm (slurmctld, slurmd, munge) on lab hosts, reached through the login host."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from real_slurm import FOLDER, LOGIN, PROGRAMS, USER, RealSlurm
from slurm_conf import installed

from beowulf.cloud.commands import LoginHost, Ran
from beowulf.cloud.provider import Instance, InstanceState, LaunchRequest
from beowulf.cloud.slurm import NOTICE_S, Slurm
from beowulf.lab import Lab
from beowulf.model.cloud import Market, Offer
from beowulf.model.errors import LaunchRefused, TokenSpent, Unclear
from beowulf.model.node import Endpoint
from beowulf.model.renting import Cloud
from beowulf.transport import KeyRing, LinkSettings, SettingsFolder, SshSettings, check, generate_key

pytestmark = [pytest.mark.cluster, pytest.mark.root, pytest.mark.skipif(not installed(), reason="no slurm-wlm, munge")]
OFFER = Offer("slurm", "", "", "main", cpus=1, memory_mib=256)
CLOUD_CONFIG = "#cloud-config\nssh_keys:\n  ed25519_private: |\n{}\n"


@dataclass(frozen=True)
class Bed:
    """A Slurm cluster, and a home that may log in to it: what a head has."""

    slurm: RealSlurm
    home: Path

    @property
    def cloud(self) -> Cloud:
        options = {"login": self.slurm.login, "programs": PROGRAMS, "output": "/var/tmp/pilot-%j.log"}
        return Cloud("slurm", "slurm", options=options)

    def changed(self, **options: str) -> Cloud:
        return replace(self.cloud, options={**self.cloud.options, **options})

    @property
    def keys(self) -> KeyRing:
        return KeyRing(self.home / ".ssh" / "id_ed25519", home=self.home, use_agent=False)

    @property
    def run(self) -> LoginHost:
        return LoginHost(self.slurm.login, self.keys, SettingsFolder(self.home), LinkSettings())

    def site(self, cluster: str, run: Callable[[Sequence[str], str], Ran] | None = None) -> Slurm:
        return Slurm(self.cloud, cluster, run or self.run)

    def request(self, token: str, cluster: str = "cafe", lease_s: float = 900) -> LaunchRequest:
        key = self.home / f"host-{token}"
        generate_key(key)
        private = "\n".join("    " + line for line in key.read_text().splitlines())
        return LaunchRequest(
            token=token,
            machine_id=f"slurm-{token}",
            cluster=cluster,
            offer=OFFER,
            market=Market.ON_DEMAND,
            user_data=CLOUD_CONFIG.format(private),
            authorized_key=(self.home / ".ssh" / "id_ed25519.pub").read_text().strip(),
            lease_s=lease_s,
            max_hourly_usd=0.0,
        )

    def host_key(self, token: str) -> str:
        return (self.home / f"host-{token}.pub").read_text().strip()

    def opened(self, site: Slurm, instance_id: str) -> Instance:
        """The pilot once it tells where its sshd listens."""
        found: list[Instance] = []

        def told() -> bool:
            found[:] = [one for one in site.list() if one.instance_id == instance_id and one.address]
            return bool(found)

        wait_for(told, f"pilot {instance_id} to open")
        return found[0]

    def of_user(self) -> list[str]:
        """Every process on a compute node that Slurm or we brought there."""
        lab = self.slurm.lab
        lines = [line for name in lab.hosts if name != LOGIN for _, line in lab.processes(name)]
        return [line for line in lines if re.search(f"pilot|stray|sshd: {USER}|sshd -i|slurmstepd", line)]

    def jobs(self) -> list[str]:
        return self.slurm.run("squeue", "-h", "-o", "%j").splitlines()


def endpoint(instance: Instance) -> Endpoint:
    return Endpoint(instance.address, instance.port, instance.user, instance.proxy_jump)


def wait_for(condition: Callable[[], bool], what: str, patience_s: float = 120) -> None:
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, f"waited {patience_s:g} s for {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("slurm")
    ssh = folder / "home" / ".ssh"
    ssh.mkdir(parents=True)
    generate_key(ssh / "id_ed25519")
    lab = Lab.up("slurm", 3, labs=folder / "labs", authorized_keys=[ssh / "id_ed25519.pub"])
    try:
        (ssh / "known_hosts").write_text((lab.folder / "known_hosts").read_text())
        yield Bed(RealSlurm(lab), folder / "home")
    finally:
        lab.down(purge=True)


@pytest.fixture(autouse=True)
def empty_queue(bed: Bed) -> Iterator[None]:
    yield
    bed.slurm.run("scancel", "--me")
    wait_for(lambda: not bed.jobs() and not bed.of_user(), f"Slurm to be idle: {bed.jobs()} {bed.of_user()}")


def test_a_pilot_lets_the_head_in_and_leaves_nothing(bed: Bed) -> None:
    site, request = bed.site("cafe"), bed.request("t1")
    made = site.create(request)
    assert (made.machine_id, made.token, made.user) == ("slurm-t1", "t1", USER)
    assert made.state in (InstanceState.PENDING, InstanceState.RUNNING)
    assert site.create(request).instance_id == made.instance_id
    opened = bed.opened(site, made.instance_id)
    assert opened.state is InstanceState.RUNNING
    ssh = SshSettings(bed.home)
    assert check(endpoint(opened), bed.host_key("t1"), bed.keys, ssh=ssh) is None
    other = check(endpoint(opened), bed.slurm.lab.hosts["n2"].host_key, bed.keys, ssh=ssh)
    assert other is not None and other.kind == "host_key_changed"

    site.destroy(made.instance_id)
    wait_for(lambda: not bed.of_user(), "the pilot to be gone")
    assert all(one.state in (InstanceState.STOPPING, InstanceState.GONE) for one in site.list())
    with pytest.raises(TokenSpent):
        site.create(request)
    site.destroy(made.instance_id)
    site.destroy("4000000")


def test_a_session_that_hides_ends_with_its_pilot(bed: Bed) -> None:
    site = bed.site("cafe")
    made = bed.opened(site, site.create(bed.request("hides")).instance_id)
    inside = LoginHost(
        f"{made.user}@{made.address}:{made.port}", bed.keys, _knowing(bed, made, "hides"), LinkSettings()
    )
    stray = "setsid sh -c 'trap \"\" TERM; exec -a stray sleep 1000' </dev/null >/dev/null 2>&1 &"
    assert inside(("bash", "-c", stray.replace("sh -c", "bash -c")), "").code == 0
    wait_for(lambda: any("stray" in line for line in bed.of_user()), "the stray to run")
    site.destroy(made.instance_id)
    wait_for(lambda: not bed.of_user(), "everything to be gone")


def _knowing(bed: Bed, made: Instance, token: str) -> SettingsFolder:
    """A home whose ~/.ssh knows the pilot and the way to it."""
    home = bed.home / f"knows-{token}"
    (home / ".ssh").mkdir(parents=True)
    known = (bed.home / ".ssh" / "known_hosts").read_text()
    (home / ".ssh" / "known_hosts").write_text(f"{known}[{made.address}]:{made.port} {bed.host_key(token)}\n")
    (home / ".ssh" / "config").write_text(f"Host {made.address}\n  ProxyJump {bed.slurm.login}\n")
    return SettingsFolder(home)


def _create_and_die(bed: Bed, token: str) -> None:
    def run(argv: Sequence[str], stdin: str) -> Ran:
        bed.run(argv, stdin)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    bed.site("cafe", run).create(bed.request(token))


def test_a_head_killed_between_sbatch_and_reply_finds_its_pilot_by_name(bed: Bed) -> None:
    child = multiprocessing.get_context("fork").Process(target=_create_and_die, args=(bed, "killed"))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    site = bed.site("cafe")
    (found,) = [one for one in site.list() if one.token == "killed"]
    assert site.create(bed.request("killed")).instance_id == found.instance_id
    assert len(bed.jobs()) == 1


def test_a_login_host_that_lost_the_record_still_submits_once(bed: Bed) -> None:
    """As when sbatch had acted and the script died before it wrote the number down."""
    site, request = bed.site("cafe"), bed.request("unwritten")
    made = site.create(request)
    bed.run(("sh", "-c", ": > .beowulf/pilots/unwritten"), "")
    assert site.create(request).instance_id == made.instance_id
    assert len(bed.jobs()) == 1


def test_two_heads_with_one_token_make_one_job(bed: Bed) -> None:
    request = bed.request("twice")
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.append(bed.site("cafe").create(request).instance_id)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4 and len(set(ids)) == 1
    assert len(bed.jobs()) == 1


def test_without_a_head_the_pilot_ends_by_its_lease(bed: Bed) -> None:
    site = bed.site("cafe")
    with renewing(bed, "slurm-renewed"):
        renewed = bed.opened(site, site.create(bed.request("renewed", lease_s=6)).instance_id)
        # It begins after the other and has the same lease: at its end the other's first one is over as well.
        made = site.create(bed.request("short", lease_s=6))

        def states() -> dict[str, InstanceState]:
            return {one.instance_id: one.state for one in site.list()}

        wait_for(lambda: states().get(made.instance_id, InstanceState.GONE) is InstanceState.GONE, "the lease to end")
        assert states()[renewed.instance_id] is InstanceState.RUNNING


@contextmanager
def renewing(bed: Bed, machine: str) -> Iterator[None]:
    """On whichever node it is: its lease is written again and again as by a head, however slow this process is."""
    lab, folder, going_on = bed.slurm.lab, f"/home/{USER}/.beowulf/cafe/{machine}", f"{FOLDER}/renewing"
    line = "$(cat /proc/sys/kernel/random/boot_id) $(($(cut -d. -f1 /proc/uptime) + 600))"
    write = f'echo "{line}" >{folder}/lease.new; mv {folder}/lease.new {folder}/lease; sleep 0.5'
    begin = f"mkdir -p {folder}; chown -R {USER} /home/{USER}/.beowulf; touch {going_on}"
    nodes = [name for name in lab.hosts if name != LOGIN]
    for name in nodes:
        lab.run(
            name, ["sh", "-c", f"{begin}; (while [ -e {going_on} ]; do {write}; done) </dev/null >/dev/null 2>&1 &"]
        )
    try:
        yield
    finally:
        for name in nodes:
            lab.run(name, ["rm", "-f", going_on])


def test_a_pilot_near_its_limit_leaves_a_notice(bed: Bed) -> None:
    """Slurm's own signal to the batch script, some minutes before the limit."""
    site = bed.site("cafe")
    made = bed.opened(site, site.create(bed.request("limited")).instance_id)
    bed.slurm.run("scancel", "--batch", "--signal=USR1", made.instance_id)
    host = next(name for name, host in bed.slurm.lab.hosts.items() if host.address == made.address)
    told = f"cat /home/{USER}/.beowulf/cafe/slurm-limited/notice /proc/sys/kernel/random/boot_id /proc/uptime"
    wait_for(lambda: bed.slurm.lab.run(host, ["sh", "-c", told]).returncode == 0, "the notice")
    boot_id, at, own_boot_id, uptime, _ = bed.slurm.lab.run(host, ["sh", "-c", told]).stdout.split()
    # Written in whole seconds.
    assert boot_id == own_boot_id and 100 < float(at) - float(uptime) <= NOTICE_S + 1
    assert [one.state for one in site.list() if one.token == "limited"] == [InstanceState.RUNNING]


def test_other_jobs_are_nobodys_machines(bed: Bed) -> None:
    theirs = bed.site("beef").create(bed.request("theirs", cluster="beef"))
    bed.slurm.run("sbatch", "--output=/dev/null", "--job-name=beowulf:cafe", "--wrap=sleep 100")
    bed.slurm.run("sbatch", "--output=/dev/null", "--job-name=thesis", "--wrap=sleep 100")
    listed = lambda: [one.token for one in bed.site("cafe").list() if one.token]  # noqa: E731
    wait_for(lambda: listed() == _tokens(bed, "cafe"), "both to say the same: Slurm may forget an old job in between")
    assert theirs.instance_id not in {one.instance_id for one in bed.site("cafe").list()}
    assert theirs.instance_id in {one.instance_id for one in bed.site("beef").list()}


def _tokens(bed: Bed, cluster: str) -> list[str]:
    names = bed.slurm.run("squeue", "-h", "-t", "all", "-o", "%j").split()
    return [name.split(":")[3] for name in names if name.startswith(f"beowulf:{cluster}:")]


def test_what_slurm_refuses_is_said(bed: Bed) -> None:
    site = bed.site("cafe")
    wrong = replace(bed.request("wrong"), offer=replace(OFFER, machine_type="nowhere"))
    with pytest.raises(LaunchRefused, match="invalid partition"):
        site.create(wrong)
    with pytest.raises(LaunchRefused, match="cannot stand"):
        site.create(replace(bed.request("quoted"), token="x'$(reboot)"))
    assert bed.jobs() == []
    with pytest.raises(Unclear, match=r"not known|refused"):
        bed.site("cafe", replace(bed.run, address="alice@127.0.0.1:1")).list()


def test_the_commands_of_the_docs_find_and_end_pilots_without_a_head(bed: Bed) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "cloud.md").read_text()
    [block] = re.findall(r"```bash\n# Slurm.*?\n(.*?)```", text, re.DOTALL)
    find, end = block.strip().splitlines()
    made = [bed.site(cluster).create(bed.request(f"left-{cluster}", cluster)) for cluster in ("cafe", "beef")]
    bed.slurm.run("sbatch", "--output=/dev/null", "--job-name=thesis", "--wrap=sleep 100")
    told = bed.run(("sh", "-c", f"PATH={PROGRAMS}:$PATH; {find}"), "").out
    assert {line.split()[0] for line in told.splitlines()} == {one.instance_id for one in made}
    assert bed.run(("sh", "-c", f"PATH={PROGRAMS}:$PATH; {end}"), "").code == 0
    wait_for(lambda: bed.jobs() == ["thesis"], "the pilots, and no other job, to end")


def test_login_check(bed: Bed) -> None:
    lines = bed.site("cafe").check()
    assert [line.ok for line in lines] == [True, True, True], lines
    wrong = bed.changed(arguments="--partition=nowhere")
    (line,) = [line for line in Slurm(wrong, "cafe", bed.run).check() if not line.ok]
    assert "invalid partition" in line.detail and "--partition" in line.remedy
    assert bed.jobs() == []
