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


def test_what_is_told_of_a_transfer_gives_its_speed() -> None:
    now = [100.0]
    transfers = Transfers(clock=lambda: now[0])
    transfers.note("17_3.2", Progress("n1", "files", 10, 100, "a.bin"))
    now[0] = 102.0
    transfers.note("17_3.2", Progress("n1", "files", 50, 100, "b/c.bin"))
    row = transfers.rows()[0]
    assert (row["job_id"], row["attempt"], row["node"], row["file"], row["home"]) == ("17_3", 2, "n1", "b/c.bin", False)
    assert (row["done_bytes"] - row["first_bytes"]) / (row["at"] - row["began_at"]) == 20
    transfers.note("17_3.2", Progress("n1", "installing 3 packages"))
    assert transfers.rows()[0]["began_at"] == 102.0  # another thing: its time begins anew
