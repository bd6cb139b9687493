# 1,000 requests that the server answers after 20 ms, over plain HTTP/1.1; 8, 32 and 128 in flight. Wall time to the ideal, ceil(n / in flight) x 20 ms.

http_version=1.1 server=$BENCH_HTTP
. $bench/cases/latency.inc
