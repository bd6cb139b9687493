# A page of 47 KB decoded into tables, from text in memory. CPU a document, the collector's work included.

name=pages document=$BENCH_DIR/pages/2.json times=$(count 300 3)
. $bench/cases/decode.inc
