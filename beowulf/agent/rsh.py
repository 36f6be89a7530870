"""``beowulf-rsh [options] HOST words…``: stands in for ssh where a launcher starts its daemons on the peers.

Asks the attempt's keeper, which asks the head, which asks the peer's keeper. Stays until the daemon ends, passes on
what it writes, and exits with its code. It imports nothing of ours: it runs from the attempt's folder, by itself.
"""

import json
import os
import socket
import struct
import sys
from typing import List, Tuple

# ssh's options that take a value of their own.
WITH_VALUE = "BbcDEeFIiJLlmOopQRSWw"
LENGTHS = struct.Struct(">II")


def split(words: List[str]) -> Tuple[str, List[str]]:
    """(host, the command's words), ssh's options left out."""
    index = 0
    while index < len(words) and words[index].startswith("-") and words[index] != "-":
        word = words[index]
        index += 1
        if word == "--":
            break
        if len(word) == 2 and word[1] in WITH_VALUE:
            index += 1
    if index >= len(words):
        sys.exit("beowulf-rsh: no host given")
    return words[index].rpartition("@")[2], words[index + 1 :]


def daemon_line(words: List[str]) -> str:
    """The shell text to run on the peer.

    What comes before the last unquoted ``;`` sets paths of this very node, and so does the program's folder: the peer
    finds the program by its own PATH.
    """
    text = " ".join(words)
    start, quote = 0, ""
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == ";" and text[index + 1 :].strip():
            start = index + 1
    program, blank, rest = text[start:].strip().rstrip("; ").partition(" ")
    return os.path.basename(program) + blank + rest


def connect() -> socket.socket:
    attempt = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folder = os.open(attempt, os.O_RDONLY | os.O_DIRECTORY)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Socket addresses are short; the folder's descriptor makes any path fit.
    line.connect("/proc/self/fd/{}/keeper.sock".format(folder))
    os.close(folder)
    return line


def exactly(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        if not more:
            sys.exit("beowulf-rsh: the keeper is gone")
        data += more
    return data


def main() -> None:
    host, words = split(sys.argv[1:])
    try:
        line = connect()
    except OSError as error:
        sys.exit("beowulf-rsh: no keeper: {}".format(error))
    text = json.dumps({"type": "shim", "host": host, "argv": [daemon_line(words)], "env": {}}).encode("ascii")
    line.sendall(LENGTHS.pack(len(text), 0) + text)
    while True:
        header_bytes, payload_bytes = LENGTHS.unpack(exactly(line, LENGTHS.size))
        header = json.loads(exactly(line, header_bytes).decode("utf-8"))
        payload = exactly(line, payload_bytes)
        if header["type"] == "spawned" and not header["ok"]:
            sys.stderr.write("beowulf-rsh: {}: {}\n".format(host, header.get("error") or "refused"))
            os._exit(255)
        elif header["type"] == "spawn_output":
            while payload:
                payload = payload[os.write(1, payload) :]
        elif header["type"] == "spawn_exit":
            os._exit(int(header["code"]))


if __name__ == "__main__":
    main()
