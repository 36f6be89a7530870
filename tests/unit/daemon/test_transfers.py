"""What people read while a job is being prepared."""

from beowulf.daemon.transfers import Transfers
from beowulf.sync.progress import Progress


def test_nodes_at_the_same_thing_are_named_together() -> None:
    transfers = Transfers()
    wheel = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    transfers.note("1.1", Progress("n2", wheel, 54, 100))
    transfers.note("1.1", Progress("n1", wheel, 79, 100))
    transfers.note("1.1", Progress("n3", "installing 17 packages"))
    assert transfers.sentence("1.1") == "torch 2.13.0+cpu: n1 (79%), n2 (54%); installing 17 packages: n3"
    for node in ("n1", "n2", "n3"):
        transfers.done("1.1", node)
    assert transfers.sentence("1.1") == ""
