/* test_sha256.c - SHA-256 against the examples of FIPS 180-4, and whole against in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sha256.h"

static void check(const void *bytes, size_t n_bytes, const char *wanted)
{
    struct sha256 sha = cm_sha256();
    char hex[65];
    cm_sha256_add(&sha, bytes, n_bytes);
    cm_sha256_hex(&sha, hex);
    assert_string_equal(hex, wanted);
}

static void published_examples(void **state)
{
    (void)state;
    static const char long_message[] = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnop"
                                       "jklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    check("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check(long_message, sizeof long_message - 1,
          "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
}

static void a_million_letters(void **state)
{
    (void)state;
    char *letters = malloc(1000000);
    assert_non_null(letters);
    memset(letters, 'a', 1000000);
    check(letters, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(letters);
}

/* Digests of the lengths around the block's end and the room for the length: bytes i * 7 + 1. */
static void lengths_around_the_block(void **state)
{
    (void)state;
    static const struct {
        size_t      n;
        const char *digest;
    } rows[] = {
        {1, "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"},
        {31, "f47d790dd576502108aa0536f0ff49ef0ad7d6fdb69c7894f9f3cdd58736523a"},
        {54, "5556be1c204be4be0266d24d065b006343ecd327c0adbc0c98db3a359eb7a9b6"},
        {55, "16fa57a0a3423a715d594516339f36189d6b5f93754a9714fef202616a9fabfe"},
        {56, "c37b44e5f1b18554b36966f4f8e08bfbf3164c4b6c10374d12d89850892073c5"},
        {57, "12b234922502022f755ab8550a3d4e202ad39c81d961a4f59ec39d5fd83d15a7"},
        {63, "bbba992d2c85af960fb2987a1fd05e0aa82a3db3c740dd8982a9e273b75e36a3"},
        {64, "66bd4633ed6f71c4ecfa4763bf7ba1c8ec7612de9aa6c0578a7b675207c71e0b"},
        {65, "9f7dc47107b750a1f3d35db5d9547f24ef40da5b731b9540d4f43710a154f6c9"},
        {118, "d63612beb497b3917ef96ba278b6eff6652f0ece634a810366f905b3a5f3c732"},
        {119, "a3ed307b730fa77c07531300c6e4a282330011d4d4caf6bb7b63ae05950f4b66"},
        {120, "8e3b15d9fea7472655aa069620b7f8c2e55ee1499f763200a7515fe826e99d20"},
        {121, "a8320d9736c8a5a7445c87c4d18c0da2fa8fb3b323ed8318c724a5b3e230f87b"},
        {127, "44480fb9672845177f5368a08b69ea263275f2a5ec42e06a933370fe0d2968a4"},
        {128, "e462c130fef8c97e34f7dc3ff3ad2f8b3533ab849af21c10531552a2852387a4"},
        {129, "aa7ea4e8bf89146aeb67ff195fd8182a0e504c9d580aa7af8d2c862e14b98405"},
        {256, "2d7f580fd47106545e24f104f1eef10e75818a87473ffe9a43ac698a39dde7f2"},
    };
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7 + 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check(bytes, rows[i].n, rows[i].digest);
}

static void pieces_give_the_same(void **state)
{
    (void)state;
    uint8_t bytes[130];
    char whole[65], pieces[65], again[65];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 31 + 5);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct sha256 sha = cm_sha256();
        cm_sha256_add(&sha, bytes, n);
        cm_sha256_hex(&sha, whole);
        for (size_t cut = 0; cut <= n; cut++) {
            struct sha256 parts = cm_sha256();
            cm_sha256_add(&parts, bytes, cut);
            cm_sha256_hex(&parts, again); /* a look in between changes nothing */
            cm_sha256_add(&parts, bytes + cut, n - cut);
            cm_sha256_hex(&parts, pieces);
            assert_string_equal(pieces, whole);
        }
        struct sha256 single = cm_sha256();
        for (size_t i = 0; i < n; i++) cm_sha256_add(&single, &bytes[i], 1);
        cm_sha256_hex(&single, pieces);
        assert_string_equal(pieces, whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples),
        cmocka_unit_test(a_million_letters),
        cmocka_unit_test(lengths_around_the_block),
        cmocka_unit_test(pieces_give_the_same),
    };
    return cmocka_run_group_tests_name("sha256", tests, NULL, NULL);
}
