"""paramiko, made quiet: no polling, no timer thread, no log of its own, the fastest cipher first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko
from paramiko.packet import Packetizer

from beowulf.transport.sockets import SshSocket

LOG_CHANNEL = "beowulf.transport.ssh"
# Failures reach the user as problems; paramiko's own tracebacks would only repeat them.
logging.getLogger(LOG_CHANNEL).setLevel(logging.CRITICAL)

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


class QuietPacketizer(Packetizer):
    # A quarter of what RFC 4344 allows AES under one key (2^32 blocks). paramiko asks for new keys every 512 MB, and
    # while they are made nothing may be sent.
    REKEY_BYTES = 1 << 34
    REKEY_PACKETS = 1 << 31

    def start_handshake(self, timeout: float) -> None:
        """No timer thread of paramiko's: ``deadline`` ends a handshake that hangs."""


class QuietTransport(paramiko.Transport):
    """One SSH connection. Idle, its thread sleeps in ``recv``."""

    def __init__(self, sock: SshSocket, host_keys: tuple[str, ...]) -> None:
        # paramiko takes anything with recv, send, close and settimeout; its type stubs ask for a real socket.
        super().__init__(sock, packetizer_class=QuietPacketizer)  # type: ignore[arg-type]
        self.set_log_channel(LOG_CHANNEL)
        self.clear_to_send_timeout = 5.0
        options = self.get_security_options()
        options.ciphers = CIPHERS
        options.digests = MACS
        options.key_types = host_keys
        self.offered: dict[str, object] = {}

    def _really_parse_kex_init(self, m: paramiko.Message, ignore_first_byte: bool = False) -> dict[str, object]:
        parsed: dict[str, object] = super()._really_parse_kex_init(m, ignore_first_byte)  # type: ignore[misc]
        if not ignore_first_byte:
            # Copied, because paramiko strips the list it goes on with.
            self.offered = {name: list(value) if isinstance(value, list) else value for name, value in parsed.items()}
        return parsed

    def accepted(self) -> dict[str, tuple[str, ...]]:
        """What we offer, by SSH's names of the lists."""
        options = self.get_security_options()
        return {
            "kex_algo_list": tuple(options.kex),
            "server_key_algo_list": tuple(options.key_types),
            "server_encrypt_algo_list": tuple(options.ciphers),
            "server_mac_algo_list": tuple(options.digests),
        }


@contextmanager
def deadline(transport: paramiko.Transport, seconds: float) -> Iterator[threading.Event]:
    """Close the connection, and set the event, unless the block is left in time: paramiko has waits without an end."""
    passed = threading.Event()

    def end() -> None:
        passed.set()
        transport.close()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield passed
    finally:
        timer.cancel()
