"""The clock of the benchmarks' Python programs: CPU of the process with all its threads, wall time."""
import time


def begin():
    return time.process_time(), time.monotonic()


def finish(lap, n):
    cpu, wall = time.process_time() - lap[0], time.monotonic() - lap[1]
    print(f"n={n} cpu={cpu:.6f} wall={wall:.6f}")
