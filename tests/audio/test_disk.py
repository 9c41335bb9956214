import threading
import time

from antiphon.audio.disk import DiskThread, shared_disk_thread


def finished(disk: DiskThread) -> None:
    """Wait until all that is queued now was done."""
    done = threading.Event()
    disk.run(done.set)
    assert done.wait(10)


def test_jobs_run_in_order_in_one_other_thread() -> None:
    disk, seen = DiskThread(), list[tuple[int, int]]()

    def job(number: int) -> None:
        seen.append((number, threading.get_ident()))

    for number in range(100):
        assert disk.offer(10, lambda number=number: job(number))  # type: ignore[misc]
    finished(disk)
    assert [number for number, _ in seen] == list(range(100))
    assert len({thread for _, thread in seen} - {threading.get_ident()}) == 1


def test_a_slow_disk_makes_nobody_wait_and_what_is_too_much_is_counted() -> None:
    disk, slow, stuck = DiskThread(limit_bytes=1000, gather_s=0), threading.Event(), threading.Event()
    written: list[int] = []

    def block() -> None:
        stuck.set()
        slow.wait(10)

    disk.run(block)
    assert stuck.wait(10)
    began = time.monotonic()
    accepted = [disk.offer(300, lambda number=number: written.append(number)) for number in range(10)]  # type: ignore[misc]
    assert time.monotonic() - began < 1
    assert accepted == [True] * 3 + [False] * 7
    assert (disk.queued_bytes, disk.refused_bytes) == (900, 2100)
    slow.set()
    finished(disk)
    assert written == [0, 1, 2]
    assert disk.offer(1000, lambda: None), "there is room again"
    finished(disk)
    assert disk.queued_bytes == 0


def test_data_is_written_without_anybody_asking_for_it() -> None:
    disk, done = DiskThread(gather_s=0.01), threading.Event()
    disk.offer(1, done.set)
    assert done.wait(10)


def test_all_share_one() -> None:
    assert shared_disk_thread() is shared_disk_thread()
