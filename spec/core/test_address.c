/* Owns: the check of src/core/address.c: both ends of every special network.
 * Must not: use sockets.
 */
#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#define PUB GN_ADDRESS_PUBLIC
#define LOOP GN_ADDRESS_LOOPBACK
#define LINK GN_ADDRESS_LINK_LOCAL
#define PRIV GN_ADDRESS_PRIVATE

struct sample {
  const char *text;
  enum gn_address_class want;
};

static const struct sample samples4[] = {
  {"0.0.0.0", LOOP},         {"0.0.0.1", PRIV},
  {"0.255.255.255", PRIV},   {"4.4.4.4", PUB},
  {"1.0.0.0", PUB},          {"8.8.8.8", PUB},
  {"9.255.255.255", PUB},    {"10.0.0.0", PRIV},
  {"10.255.255.255", PRIV},  {"11.0.0.0", PUB},
  {"100.63.255.255", PUB},   {"100.64.0.0", PRIV},
  {"100.127.255.255", PRIV}, {"100.128.0.0", PUB},
  {"126.255.255.255", PUB},  {"127.0.0.1", LOOP},
  {"127.255.255.255", LOOP}, {"128.0.0.0", PUB},
  {"169.253.255.255", PUB},  {"169.254.169.254", LINK},
  {"169.255.0.0", PUB},      {"172.15.255.255", PUB},
  {"172.16.0.0", PRIV},      {"172.31.255.255", PRIV},
  {"172.32.0.0", PUB},       {"192.0.0.1", PRIV},
  {"192.0.1.0", PUB},        {"192.0.2.1", PRIV},
  {"192.0.3.0", PUB},        {"192.167.255.255", PUB},
  {"192.168.0.0", PRIV},     {"192.168.255.255", PRIV},
  {"192.169.0.0", PUB},      {"198.17.255.255", PUB},
  {"198.18.0.0", PRIV},      {"198.19.255.255", PRIV},
  {"198.20.0.0", PUB},       {"198.51.100.9", PRIV},
  {"198.51.101.0", PUB},     {"203.0.113.9", PRIV},
  {"203.0.114.0", PUB},      {"223.255.255.255", PUB},
  {"224.0.0.1", PRIV},       {"239.255.255.255", PRIV},
  {"240.0.0.1", PRIV},       {"255.255.255.255", PRIV},
};

static const struct sample samples6[] = {
  {"::", LOOP},
  {"::1", LOOP},
  {"::2", PRIV},
  {"::127.0.0.1", PRIV},
  {"::ffff:0.0.0.0", LOOP},
  {"::10.0.0.1", PRIV},
  {"::8.8.8.8", PRIV},
  {"::ffff:127.0.0.1", LOOP},
  {"::ffff:169.254.169.254", LINK},
  {"::ffff:10.0.0.1", PRIV},
  {"::ffff:8.8.8.8", PRIV},
  {"64:ff9b::127.0.0.1", LOOP},
  {"64:ff9b::169.254.169.254", LINK},
  {"64:ff9b::192.168.0.1", PRIV},
  {"64:ff9b::8.8.8.8", PUB},
  {"64:ff9b:1::8.8.8.8", PRIV},
  {"64:ff9b::1:8.8.8.8", PRIV},
  {"100::1", PRIV},
  {"1fff:ffff::", PRIV},
  {"2000::1", PUB},
  {"2000:ffff::1", PUB},
  {"2001::1", PRIV},
  {"2001:1ff:ffff::", PRIV},
  {"2001:200::", PUB},
  {"2001:db7::1", PUB},
  {"2001:db8::1", PRIV},
  {"2001:db9::1", PUB},
  {"2001:4860:4860::8888", PUB},
  {"2002:7f00:1::", LOOP},
  {"2002:a9fe:a9fe::", LINK},
  {"2002:a00:1::", PRIV},
  {"2002:808:808::", PRIV},
  {"2003::1", PUB},
  {"3ffe::1", PUB},
  {"3fff::1", PRIV},
  {"3fff:fff:ffff::", PRIV},
  {"3fff:1000::", PUB},
  {"4000::1", PRIV},
  {"fbff::1", PRIV},
  {"fc00::1", PRIV},
  {"fd00:ec2::254", PRIV},
  {"fdff::1", PRIV},
  {"fe7f::1", PRIV},
  {"fe80::1", LINK},
  {"febf::1", LINK},
  {"fec0::1", PRIV},
  {"ff02::1", PRIV},
};

static void test_ipv4(void **state) {
  struct sockaddr_in in;
  size_t i;
  (void)state;
  for (i = 0; i < sizeof samples4 / sizeof *samples4; i++) {
    const struct sample *s = &samples4[i];
    enum gn_address_class got;
    memset(&in, 0, sizeof in);
    in.sin_family = AF_INET;
    assert_int_equal(inet_pton(AF_INET, s->text, &in.sin_addr), 1);
    got = gn_address_classify((struct sockaddr *)&in);
    if (got != s->want)
      fail_msg("%s: %s, not %s", s->text, gn_address_class_name(got),
               gn_address_class_name(s->want));
  }
}

static void test_ipv6(void **state) {
  struct sockaddr_in6 in6;
  size_t i;
  (void)state;
  for (i = 0; i < sizeof samples6 / sizeof *samples6; i++) {
    const struct sample *s = &samples6[i];
    enum gn_address_class got;
    memset(&in6, 0, sizeof in6);
    in6.sin6_family = AF_INET6;
    assert_int_equal(inet_pton(AF_INET6, s->text, &in6.sin6_addr), 1);
    got = gn_address_classify((struct sockaddr *)&in6);
    if (got != s->want)
      fail_msg("%s: %s, not %s", s->text, gn_address_class_name(got),
               gn_address_class_name(s->want));
  }
}

static void test_other_families(void **state) {
  struct sockaddr_un un;
  (void)state;
  memset(&un, 0, sizeof un);
  un.sun_family = AF_UNIX;
  assert_int_equal(gn_address_classify((struct sockaddr *)&un), PRIV);
  un.sun_family = AF_UNSPEC;
  assert_int_equal(gn_address_classify((struct sockaddr *)&un), PRIV);
}

static void test_names(void **state) {
  (void)state;
  assert_string_equal(gn_address_class_name(PUB), "public");
  assert_string_equal(gn_address_class_name(LOOP), "loopback");
  assert_string_equal(gn_address_class_name(LINK), "link-local");
  assert_string_equal(gn_address_class_name(PRIV), "private");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_ipv4),
    cmocka_unit_test(test_ipv6),
    cmocka_unit_test(test_other_families),
    cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
