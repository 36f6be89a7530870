# Sourced by quickstart and test: installs what is missing and says so first. Leaves $VENV and $PY set.
VENV="${BEOWULF_VENV:-$PWD/.venv}"
PY="$VENV/bin/python"

say() { printf '%s\n' "$*" >&2; }

# Debian packages. Only root can install them; without root what is missing is named and we go on.
need_packages() {
    local missing=() want=(openssh-server iproute2 util-linux procps python3-venv)
    case "$1" in
        tests) want+=(openssh-client rsync slurm-wlm munge prometheus chromium groff-base) ;;
        compiler) want=(g++ make) ;;
        headers) want=(python3-dev) ;;
    esac
    for package in "${want[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" = 0 ]; then
        say "Installing Debian packages: ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        say "Not root: cannot install ${missing[*]} (going on without)."
    fi
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
        "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$candidate"; return; }
    done
    say "beowulf's head needs Python 3.11 or newer with venv (Debian: python3-venv); none was found (set PYTHON=/path/to/python3.11)."
    exit 1
}

# A virtual environment in .venv with beowulf and the named extras; done again only when pyproject.toml changes.
make_venv() {
    local base extras stamp
    extras=$(IFS=,; echo "$*")
    stamp="$VENV/.beowulf-$(cat pyproject.toml scripts/setup.sh | sha256sum | cut -c1-16)-${extras//,/-}"
    [ -e "$stamp" ] && return 0
    base=$(find_python)
    say "Making a virtual environment in $VENV with $base: beowulf and [${extras:-nothing more}]"
    [ -x "$PY" ] || "$base" -m venv "$VENV"
    "$PY" -m pip install -q --disable-pip-version-check uv
    if [[ ",$extras," == *,torch,* ]]; then
        install_torch
    fi
    "$PY" -m pip install -q --disable-pip-version-check -e ".${extras:+[$extras]}"
    touch "$stamp"
}

# The CPU build of torch unless there is a GPU: the plain wheel brings gigabytes of CUDA.
install_torch() {
    "$PY" -c 'import torch' 2>/dev/null && return 0
    if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
        say "Found a GPU: installing torch with CUDA"
        "$PY" -m pip install -q --disable-pip-version-check "torch==$TORCH_VERSION"
    else
        say "No GPU found: installing the CPU build of torch $TORCH_VERSION"
        "$PY" -m pip install -q --disable-pip-version-check "torch==$TORCH_VERSION" ||
            "$PY" -m pip install -q --disable-pip-version-check "torch==$TORCH_VERSION+cpu"
    fi
}
TORCH_VERSION=2.13.0
