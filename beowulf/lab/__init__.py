"""The virtual lab: real sshd hosts on one machine, to try things on before touching the real ones."""

from beowulf.lab.lab import Host, HostStatus, Lab

__all__ = ["Host", "HostStatus", "Lab"]
