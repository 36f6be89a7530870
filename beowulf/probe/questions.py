"""What to ask a node, as the ``ask`` frame wants it: ``{name, argv or path, timeout_s}``.

Each question stands alone, so that what hangs (a dead NFS server, a wedged GPU driver) takes only its own answer with
it. Nothing but `/bin/sh` is taken for granted: where a tool is missing, the snippet falls back to /proc and /sys.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

QUICK_S = 5.0
SLOW_S = 10.0  # GPU tools take seconds to wake a driver without persistence mode; file systems may have to spin up

SEARCH_PATH = ":".join(
    (
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "/usr/lib64/openmpi/bin:/usr/lib64/mpich/bin",  # where Red Hat hides its MPIs
        "/usr/lib/wsl/lib:/usr/local/nvidia/bin:/opt/rocm/bin:/opt/aws/neuron/bin",
    )
)
PROLOGUE = f'LC_ALL=C; export LC_ALL; PATH="${{PATH:+$PATH:}}{SEARCH_PATH}"; export PATH\n'

# The shell reads what it can: each program that is started takes a slow machine milliseconds, and there are dozens.
FIRST = """
first() { value=; [ -r "$1" ] && read -r value 2>/dev/null < "$1"; }
"""

IDENTITY = (
    FIRST
    + """
first /proc/sys/kernel/hostname; echo "hostname=$value"
first /etc/machine-id; [ -n "$value" ] || first /var/lib/dbus/machine-id; echo "machine_id=$value"
first /proc/sys/kernel/random/boot_id; echo "boot_id=$value"
set -- $(uname -rm); echo "kernel=$1"; echo "arch=$2"
echo "user=$(id -un 2>/dev/null)"
echo "uid=$(id -u)"
echo "home=$HOME"
echo "ssh=$SSH_CONNECTION"
first /sys/class/dmi/id/product_name; echo "product=$value"
"""
)

OPERATING_SYSTEM = "cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release 2>/dev/null || cat /etc/redhat-release"

LIBC = "getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | head -n 2"

# /proc/cpuinfo in full would be half a megabyte on a big machine: the flags once, the topology per thread.
CPUINFO = """
grep -m 1 -E '^(model name|cpu model|Hardware|Processor|cpu)[[:space:]]*:' /proc/cpuinfo
grep -m 1 -E '^(flags|Features)[[:space:]]*:' /proc/cpuinfo
grep -E '^(processor|physical id|core id)[[:space:]]*:' /proc/cpuinfo
"""

TOPOLOGY = "lscpu -p=CPU,CORE,SOCKET"

LSCPU_NAME = "grep -q '^model name' /proc/cpuinfo || lscpu | grep -E '^Model name'"  # where the kernel has none

# A container or a cgroup may hold less than the machine has; the tightest limit on the way up counts.
MEMORY = (
    FIRST
    + """
grep -E '^(MemTotal|MemAvailable|MemFree|Buffers|Cached):' /proc/meminfo
climb() {
  folder=$1$2
  while :; do
    first "$folder/$3"; [ -n "$value" ] && echo "limit=$value"
    [ "$folder" = "$1" ] && break
    folder=${folder%/*}
    case $folder in "$1"*) ;; *) break ;; esac
  done
}
while IFS=: read -r number controllers path; do
  [ "$path" = / ] && path=
  case $controllers in
    "") climb /sys/fs/cgroup "$path" memory.max ;;
    *memory*) climb /sys/fs/cgroup/memory "$path" memory.limit_in_bytes ;;
  esac
done < /proc/self/cgroup
"""
)

DISK = """
[ -e "$1" ] || { echo absent; exit 0; }
df -P -k "$1"
[ -w "$1" ] || echo unwritable
"""

# `speed` of a link that is down, or of a virtual one, cannot be read: that is not an error.
LINKS = (
    FIRST
    + """
for path in /sys/class/net/*; do
  [ -e "$path" ] || continue
  first "$path/operstate"; state=${value:-unknown}
  first "$path/speed"; echo "link ${path##*/} $state ${value:-0}"
done
"""
)

ADDRESSES = "ip -o addr show 2>/dev/null || ifconfig -a"

# All peers in one go; busybox's ip takes no batch.
ROUTES = """
for peer; do echo "peer $peer"; done
found=$(for peer; do echo "route get $peer"; done | ip -o -force -batch - 2>/dev/null)
if [ -n "$found" ]; then echo "$found"; else for peer; do ip -o route get "$peer" 2>/dev/null; done; fi
echo table; cat /proc/net/route
echo local; cat /proc/net/fib_trie 2>/dev/null
"""

PCI = """
for path in /sys/bus/pci/devices/*; do
  [ -r "$path/class" ] || continue
  read -r class < "$path/class"; read -r vendor < "$path/vendor"; read -r device < "$path/device"
  read -r subsystem < "$path/subsystem_device"
  case $vendor in 0x10de|0x1002|0x1da3|0x1d0f|0x1ae0) echo "$class $vendor $device $subsystem" ;; esac
done
for file in /proc/driver/nvidia/version; do [ -r "$file" ] && head -n 1 "$file"; done
for path in /dev/accel[0-9]* /dev/nvidia[0-9]*; do [ -e "$path" ] && echo "device $path"; done
:
"""

NVIDIA = """
command -v nvidia-smi >/dev/null 2>&1 || exit 127
echo "== query"
nvidia-smi --format=csv,noheader,nounits \
  --query-gpu=index,name,memory.total,uuid,driver_version,compute_cap,mig.mode.current 2>&1 || {
  echo "== basic"; nvidia-smi --format=csv,noheader,nounits --query-gpu=index,name,memory.total,uuid,driver_version 2>&1
  echo "== list"; nvidia-smi -L 2>&1
}
"""

AMD = """
command -v rocm-smi >/dev/null 2>&1 || exit 127
rocm-smi --showproductname --showmeminfo vram --showuniqueid --showdriverversion --json
"""

GAUDI = """
command -v hl-smi >/dev/null 2>&1 || exit 127
hl-smi -Q index,name,memory.total,uuid,driver_version -f csv,noheader,nounits 2>&1
"""

NEURON = """
command -v neuron-ls >/dev/null 2>&1 || exit 127
neuron-ls -j
"""

# Since driver 535 "throttle" is spelt "event".
CLOCKS = """
for path in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
  [ -r "$path/cpuinfo_max_freq" ] && echo "cpu $(cat "$path/scaling_max_freq") $(cat "$path/cpuinfo_max_freq")"
done
command -v nvidia-smi >/dev/null 2>&1 || exit 0
for word in event throttle; do
  fields=index,clocks_${word}_reasons.active,clocks.sm,clocks.max.sm
  nvidia-smi --format=csv,noheader,nounits --query-gpu=$fields 2>/dev/null | sed 's/^/gpu /' | grep 0x && break
done
:
"""

# Of several names for one program the first is asked: each answer is the start of a Python.
PYTHONS = """
set --
for minor in "" 15 14 13 12 11 10 9 8 7 6; do
  name=python3${minor:+.$minor}
  for path in /usr/bin/$name "$(command -v $name 2>/dev/null)" /usr/local/bin/$name /opt/$name/bin/$name; do
    [ -x "$path" ] || continue
    for known; do [ "$path" -ef "$known" ] && continue 2; done
    set -- "$@" "$path"
    "$path" -S -c 'import sys; print("%d.%d.%d %s" % (*sys.version_info[:3], sys.executable))' 2>/dev/null &
  done
done
wait
"""

MPI = "command -v mpirun >/dev/null 2>&1 && mpirun --version 2>&1 | head -n 5 || ompi_info --version 2>&1 | head -n 1"

LOGIND = """
login=org.freedesktop.login1
[ -S /run/dbus/system_bus_socket ] && busctl get-property $login /org/freedesktop/login1 $login.Manager \
  KillUserProcesses KillExcludeUsers 2>/dev/null && exit 0
grep -h -E '^(KillUserProcesses|KillExcludeUsers)=' /etc/systemd/logind.conf /usr/lib/systemd/logind.conf.d/*.conf \\
  /etc/systemd/logind.conf.d/*.conf 2>/dev/null
"""

TOOLS = """
sshd=$(command -v sshd) && "$sshd" -V </dev/null 2>&1 | grep -m 1 -o -E 'OpenSSH_[0-9][^ ,]*'
:
"""


# A process that had less than ten seconds of processor time cannot have kept a thread busy since the last look.
DESCRIBE = """
describe() {
  read -r line < "/proc/$1/stat" 2>/dev/null || return 0
  name=${line#*\\(}; name=${name%)*}
  set -- "$1" ${line##*) }
  [ $(( $8 & 2097152 )) -eq 0 ] || return 0
  used=$(( (${13} + ${14}) / ticks ))
  [ "$used" -ge "$least" ] || return 0
  tag=$(tr '\\0' '\\n' < "/proc/$1/environ" 2>/dev/null | grep -m 1 '^BEOWULF_JOB=')
  user=$(stat -c %U "/proc/$1" 2>/dev/null)
  printf 'process\\t%s%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' "$prefix" "$1" "${21}" "$used" "$user" "$tag" "$name"
}
ticks=$(getconf CLK_TCK 2>/dev/null || echo 100); prefix=
"""

PROCESSES = (
    DESCRIBE
    + """
read -r up rest < /proc/uptime; printf 'uptime\\t%s\\n' "$up"
least=10
for path in /proc/[0-9]*; do describe "${path#/proc/}"; done
:
"""
)

GPU_USE = (
    "command -v nvidia-smi >/dev/null 2>&1 || exit 127\n"
    + DESCRIBE
    + """
least=0
nvidia-smi --format=csv,noheader,nounits --query-gpu=index,uuid,memory.used |
  sed -n 's/^\\([0-9]*\\), *\\([^,]*\\), *\\([0-9]*\\).*/gpu\\t\\1\\t\\2\\t\\3/p'
nvidia-smi --format=csv,noheader,nounits --query-compute-apps=gpu_uuid,pid |
  while IFS=', ' read -r uuid pid rest; do
    case $pid in ""|*[!0-9]*) continue ;; esac
    prefix="$uuid	"
    found=$(describe "$pid")
    [ -n "$found" ] || found=$(printf 'process\\t%s\\t%s\\t0\\t0\\t\\t\\ta process' "$uuid" "$pid")
    printf '%s\\n' "$found"
  done
:
"""
)


def use() -> list[dict[str, Any]]:
    """The questions that show who else works on the node; asked far more often than the rest."""
    return [_shell("processes", PROCESSES, timeout_s=SLOW_S), _shell("gpu use", GPU_USE, timeout_s=SLOW_S)]


def questions(peers: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The ``questions`` of an ``ask`` frame. ``peers``: addresses of the head and of other nodes, to find the
    interface that routes to them; names are left out, because only the kernel's routing table is asked.
    """
    return [
        _shell("identity", IDENTITY),
        _shell("os", OPERATING_SYSTEM),
        _shell("libc", LIBC),
        _shell("cpuinfo", CPUINFO),
        _shell("topology", TOPOLOGY),
        _shell("lscpu", LSCPU_NAME),
        {"name": "status", "path": "/proc/self/status", "timeout_s": QUICK_S},
        _shell("memory", MEMORY),
        {"name": "mounts", "path": "/proc/self/mounts", "timeout_s": QUICK_S},
        _shell("disk home", 'set -- "$HOME"\n' + DISK, timeout_s=SLOW_S),
        _shell("disk work", 'set -- "$HOME/.beowulf"\n' + DISK, timeout_s=SLOW_S),
        _shell("disk tmp", 'set -- "${TMPDIR:-/tmp}"\n' + DISK, timeout_s=SLOW_S),
        _shell("links", LINKS),
        _shell("addresses", ADDRESSES),
        _shell("routes", ROUTES, *_numeric(peers)),
        _shell("pci", PCI),
        _shell("nvidia", NVIDIA, timeout_s=SLOW_S),
        _shell("amd", AMD, timeout_s=SLOW_S),
        _shell("gaudi", GAUDI, timeout_s=SLOW_S),
        _shell("neuron", NEURON, timeout_s=SLOW_S),
        _shell("clocks", CLOCKS, timeout_s=SLOW_S),
        _shell("pythons", PYTHONS, timeout_s=SLOW_S),
        _shell("mpi", MPI, timeout_s=SLOW_S),
        _shell("logind", LOGIND),
        _shell("tools", TOOLS),
        *use(),
    ]


def _shell(name: str, snippet: str, *arguments: str, timeout_s: float = QUICK_S) -> dict[str, Any]:
    return {"name": name, "argv": ["/bin/sh", "-c", PROLOGUE + snippet, "probe", *arguments], "timeout_s": timeout_s}


def _numeric(peers: Iterable[str]) -> list[str]:
    found = []
    for peer in peers:
        try:
            found.append(str(ip_address(peer)))
        except ValueError:
            continue
    return found[:16]
