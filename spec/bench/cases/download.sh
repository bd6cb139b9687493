# 1 GiB to a file. CPU of the download and wall time; the curl program's is of the whole process. Memory: the most that was resident during the download above what was before it.

size=$(count 1073741824 16777216) url=$BENCH_HTTP/$(count 1g 16m)
entrant "the curl program" "$bin/spawn" 1 curl -sSf -o "$work/1g" "$url"
garner "garner, inline" 54 inline download.lua "$url" "$work/1g" $size
garner "garner, threaded" 54 threaded download.lua "$url" "$work/1g" $size
garner "garner, inline, sha256" 54 inline download.lua "$url" "$work/1g" $size sha256
garner "garner, threaded, sha256" 54 threaded download.lua "$url" "$work/1g" $size sha256
race
rm -f "$work/1g"

table cpu "ms" 1e3 "the curl program" "garner, inline" "garner, inline, sha256"
table wall "ms" 1e3 "the curl program" "garner, inline" "garner, inline, sha256"
table memory "MiB" 1 "garner, inline"
must download_cpu cpu "garner, inline" "the curl program"
must_value download_memory $(median_of "garner, inline" memory)
