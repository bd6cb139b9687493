"""Python's json: one document, decoded again and again: decode.py FILE TIMES"""
import gc
import json
import sys
import time

with open(sys.argv[1], "rb") as file:
    text = file.read()
times = int(sys.argv[2])
json.loads(text)
gc.collect()
cpu, wall = time.process_time(), time.monotonic()
for _ in range(times):
    json.loads(text)
gc.collect()
print(f"n={times} cpu={time.process_time() - cpu:.6f} wall={time.monotonic() - wall:.6f}")
