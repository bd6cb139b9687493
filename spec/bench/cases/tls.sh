# A new TLS connection for each GET of 1 KiB, full handshake, trusting the system's CA bundle with the server's own CA behind it. CPU per request.

n=$(count 300 10) url=$BENCH_HTTPS/close/1k
bare "bare C, one multi" multi "$url" "$n" 1 1024 "$BENCH_CA_BUNDLE" 1.1
garner "garner, Lua 5.4, inline" 54 inline in_flight.lua "$url" "$n" 1 1024 "$BENCH_CA_BUNDLE" 1.1
garner "garner, Lua 5.4, threaded" 54 threaded in_flight.lua "$url" "$n" 1 1024 "$BENCH_CA_BUNDLE" 1.1
race
opened "$n" $((n + 110))

table cpu "us a connection" 1e6 "bare C, one multi" "garner, Lua 5.4, inline"
must tls cpu "garner, Lua 5.4, inline" "bare C, one multi"
