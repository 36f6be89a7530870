"""Counters of two heartbeats → rates; nvidia-smi's table → loads."""

from beowulf.agent.load import load
from beowulf.probe import GPU_LOAD, GpuLoad, load_between, read_gpu_load

BEFORE = {"cpu_busy": 100, "cpu_all": 1000, "received_bytes": 5000, "sent_bytes": 0}
AFTER = {"cpu_busy": 150, "cpu_all": 1200, "received_bytes": 15000, "sent_bytes": 10, "memory_kib": 8 << 20}


def test_rates_are_means_between_two_heartbeats() -> None:
    found = load_between(BEFORE, {**AFTER, "available_kib": 6 << 20}, since=10.0, now=15.0)
    assert (found.at, found.cpu, found.received_bytes_s, found.sent_bytes_s) == (15.0, 0.25, 2000.0, 2.0)
    assert found.memory_used_mib == 2048


def test_the_first_heartbeat_and_the_one_after_a_reboot_tell_no_rates() -> None:
    first = load_between({}, AFTER, since=0.0, now=15.0)
    assert (first.cpu, first.received_bytes_s) == (-1.0, -1.0)
    rebooted = load_between(AFTER, BEFORE, since=15.0, now=20.0)
    assert (rebooted.cpu, rebooted.received_bytes_s, rebooted.sent_bytes_s) == (-1.0, -1.0, -1.0)


def test_an_old_agent_that_tells_nothing_is_no_error() -> None:
    assert load_between({}, {}, 0.0, 5.0).memory_used_mib == -1


def test_this_machine_tells_all_of_it_and_its_counters_grow() -> None:
    found = load()
    assert set(found) == {"cpu_busy", "cpu_all", "memory_kib", "available_kib", "received_bytes", "sent_bytes"}
    assert 0 < found["available_kib"] < found["memory_kib"]

    def grew() -> bool:
        before, after = load(), load()
        return all(after[name] >= before[name] for name in ("cpu_busy", "cpu_all", "received_bytes"))

    assert any(grew() for _ in range(9))  # not where an interface goes in between, with what it had counted


def test_a_line_of_nvidia_smi_per_gpu_and_what_it_does_not_tell() -> None:
    out = (
        "0, 87, 10240, 71, 248.51\n1, [N/A], 512, 40, [Not Supported]\nUnable to determine the device handle\n2, nan, 1"
    )
    answer = {"code": 0, "out": out, "err": "", "timed_out": False}
    assert read_gpu_load({GPU_LOAD: answer}) == (
        GpuLoad(0, 0.87, 10240, 71, 248.51),
        GpuLoad(1, -1.0, 512, 40, -1.0),
    )
    assert read_gpu_load({}) == ()
