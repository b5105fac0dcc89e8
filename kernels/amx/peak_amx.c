/* kernels/amx/peak_amx.c - the peak loop of AMX int8: four sums in flight, products of 16 x 64 by 64 x 16. Nothing
 * takes the sums: the compiler keeps tile instructions as they are written. */
#include "kernels/amx/tiles.h"
#include "kernels/peak.h"

static double int8_peak(uint64_t rounds)
{
    struct tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.row_bytes[t] = 64;
        config.rows[t] = 16;
    }
    tile_configure(&config); /* and all tiles are zero */
    for (uint64_t round = 0; round < rounds; round++) {
        tile_dot(0, 4, 6);
        tile_dot(1, 4, 7);
        tile_dot(2, 5, 6);
        tile_dot(3, 5, 7);
    }
    tile_release();
    return (double)rounds * 4 * 16 * 16 * 64 * 2;
}

extern const struct peak_row cm_peak_row_amx;
const struct peak_row cm_peak_row_amx = {
    .isa = ISA_AMX, .int8 = int8_peak, .f32 = cm_peak_f32_avx512vnni, .read = cm_peak_read_avx512vnni};
