"""What a link that cannot be made means, and what mends it. Keys are the kinds of transport's ``LinkDown``."""

from __future__ import annotations

from collections.abc import Mapping

from beowulf.model.node import Endpoint, Node
from beowulf.probe.finding import Finding, LinkProblem, Severity

# (what, why, mend); {host}, {port}, {user}, {node} and {detail} are filled in.
LINK_PROBLEMS: Mapping[str, tuple[str, str, str]] = {
    "unreachable": (
        "nothing answers at {host} port {port}",
        "the machine is off, its address changed, or a firewall drops us",
        "ping {host}; then on its console: systemctl start ssh, and open port {port}",
    ),
    "timeout_banner": (
        "{host} accepts the connection but its sshd says nothing",
        "sshd is overloaded, waits for DNS, or hangs on a dead home folder",
        "on its console: systemctl restart ssh; and set 'UseDNS no' and a higher MaxStartups in /etc/ssh/sshd_config",
    ),
    "auth_refused": (
        "{host} refuses our key for user {user}",
        "the cluster's public key is not in that user's authorized_keys, or the folder's rights are too open",
        'ssh-copy-id -f -i "${{BEOWULF_HOME:-$HOME/.local/state/beowulf}}/id_ed25519.pub" -p {port} {target}',
    ),
    "host_key_changed": (
        "the host key of {host} is not the one pinned",
        "the machine was installed again, or someone is in between: {detail}",
        "compare the fingerprint on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then: "
        "beowulf nodes rekey {node}",
    ),
    "host_key_unknown": (
        "no host key is pinned for {host}",
        "we connect only to machines whose key an admin has seen",
        "beowulf nodes rekey {node}",
    ),
    "no_python": (
        "{host} has no Python 3.6 or newer",
        "the agent needs one, from the standard library alone",
        "ssh {target} sudo apt install python3 (Red Hat 7: sudo yum install python3), or unpack one into ~/.local/bin",
    ),
    "refused_epoch": (
        "the agent on {host} obeys a newer head",
        "another controller of this cluster was started after this one: {detail}",
        "stop this one: beowulf down; and look which machine runs the newer one",
    ),
    "old_sshd": (
        "the sshd on {host} offers only algorithms we refuse (SHA-1 or DSA)",
        "it is older than OpenSSH 6.5 or was configured so; such signatures can be forged",
        "upgrade its openssh-server; or make a modern key there: sudo ssh-keygen -t ed25519 -f "
        "/etc/ssh/ssh_host_ed25519_key -N '' and remove KexAlgorithms and HostKeyAlgorithms lines from sshd_config",
    ),
    "max_sessions": (
        "the sshd on {host} refuses another session on our connection",
        "MaxSessions is too low: we need one control channel and a few for files",
        "on it: echo 'MaxSessions 20' | sudo tee -a /etc/ssh/sshd_config && sudo systemctl reload ssh",
    ),
    "lost": (
        "the link to {host} broke",
        "the machine or the network went away; running jobs there go on: {detail}",
        "nothing: we keep trying; beowulf nodes show {node} tells when it is back",
    ),
}


def link_finding(node: Node, problem: LinkProblem) -> Finding:
    """The finding for ``problem``; its own sentence where the kind is not one we know."""
    what, why, mend = LINK_PROBLEMS.get(
        problem.kind, ("no link to {host}: {detail}", "jobs cannot start there", "ssh -v -p {port} {target}")
    )
    words = _words(node, problem)
    return Finding(node.id, Severity.ERROR, what.format(**words), why.format(**words), mend.format(**words))


def _words(node: Node, problem: LinkProblem) -> dict[str, object]:
    endpoint = node.endpoint
    return {
        "node": node.id,
        "host": endpoint.host or node.id,
        "port": endpoint.port,
        "user": endpoint.user or "(ours)",
        "target": _target(endpoint),
        "detail": problem.detail or "no more is known",
    }


def _target(endpoint: Endpoint) -> str:
    return f"{endpoint.user}@{endpoint.host}" if endpoint.user else endpoint.host
