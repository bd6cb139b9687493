"""The clock of the benchmarks' Python programs: CPU of the process with all its threads, wall time."""
import time


def begin():
    return time.process_time(), time.monotonic()


def finish(lap, n):
    cpu, wall = time.process_time() - lap[0], time.monotonic() - lap[1]
    print(f"n={n} cpu={cpu:.6f} wall={wall:.6f}")


def loop(count, get):
    """Warms up with 100 calls, then calls get count times and prints what that took."""
    for _ in range(100):
        get()
    lap = begin()
    for _ in range(count):
        get()
    finish(lap, count)
