# GETs of 1 KiB with 128 in flight on kept connections; headers and body are kept. CPU per request, between start and end of the loop.

k=128
. $bench/cases/in_flight.inc
