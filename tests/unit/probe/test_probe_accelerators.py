"""Every quirk of the vendors' tools that we know, as the tool printed it."""

from pathlib import Path

import pytest

from beowulf.model.node import Gpu
from beowulf.probe.accelerators import read_accelerators
from beowulf.probe.answers import Answers
from beowulf.probe.kinds import compute_capability, gaudi_kind, gpu_kind, neuron_kind

FIXTURES = Path(__file__).parent / "fixtures"


def reading(**answers: dict[str, object]) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    return read_accelerators(Answers(answers))


def printed(fixture: str, code: int = 0) -> dict[str, object]:
    return {"code": code, "out": (FIXTURES / fixture).read_text(), "err": "", "timed_out": False}


def topics(complaints: tuple[str, ...]) -> list[str]:
    return [sentence.partition(": ")[0] for sentence in complaints]


def test_two_healthy_cards() -> None:
    gpus, complaints = reading(nvidia=printed("nvidia-smi-535-two-rtx3090.txt"))
    assert [(gpu.index, gpu.kind, gpu.memory_mib, gpu.compute_capability, gpu.healthy) for gpu in gpus] == [
        (0, "RTX3090", 24576, "8.6", True),
        (1, "RTX3090", 24576, "8.6", True),
    ]
    assert gpus[0].driver == "535.183.01" and gpus[0].uuid.startswith("GPU-5a6f")
    assert complaints == ()


def test_old_driver_without_compute_cap_is_asked_again_and_the_number_comes_from_the_name() -> None:
    gpus, complaints = reading(nvidia=printed("nvidia-smi-470-k80-no-compute-cap-field.txt"))
    assert [(gpu.kind, gpu.compute_capability, gpu.memory_mib) for gpu in gpus] == [("K80", "3.7", 11441)] * 2
    assert complaints == ()


def test_units_in_spite_of_nounits_and_not_supported() -> None:
    gpus, complaints = reading(nvidia=printed("nvidia-smi-340-gtx-titan-mib-units.txt"))
    assert [(gpu.kind, gpu.memory_mib) for gpu in gpus] == [("GTXTITANBlack", 6143), ("K620", 2047)]
    assert gpus[1].uuid == "" and all(gpu.healthy for gpu in gpus) and complaints == ()


def test_a_split_gpu_is_left_out_with_a_reason() -> None:
    gpus, _ = reading(nvidia=printed("nvidia-smi-550-a100-mig.txt"))
    assert [(gpu.kind, gpu.healthy) for gpu in gpus] == [("A100-80GB", False), ("A100-80GB", True)]
    assert gpus[0].complaint.startswith("GPU split (MIG): ")


def test_err_values_make_only_their_card_unhealthy() -> None:
    gpus, _ = reading(nvidia=printed("nvidia-smi-390-err-values.txt"))
    assert [(gpu.index, gpu.healthy) for gpu in gpus] == [(0, True), (1, False), (2, False)]
    assert gpus[1].complaint == "GPU lost: GPU 1 answers ERR!"


def test_a_card_that_requires_a_reset() -> None:
    gpus, _ = reading(nvidia=printed("nvidia-smi-555-gpu-requires-reset.txt"))
    assert [(gpu.kind, gpu.healthy) for gpu in gpus] == [("H100", True), ("H100", False)]
    assert gpus[1].complaint.startswith("GPU needs reset: ")


def test_a_card_off_the_bus_leaves_the_others_and_says_so() -> None:
    gpus, complaints = reading(nvidia=printed("nvidia-smi-450-gpu-is-lost.txt", code=15))
    assert [(gpu.index, gpu.kind, gpu.compute_capability) for gpu in gpus] == [
        (0, "RTX2080Ti", "7.5"),
        (2, "RTX2080Ti", "7.5"),
    ]
    assert "GPU lost" in topics(complaints) and "0000:02:00.0" in complaints[0]


@pytest.mark.parametrize(
    ("fixture", "code", "topic"),
    [
        ("nvidia-smi-525-driver-library-mismatch.txt", 18, "GPU driver mismatch"),
        ("nvidia-smi-418-driver-not-loaded.txt", 9, "GPU driver not loaded"),
    ],
)
def test_no_driver_no_gpus_one_complaint(fixture: str, code: int, topic: str) -> None:
    gpus, complaints = reading(nvidia=printed(fixture, code))
    assert gpus == () and topics(complaints) == [topic]


def test_a_machine_without_cards_has_nothing_to_complain_of() -> None:
    assert reading(nvidia=printed("nvidia-smi-470-no-devices.txt", 6)) == ((), ())
    assert reading(nvidia={"code": 127, "out": "", "err": "", "timed_out": False}) == ((), ())
    assert reading() == ((), ())


def test_memory_that_the_driver_does_not_tell_is_no_fault() -> None:
    gpus, complaints = reading(nvidia=printed("nvidia-smi-580-gb10-no-memory.txt"))
    assert [(gpu.kind, gpu.memory_mib, gpu.healthy) for gpu in gpus] == [("GB10", 0, True)] and complaints == ()


def test_a_warning_after_the_rows() -> None:
    gpus, complaints = reading(nvidia=printed("nvidia-smi-535-inforom-corrupted.txt", 14))
    assert [gpu.kind for gpu in gpus] == ["V100-32GB"] and topics(complaints) == ["GPU info damaged"]


@pytest.mark.parametrize("tool", ["nvidia", "amd", "gaudi", "neuron"])
def test_a_tool_that_hangs(tool: str) -> None:
    gpus, complaints = reading(**{tool: {"code": None, "out": "", "err": "", "timed_out": True}})
    assert gpus == () and topics(complaints) == ["GPU tool hangs"]


@pytest.mark.parametrize("tool", ["nvidia", "amd", "gaudi", "neuron"])
@pytest.mark.parametrize("out", ["", "Traceback (most recent call last):", "{", "[1, 2", "0,"])
def test_nonsense_is_a_complaint_and_never_an_error(tool: str, out: str) -> None:
    gpus, complaints = reading(**{tool: {"code": 1, "out": out, "err": "boom", "timed_out": False}})
    assert gpus == () and topics(complaints) == ["GPU tool failed"]


def test_amd_old_keys() -> None:
    gpus, _ = reading(amd=printed("rocm-smi-3.5-mi50-old-keys.json"))
    assert gpus == (Gpu(0, "MI50", "amd", "Vega 20 [Radeon Instinct MI50]", 16368, "0x37b6d1a0b0d8e5c1", "5.6.0"),)


def test_amd_warning_before_the_json_and_names_in_brackets() -> None:
    gpus, complaints = reading(amd=printed("rocm-smi-5.0-mi100-bracketed.json"))
    assert [(gpu.index, gpu.kind, gpu.uuid) for gpu in gpus] == [(0, "MI100", "0x2f3c1a3d1c5b9f01"), (1, "MI100", "")]
    assert complaints == ()


def test_amd_new_keys_without_the_processors_own_graphics() -> None:
    gpus, _ = reading(amd=printed("rocm-smi-6.2-rx7900xt-and-integrated.json"))
    assert [(gpu.kind, gpu.memory_mib, gpu.compute_capability) for gpu in gpus] == [("RX7900XT", 20464, "gfx1100")]


def test_gaudi_neuron_and_tpu() -> None:
    gpus, _ = reading(gaudi=printed("hl-smi-1.15-gaudi2.csv"))
    assert [(gpu.kind, gpu.memory_mib) for gpu in gpus] == [("Gaudi2", 98304)] * 2
    identity = {"code": 0, "out": "product=trn1.2xlarge\n", "err": "", "timed_out": False}
    gpus, _ = reading(neuron=printed("neuron-ls-2.9-trn1.json"), identity=identity)
    assert [(gpu.kind, gpu.memory_mib) for gpu in gpus] == [("Trainium", 32768)]
    bus = "0xff0000 0x1ae0 0x0063 0x004e\n0x020000 0x1ae0 0x0042 0x0058\n0xff0000 0x1ae0 0x0063 0x004e\n"
    gpus, complaints = reading(pci={"code": 0, "out": bus, "err": "", "timed_out": False})
    assert [(gpu.index, gpu.kind, gpu.memory_mib) for gpu in gpus] == [(0, "TPUv5e", 16384), (1, "TPUv5e", 16384)]
    assert complaints == ()


def test_cards_on_the_bus_that_no_driver_offers() -> None:
    bus = {"code": 0, "out": "0x030000 0x10de 0x2204 0x1\n0x040300 0x10de 0x1aef 0x1\n", "err": "", "timed_out": False}
    _, complaints = reading(pci=bus)
    assert topics(complaints) == ["GPU without tool"]
    three = {**bus, "out": "0x030000 0x10de 0x2204 0x1\n" * 3}
    _, complaints = reading(pci=three, nvidia=printed("nvidia-smi-535-two-rtx3090.txt"))
    assert complaints == ("GPU count differs: 3 nvidia GPUs on the bus, 2 in use by the driver",)


@pytest.mark.parametrize(
    ("name", "memory_mib", "kind", "capability"),
    [
        ("NVIDIA GeForce RTX 3090", 24576, "RTX3090", "8.6"),
        ("Tesla K80", 11441, "K80", "3.7"),
        ("Tesla K40m", 11441, "K40", "3.5"),
        ("Tesla K20Xm", 5700, "K20X", "3.5"),
        ("NVIDIA A100-SXM4-80GB", 81920, "A100-80GB", "8.0"),
        ("NVIDIA A100-PCIE-40GB", 40536, "A100", "8.0"),
        ("Tesla V100-SXM2-16GB", 16160, "V100", "7.0"),
        ("Tesla V100-SXM2-32GB-LS", 32510, "V100-32GB", "7.0"),
        ("Tesla P100-PCIE-12GB", 12198, "P100-12GB", "6.0"),
        ("Tesla P40", 22919, "P40", "6.1"),
        ("Tesla T4", 15109, "T4", "7.5"),
        ("Tesla M40 24GB", 22945, "M40-24GB", "5.2"),
        ("NVIDIA H100 80GB HBM3", 81559, "H100", "9.0"),
        ("NVIDIA H100 PCIe", 81559, "H100", "9.0"),
        ("NVIDIA H100 NVL", 95830, "H100-NVL", "9.0"),
        ("NVIDIA H200", 143771, "H200", "9.0"),
        ("NVIDIA GH200 480GB", 97871, "GH200", "9.0"),
        ("NVIDIA B200", 183359, "B200", "10.0"),
        ("NVIDIA L40S", 46068, "L40S", "8.9"),
        ("NVIDIA A10G", 23028, "A10G", "8.6"),
        ("NVIDIA RTX A6000", 49140, "RTXA6000", "8.6"),
        ("NVIDIA RTX 6000 Ada Generation", 49140, "RTX6000-Ada", "8.9"),
        ("Quadro RTX 6000", 24576, "RTX6000", "7.5"),
        ("Quadro P6000", 24449, "P6000", "6.1"),
        ("GeForce GTX 1080 Ti", 11178, "GTX1080Ti", "6.1"),
        ("GeForce GTX 1060 3GB", 3019, "GTX1060-3GB", "6.1"),
        ("GeForce GTX 1060 6GB", 6078, "GTX1060", "6.1"),
        ("GeForce GTX 980", 4043, "GTX980", "5.2"),
        ("GeForce GTX 680", 2047, "GTX680", "3.0"),
        ("NVIDIA TITAN V", 12066, "TITANV", "7.0"),
        ("NVIDIA TITAN RTX", 24220, "TITANRTX", "7.5"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", 16384, "RTX3080-Laptop-16GB", "8.6"),
        ("NVIDIA GeForce RTX 5090", 32607, "RTX5090", "12.0"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 97887, "RTXPRO6000Workstation", "12.0"),
        ("AMD Instinct MI210", 65520, "MI210", ""),
    ],
)
def test_short_names(name: str, memory_mib: int, kind: str, capability: str) -> None:
    assert gpu_kind(name, memory_mib) == kind
    assert compute_capability(kind) == capability


def test_short_names_of_other_vendors() -> None:
    assert [gaudi_kind(name) for name in ("HL-205", "HL-225", "HL-325L")] == ["Gaudi", "Gaudi2", "Gaudi3"]
    assert neuron_kind("inf1.6xlarge", 4) == "Inferentia"
    assert neuron_kind("inf2.xlarge", 2) == "Inferentia2"
    assert neuron_kind("trn2.48xlarge", 8) == "Trainium2"
