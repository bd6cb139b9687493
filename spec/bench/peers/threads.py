"""K threads that take the next request until none is left."""
import threading

import lap


def run(count, k, make):
    """make() gives a thread's own function that does one request."""
    gets = [make() for _ in range(k)]

    def get_all(n):
        left, lock, failed = [n], threading.Lock(), []

        def worker(get):
            while True:
                with lock:
                    if left[0] <= 0 or failed:
                        return
                    left[0] -= 1
                try:
                    get()
                except BaseException as problem:
                    failed.append(problem)

        threads = [threading.Thread(target=worker, args=(get,)) for get in gets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    for get in gets:
        get()
    get_all(100)
    begin = lap.begin()
    get_all(count)
    lap.finish(begin, count)
