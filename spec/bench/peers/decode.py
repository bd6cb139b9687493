"""Python's json: one document, decoded again and again: decode.py FILE TIMES"""
import gc
import json
import sys

import lap

with open(sys.argv[1], "rb") as file:
    text = file.read()
times = int(sys.argv[2])
json.loads(text)
gc.collect()
begin = lap.begin()
for _ in range(times):
    json.loads(text)
gc.collect()
lap.finish(begin, times)
