"""Content that the node fetches itself from a URL that the head signed: the only key to it, so it is never printed."""

import time
from typing import Iterator

CHUNK = 256 * 1024
TRIES = 3
SILENCE_S = 60.0


def fetched(url: str, length: int) -> Iterator[bytes]:
    """``length`` bytes in pieces; a connection that breaks is taken up where it ended. Raises ``ValueError``."""
    from urllib.request import Request, urlopen  # slow to import, and rarely needed

    done, said = 0, ""
    for attempt in range(TRIES):
        try:
            reply = urlopen(Request(url, headers={"Range": "bytes={}-".format(done)}), timeout=SILENCE_S)
            with reply:
                if done and reply.status != 206:
                    raise OSError("it does not go on in the middle")
                while done < length:
                    piece = reply.read(min(CHUNK, length - done))
                    if not piece:
                        break
                    done += len(piece)
                    yield piece
        except OSError as error:
            said = ": {}".format(error)
            if 400 <= getattr(error, "code", 0) < 500:
                break  # the link is not good, or not any more
        if done == length:
            return
        time.sleep(0.2 * 4**attempt)
    raise ValueError("the content store gave {} of {} bytes{}".format(done, length, said))
