"""A real Slurm within lab hosts: Debian's slurm-wlm and munge; ``n1`` is the login host and the controller, the others
compute. The user ``alice`` lives on every host, with a home of her own on each (nothing is shared)."""

from __future__ import annotations

from slurm_conf import CGROUP, configuration, wait_idle

from beowulf.lab import Lab

LOGIN = "n1"
USER = "alice"
FOLDER = "/run/slurm"
PROGRAMS = f"{FOLDER}/bin"
FURNISH = f"""set -e
echo '{USER}:*:4321:4321::/home/{USER}:/bin/sh' >>/etc/passwd
echo '{USER}:x:4321:' >>/etc/group
mkdir -p /home/{USER} {FOLDER}/state {FOLDER}/spool/$(hostname) {PROGRAMS} /run/munge
chown 4321:4321 /home/{USER}
chown munge:munge /run/munge && chmod 755 /run/munge
setpriv --reuid=munge --regid=munge --clear-groups munged --force
printf %s "$1" >{FOLDER}/slurm.conf
printf %s "$2" >{FOLDER}/cgroup.conf
for name in sbatch squeue scancel sinfo sacct scontrol; do
    printf '#!/bin/sh\\nSLURM_CONF={FOLDER}/slurm.conf exec %s "$@"\\n' $(command -v $name) >{PROGRAMS}/$name
    chmod 755 {PROGRAMS}/$name
done
"""


class RealSlurm:
    """Up as soon as it is made; it ends with the lab's hosts."""

    def __init__(self, lab: Lab, cpus: int = 2) -> None:
        self.lab = lab
        nodes = {name: host.address for name, host in lab.hosts.items() if name != LOGIN}
        conf = configuration(LOGIN, lab.hosts[LOGIN].address, FOLDER, nodes, cpus)
        for name in lab.hosts:
            self._root(name, "sh", "-c", FURNISH, "sh", conf, CGROUP)
        self._root(LOGIN, "slurmctld", "-f", f"{FOLDER}/slurm.conf")
        for name in nodes:
            self._root(name, "slurmd", "-f", f"{FOLDER}/slurm.conf")
        wait_idle(lambda: self.run("sinfo", "-h", "-o", "%t %D"), len(nodes))

    @property
    def login(self) -> str:
        host = self.lab.hosts[LOGIN]
        return f"{USER}@{host.address}:{host.port}"

    def run(self, program: str, *arguments: str) -> str:
        """What one of Slurm's commands prints on the login host, run by the user."""
        drop = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
        return self.lab.run(LOGIN, (*drop, f"{PROGRAMS}/{program}", *arguments)).stdout

    def _root(self, name: str, *argv: str) -> None:
        done = self.lab.run(name, argv)
        assert done.returncode == 0, f"{argv} on {name}: {done.stdout}{done.stderr}"
