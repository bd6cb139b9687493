# GETs of 1 KiB with 32 in flight on kept connections; headers and body are kept. CPU per request, between start and end of the loop.

k=32
. $bench/cases/in_flight.inc
must in_flight_32 cpu "garner, Lua 5.4, inline" "bare C, curl multi"
must in_flight_32_threaded cpu "garner, Lua 5.4, threaded" "bare C, curl multi"
