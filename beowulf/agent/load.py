"""How busy the machine is, as counters since its boot: three short files, read with every heartbeat."""

from typing import Dict, List


def load() -> Dict[str, int]:
    """``cpu_busy`` and ``cpu_all`` in ticks, memory in KiB, network in bytes; without what is not told here."""
    found: Dict[str, int] = {}
    for path, read in (("/proc/stat", _processor), ("/proc/meminfo", _memory), ("/proc/net/dev", _network)):
        try:
            with open(path) as file:
                found.update(read(file.readlines()))
        except (OSError, ValueError, IndexError):
            pass  # a heartbeat says what it can
    return found


def _processor(lines: List[str]) -> Dict[str, int]:
    # user nice system idle iowait irq softirq steal; guest times are in user already.
    ticks = [int(word) for word in lines[0].split()[1:9]]
    idle = sum(ticks[3:5])
    return {"cpu_busy": sum(ticks) - idle, "cpu_all": sum(ticks)}


def _memory(lines: List[str]) -> Dict[str, int]:
    sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.split()}
    available = sizes.get("MemAvailable", sizes["MemFree"] if "MemFree" in sizes else 0)
    return {"memory_kib": sizes.get("MemTotal", 0), "available_kib": available}


def _network(lines: List[str]) -> Dict[str, int]:
    received = sent = 0
    for line in lines[2:]:
        name, _, counts = line.partition(":")
        if name.strip() != "lo":
            words = counts.split()
            received, sent = received + int(words[0]), sent + int(words[8])
    return {"received_bytes": received, "sent_bytes": sent}
