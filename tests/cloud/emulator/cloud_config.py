"""The part of cloud-init that the templates use. ``read_config`` is for the emulator, the rest runs on the host.

Modules and their order as cloud-init documents them ("Module reference", "Boot stages"): files, users and ssh keys
before sshd (so a file cannot belong to a user made here), ``runcmd`` last. An unknown key is an error here: real
cloud-init would only warn in a log nobody reads.
"""

import base64
import gzip
import os
import pwd
import subprocess

KNOWN = {
    "users", "ssh_keys", "ssh_authorized_keys", "ssh_deletekeys", "ssh_genkeytypes", "ssh_pwauth", "disable_root",
    "write_files", "runcmd", "bootcmd", "package_update", "package_upgrade", "packages", "hostname",
    "preserve_hostname", "manage_etc_hosts", "final_message", "output",
}  # fmt: skip


def read_config(user_data):
    """User data → plain values. Raises ValueError for what is no cloud-config, and for keys not known here."""
    if not user_data.strip():
        return {}
    if not user_data.startswith("#cloud-config\n"):
        raise ValueError("user data does not begin with #cloud-config")
    import yaml  # only here: hosts have no more than the standard library

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time, where it was built
    config = yaml.load(user_data, Loader=loader) or {}
    unknown = set(config) - KNOWN
    if unknown:
        raise ValueError(f"cloud-config keys the emulator does not know: {', '.join(sorted(unknown))}")
    empty = [key for key, value in config.items() if value == []]
    if empty:
        raise ValueError(f"cloud-init's schema wants at least one item in {', '.join(empty)}")
    return config


def before_sshd(config, etc="/etc"):
    """Everything up to the "config" stage."""
    for command in config.get("bootcmd", []):
        run_one(command)
    for entry in config.get("write_files", []):
        write_one(entry)
    for user in config.get("users", []):
        if user != "default":
            make_user(user)
    for name, text in config.get("ssh_keys", {}).items():
        kind, _, half = name.rpartition("_")
        private = half == "private"
        path = f"{etc}/ssh/ssh_host_{kind}_key{'' if private else '.pub'}"
        put(path, text.strip().encode() + b"\n", 0o600 if private else 0o644)


def last(config):
    """The "final" stage: each command as cloud-init runs it, a list as argv and a string through the shell."""
    for command in config.get("runcmd", []):
        run_one(command)


def run_one(command):
    argv = [str(word) for word in command] if isinstance(command, list) else ["/bin/sh", "-c", command]
    done = subprocess.run(argv, check=False)
    print(f"cloud-init: {argv} ended with {done.returncode}", flush=True)


def make_user(user):
    name = user["name"]
    try:
        pwd.getpwnam(name)
    except KeyError:
        home = user.get("homedir", "/home/" + name)
        argv = ["useradd", "--create-home", "--home-dir", home, "--shell", user.get("shell", "/bin/sh")]
        if user.get("groups"):
            groups = user["groups"] if isinstance(user["groups"], str) else ",".join(user["groups"])
            argv += ["--groups", groups.replace(" ", "")]
        # "*": no password, but not locked either, which an sshd without PAM would turn away.
        subprocess.run([*argv, "--password", "*", name], check=True)
    account = pwd.getpwnam(name)
    folder = os.path.join(account.pw_dir, ".ssh")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    keys = "".join(key.strip() + "\n" for key in user.get("ssh_authorized_keys", []))
    put(os.path.join(folder, "authorized_keys"), keys.encode(), 0o600)
    for path in (folder, os.path.join(folder, "authorized_keys")):
        os.chown(path, account.pw_uid, account.pw_gid)
    sudo = user.get("sudo")
    if sudo:
        rules = [sudo] if isinstance(sudo, str) else sudo
        put("/etc/sudoers.d/90-cloud-init-users", "".join(f"{name} {rule}\n" for rule in rules).encode(), 0o440)


def write_one(entry):
    content = entry.get("content", "").encode()
    encoding = entry.get("encoding", "")
    if encoding in ("b64", "base64", "gz+b64", "gzip+base64"):
        content = base64.b64decode(content)
    if encoding.startswith("gz"):
        content = gzip.decompress(content)
    path = entry["path"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if entry.get("append"):
        with open(path, "ab") as file:
            file.write(content)
    else:
        put(path, content, int(str(entry.get("permissions", "0644")), 8))
    if entry.get("owner"):
        subprocess.run(["chown", entry["owner"], path], check=True)


def put(path, content, mode):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)
