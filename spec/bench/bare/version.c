/* Owns: telling which libcurl the bare programs run with.
 * Must not: use anything of garner.
 */
#include <curl/curl.h>
#include <stdio.h>

int main(void) {
  puts(curl_version());
  return 0;
}
