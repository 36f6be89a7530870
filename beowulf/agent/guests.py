"""Who talks to a keeper: the link of the day, the remote-shell shims of its processes, and the per-rank wrappers.

Each says who it is with its first frame: ``attach``, ``shim`` or ``rank``.
"""

import array
import os
import socket
from typing import Any, Callable, Dict, List, Optional

from beowulf.agent import identity, sweep, wire
from beowulf.agent.channel import Channel
from beowulf.agent.folder import checked
from beowulf.agent.identity import Identity
from beowulf.agent.loop import READ
from beowulf.agent.process import Started

_LINK_WAITING_LIMIT_BYTES = 4 * 1024 * 1024
_ASK_AGAIN_S = 2.0
_ASK_RARELY_S = 32.0


class Shim:
    """A launcher's remote shell that waits for its daemon, and what it asked for."""

    def __init__(self, channel: Channel, request: wire.Header) -> None:
        self.channel = channel
        self.request = request


class Rank:
    """A rank under somebody else's launcher, as its wrapper announced it."""

    def __init__(self, name: str, who: Optional[Identity]) -> None:
        self.name = name
        self.who = who
        self.over = False


class Guests:
    def __init__(self, keeper: Any, listener: socket.socket, link: int) -> None:
        self._keeper = keeper
        self._link: Optional[Channel] = None
        self._shims: Dict[str, Shim] = {}
        self._ask_next_s = 0.0  # until the shims' wishes are said again; 0: there are none
        self._daemons: Dict[str, Started] = {}
        self._ranks: List[Rank] = []
        self._count = 0
        self._requests: Dict[str, Callable[[wire.Header, bytes], None]] = {
            "go": lambda header, payload: keeper.launch(),
            "kill": lambda header, payload: keeper.end("killed", float(header["grace_s"])),
            "signal": lambda header, payload: keeper.signal_ranks(int(header["signal"])),
            "renew": lambda header, payload: keeper.renew(float(header["lease_s"])),
            "spawned": self._to_shim,
            "spawn_output": self._to_shim,
            "spawn_exit": self._to_shim,
            "spawn_here": self._spawn_here,
            "spawn_kill": self._spawn_kill,
        }
        self._attach(Channel(keeper.loop, link, link, self._from_link, self._link_gone))
        listener.setblocking(False)
        keeper.loop.watch(listener.fileno(), READ, lambda events: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        try:
            guest = listener.accept()[0].detach()
        except OSError:
            return

        def first(header: wire.Header, payload: bytes) -> None:
            if header["type"] == "attach":
                self._attach(channel)
                channel.send(dict(self._keeper.state(), type="state"))
                self._keeper.tell_cleared()
            elif header["type"] == "shim":
                self._welcome_shim(channel, header)
            elif header["type"] == "rank":
                self._welcome_rank(channel, guest, header)
            else:
                channel.close()

        channel = Channel(self._keeper.loop, guest, guest, first, lambda reason: None)

    # The link ------------------------------------------------------------------------------------------------

    def _attach(self, channel: Channel) -> None:
        if self._link is not None:
            self._link.close()
        self._link = channel
        channel.on_frame = self._from_link
        channel.on_close = self._link_gone
        if self._shims:
            self._keeper.loop.later(_ASK_AGAIN_S, self._ask)

    def _link_gone(self, reason: str) -> None:
        self._link = None

    def _from_link(self, header: wire.Header, payload: bytes) -> None:
        request = self._requests.get(header["type"])
        if request is not None:
            request(header, payload)

    def tell(self, header: wire.Header, payload: bytes = b"") -> None:
        if self._link is not None:
            self._link.send(header, payload)

    def tell_grown(self, sizes: Dict[str, int]) -> bool:
        """False when the link is too busy to hear it now."""
        if self._link is not None and self._link.waiting_bytes:
            return False
        self.tell({"type": "grown", "sizes": sizes})
        return True

    def farewell(self, limit_s: float, then: Callable[[], None]) -> None:
        """Calls ``then`` once the link has all we said."""
        if self._link is None or not self._link.waiting_bytes:
            then()
            return
        self._link.on_drain = then
        self._link.on_close = lambda reason: then()
        self._keeper.loop.later(limit_s, then)

    # Shims: a launcher here wants a daemon on a peer ----------------------------------------------------------

    def _welcome_shim(self, channel: Channel, header: wire.Header) -> None:
        if not self._keeper.order.get("spawn"):
            channel.send({"type": "spawned", "ok": False, "error": "this job may not start daemons on other nodes"})
            return
        self._count += 1
        number = "{}#{}-{}".format(self._keeper.folder.tag, os.getpid(), self._count)
        channel.on_close = lambda reason: self._shim_gone(number)
        request = {"type": "spawn", "id": number, "host": header["host"], "argv": header["argv"], "env": header["env"]}
        self._shims[number] = Shim(channel, request)
        self.tell(request)
        if not self._ask_next_s:
            self._keeper.loop.later(_ASK_AGAIN_S, self._ask_again)
        self._ask_next_s = _ASK_AGAIN_S

    def _ask_again(self) -> None:
        """Until a shim hears how its daemon ended: the wish, or the answer, may have died with a link or a head. The
        peer starts a number once."""
        self._ask()
        self._ask_next_s = min(2.0 * self._ask_next_s, _ASK_RARELY_S) if self._shims else 0.0
        if self._shims:
            self._keeper.loop.later(self._ask_next_s, self._ask_again)

    def _ask(self) -> None:
        for shim in self._shims.values():
            self.tell(shim.request)

    def _shim_gone(self, number: str) -> None:
        if self._shims.pop(number, None) is not None:
            self.tell({"type": "spawn_kill", "id": number})

    def _to_shim(self, header: wire.Header, payload: bytes) -> None:
        shim = self._shims.get(header["id"])
        if shim is not None:
            shim.channel.send(header, payload)
        if header["type"] == "spawn_exit":
            self._shims.pop(header["id"], None)

    # Daemons: a launcher on a peer wants one here --------------------------------------------------------------

    def _spawn_here(self, header: wire.Header, payload: bytes) -> None:
        number = header["id"]
        if number in self._daemons:
            if self._daemons[number].over:
                self._tell_end(number)
            return
        if self._keeper.phase in ("prepared", "holding"):
            return  # a peer that was let go sooner will ask again
        if not self._keeper.order.get("spawn") or self._keeper.phase != "running":
            self.tell({"type": "spawn_exit", "id": number, "code": 255})
            return
        # As sshd does: one line for a shell, made of the words with blanks between.
        argv = ["/bin/sh", "-c", " ".join(header["argv"])]
        process = {"id": "daemon-{}".format(len(self._daemons)), "argv": argv, "env": header.get("env") or {}}
        try:
            self._daemons[number] = self._keeper.start_process(process)
        except OSError as error:
            self.tell({"type": "spawn_output", "id": number}, "{}\n".format(error).encode("utf-8", "replace"))
            self.tell({"type": "spawn_exit", "id": number, "code": 255})

    def _spawn_kill(self, header: wire.Header, payload: bytes) -> None:
        daemon = self._daemons.get(header["id"])
        if daemon is not None and not daemon.over:
            self._keeper.end_branch(daemon.who)

    def output(self, stream: str, data: bytes) -> None:
        """Passes on what a daemon wrote; its log has it anyway."""
        if not stream.startswith("daemon-") or self._link is None:
            return
        if self._link.waiting_bytes > _LINK_WAITING_LIMIT_BYTES:
            return
        for number, daemon in self._daemons.items():
            if daemon.name == stream:
                self._link.send({"type": "spawn_output", "id": number}, data)

    def daemon_over(self, process: Started) -> bool:
        """Whether it was a daemon; its end goes to the shim that wanted it."""
        for number, daemon in self._daemons.items():
            if daemon is process:
                self._tell_end(number)
                return True
        return False

    def _tell_end(self, number: str) -> None:
        daemon = self._daemons[number]
        code = daemon.code if daemon.code is not None else 128 + int(daemon.signal or 0)
        self.tell({"type": "spawn_exit", "id": number, "code": code})

    # Ranks -----------------------------------------------------------------------------------------------------

    def _welcome_rank(self, channel: Channel, guest: int, header: wire.Header) -> None:
        rank = Rank(checked(header["rank"]), None)
        self._ranks.append(rank)
        writer = self._keeper.outputs.open(rank.name)
        channel.on_frame = lambda answer, payload: self._from_rank(rank, answer)
        channel.on_close = lambda reason: self._rank_gone(rank)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.dup(guest)) as lent:
            lent.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writer]))])
        os.close(writer)

    def _from_rank(self, rank: Rank, header: wire.Header) -> None:
        if header["type"] == "rank_started":
            rank.who = identity.identity(int(header["pid"]))
        elif header["type"] == "rank_exit" and not rank.over:
            rank.over = True
            error = header.get("error") or ""
            record = {"process": rank.name, "code": header["code"], "signal": header["signal"], "error": error}
            self._keeper.note_exit(record)

    def _rank_gone(self, rank: Rank) -> None:
        if not rank.over:
            rank.over = True
            error = "its wrapper was ended before it could tell how the rank ended"
            self._keeper.note_exit({"process": rank.name, "code": None, "signal": 9, "error": error})

    def rank_processes(self) -> List[Identity]:
        """The ranks that run, and everything below them."""
        ranks = [rank.who for rank in self._ranks if rank.who is not None and not rank.over]
        return [who for rank in ranks for who in [rank, *sweep.below(rank.pid)]]
