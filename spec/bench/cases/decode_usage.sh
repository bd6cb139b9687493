# Usage reports of 20 MB decoded into tables, from text in memory. CPU a document, the collector's work included.

name=usage document=$BENCH_DIR/usage.json times=1
. $bench/cases/decode.inc
