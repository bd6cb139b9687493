# Live metrics of 20 MB decoded into tables, from text in memory. CPU a document, the collector's work included.

name=metrics document=$BENCH_DIR/metrics.json times=1
. $bench/cases/decode.inc
