"""Sequential GETs on one connection: sequential.py CLIENT URL COUNT BYTES"""
import sys

import clients
import lap

client = clients.BY_NAME[sys.argv[1]]()
url, count, size = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def get():
    assert len(client.get(url)) == size


for _ in range(100):
    get()
begin = lap.begin()
for _ in range(count):
    get()
lap.finish(begin, count)
