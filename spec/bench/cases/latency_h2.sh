# 1,000 requests that the server answers after 20 ms, over HTTP/2 with TLS; 8, 32 and 128 in flight. Wall time to the ideal, ceil(n / in flight) x 20 ms.

http_version=2 server=$BENCH_HTTPS
. $bench/cases/latency.inc

# More than a connection's streams, which the server limits to 32 here.
latency_entrants "$BENCH_HTTPS_FEW" 128 ", 32 streams a connection"
race
latency_table
