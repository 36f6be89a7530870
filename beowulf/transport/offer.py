"""What a server offered in its key exchange, and why nothing of it will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from beowulf.transport.problem import LinkFailed, ProblemKind, failed

# SSH's name of the list → what to call it, sshd_config's name of it, an entry any OpenSSH from 6.5 on can add
LISTS = {
    "kex_algo_list": ("key exchange", "KexAlgorithms", "curve25519-sha256@libssh.org"),
    "server_key_algo_list": ("host key", "HostKeyAlgorithms", "ssh-ed25519"),
    "server_encrypt_algo_list": ("cipher", "Ciphers", "aes128-ctr"),
    "server_mac_algo_list": ("MAC", "MACs", "hmac-sha2-256"),
}


def nothing_in_common(where: str, offered: Mapping[str, object], ours: Mapping[str, Sequence[str]]) -> LinkFailed:
    """The problem with the lists that do not meet, and what to put into that machine's sshd_config."""
    complaints: list[str] = []
    cures: list[str] = []
    for name, (called, setting, entry) in LISTS.items():
        listed = offered.get(name)
        theirs = tuple(str(item) for item in listed) if isinstance(listed, list) else ()
        if theirs and not set(theirs) & set(ours[name]):
            complaints.append(f"as {called} only {', '.join(theirs)}")
            cures.append(f"{setting} +{entry}")
    said = " and ".join(complaints) or "only what we no longer accept (SHA-1, DSA)"
    return failed(
        ProblemKind.OLD_SSHD,
        f"the sshd of {where} is too old or too restricted: it offers {said}",
        f"upgrade OpenSSH there, or add to its sshd_config: {'; '.join(cures) or 'newer algorithms'}; "
        "make an ed25519 host key with: ssh-keygen -A",
    )
