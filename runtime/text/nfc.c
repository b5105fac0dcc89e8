/* nfc.c - normalisation form C. Each point is taken apart as far as it goes; the marks behind a starter (a point
 * of combining class 0) are sorted by class; then the starter takes in what it can. */
#include "runtime/text/nfc.h"

#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/nfc_data.h"
#include "runtime/text/utf8.h"

enum {
    HANGUL = 0xac00, HANGUL_L = 0x1100, HANGUL_V = 0x1161, HANGUL_T = 0x11a7, /* T: one before the first */
    N_L = 19, N_V = 21, N_T = 28, N_HANGUL = N_L * N_V * N_T,
    CLEAN_BELOW = 0x300, /* below that every text is in form C */
    N_CLASSES = 256, FEW_MARKS = 16
};

/* ---- the tables ---- */

/* The row whose range holds point, -1: none. Rows are stride bytes apart and begin with first, last. */
static int range_of(const void *rows, size_t stride, int n, uint32_t point)
{
    int low = 0, high = n - 1;
    while (low <= high) {
        const int  middle = (low + high) / 2;
        uint32_t   bounds[2];
        memcpy(bounds, (const char *)rows + (size_t)middle * stride, sizeof bounds);
        if (point < bounds[0]) high = middle - 1;
        else if (point > bounds[1]) low = middle + 1;
        else return middle;
    }
    return -1;
}

static uint32_t combining_of(uint32_t point)
{
    if (point < CLEAN_BELOW) return 0;
    const int row = range_of(cm_nfc_classes, sizeof cm_nfc_classes[0], cm_nfc_n_classes, point);
    return row < 0 ? 0 : cm_nfc_classes[row].combining;
}

static const struct nfc_pair *pair_that_makes(const struct nfc_pair *pairs, int n, uint32_t point)
{
    int low = 0, high = n - 1;
    while (low <= high) {
        const int middle = (low + high) / 2;
        if (point == pairs[middle].made) return &pairs[middle];
        if (point < pairs[middle].made) high = middle - 1;
        else low = middle + 1;
    }
    return NULL;
}

/* One step of taking point apart: the number of points that it becomes, 1 (another or itself) or 2. */
static int take_apart(uint32_t point, uint32_t parts[2])
{
    parts[0] = point;
    if (point >= HANGUL && point < HANGUL + N_HANGUL) {
        const uint32_t at = point - HANGUL, t = at % N_T;
        parts[0] = t ? point - t : HANGUL_L + at / (N_V * N_T);
        parts[1] = t ? HANGUL_T + t : HANGUL_V + at / N_T % N_V;
        return 2;
    }
    const struct nfc_pair *pair = pair_that_makes(cm_nfc_made, cm_nfc_n_made, point);
    if (!pair) pair = pair_that_makes(cm_nfc_apart, cm_nfc_n_apart, point);
    if (pair) {
        parts[0] = pair->first;
        parts[1] = pair->second;
        return 2;
    }
    const int run = range_of(cm_nfc_single_runs, sizeof cm_nfc_single_runs[0], cm_nfc_n_single_runs, point);
    if (run >= 0) parts[0] = cm_nfc_singles[cm_nfc_single_runs[run].at + (point - cm_nfc_single_runs[run].first)];
    return 1;
}

/* The point that first and second make together, 0: none. */
static uint32_t put_together(uint32_t first, uint32_t second)
{
    if (first >= HANGUL_L && first < HANGUL_L + N_L && second >= HANGUL_V && second < HANGUL_V + N_V)
        return HANGUL + ((first - HANGUL_L) * N_V + (second - HANGUL_V)) * N_T;
    if (first >= HANGUL && first < HANGUL + N_HANGUL && (first - HANGUL) % N_T == 0 && second > HANGUL_T &&
        second < HANGUL_T + N_T)
        return first + (second - HANGUL_T);
    int low = 0, high = cm_nfc_n_made - 1;
    while (low <= high) {
        const int              middle = (low + high) / 2;
        const struct nfc_pair *pair = &cm_nfc_made[cm_nfc_made_order[middle]];
        if (pair->first == first && pair->second == second) return pair->made;
        if (first < pair->first || (first == pair->first && second < pair->second)) high = middle - 1;
        else low = middle + 1;
    }
    return 0;
}

/* ---- what comes out ---- */

static calmoe_status reserve(struct calmoe_context *ctx, struct nfc *nfc, size_t n_more)
{
    if (n_more <= nfc->n_room - nfc->n) return CALMOE_OK;
    const size_t n_room = 2 * nfc->n_room + n_more + 256;
    CM_TRY(cm_grow(ctx, &nfc->out, nfc->n, n_room, 1, "a normalised text"));
    nfc->n_room = n_room;
    return CALMOE_OK;
}

static calmoe_status put_point(struct calmoe_context *ctx, struct nfc *nfc, uint32_t point)
{
    CM_TRY(reserve(ctx, nfc, 4));
    nfc->n += (size_t)cm_utf8_write(point, nfc->out + nfc->n);
    return CALMOE_OK;
}

/* Stable, by class: an insertion sort for the few marks of real text, else a count of each class. */
static void sort_marks(struct nfc *nfc)
{
    struct nfc_mark *marks = nfc->marks;
    if (nfc->n_marks <= FEW_MARKS) {
        for (size_t i = 1; i < nfc->n_marks; i++) {
            const struct nfc_mark mark = marks[i];
            size_t                at = i;
            for (; at > 0 && marks[at - 1].combining > mark.combining; at--) marks[at] = marks[at - 1];
            marks[at] = mark;
        }
        return;
    }
    struct nfc_mark *sorted = marks + nfc->n_marks_room;
    size_t           begin[N_CLASSES + 1] = { 0 };
    for (size_t i = 0; i < nfc->n_marks; i++) begin[marks[i].combining + 1]++;
    for (int class = 0; class < N_CLASSES; class++) begin[class + 1] += begin[class];
    for (size_t i = 0; i < nfc->n_marks; i++) sorted[begin[marks[i].combining]++] = marks[i];
    memcpy(marks, sorted, nfc->n_marks * sizeof *marks);
}

/* The starter takes in each mark that no other of its class stands before; the rest is moved together. */
static void compose_marks(struct nfc *nfc)
{
    size_t   n_kept = 0;
    uint32_t last = 0;
    for (size_t i = 0; nfc->has_starter && i < nfc->n_marks; i++) {
        const struct nfc_mark mark = nfc->marks[i];
        const uint32_t        made = mark.combining > last ? put_together(nfc->starter, mark.point) : 0;
        if (made) {
            nfc->starter = made;
        } else {
            last = mark.combining;
            nfc->marks[n_kept++] = mark;
        }
    }
    if (nfc->has_starter) nfc->n_marks = n_kept;
}

static calmoe_status flush(struct calmoe_context *ctx, struct nfc *nfc)
{
    if (nfc->has_starter) CM_TRY(put_point(ctx, nfc, nfc->starter));
    for (size_t i = 0; i < nfc->n_marks; i++) CM_TRY(put_point(ctx, nfc, nfc->marks[i].point));
    nfc->has_starter = 0;
    nfc->n_marks = 0;
    return CALMOE_OK;
}

static calmoe_status add_mark(struct calmoe_context *ctx, struct nfc *nfc, struct nfc_mark mark)
{
    if (nfc->n_marks == nfc->n_marks_room) {
        const size_t n_room = nfc->n_marks_room ? 2 * nfc->n_marks_room : 32;
        CM_TRY(cm_grow(ctx, &nfc->marks, nfc->n_marks, 2 * n_room, sizeof mark, "marks to sort"));
        nfc->n_marks_room = n_room;
    }
    nfc->marks[nfc->n_marks++] = mark;
    return CALMOE_OK;
}

/* A point that cannot be taken apart. */
static calmoe_status add_point(struct calmoe_context *ctx, struct nfc *nfc, uint32_t point)
{
    const uint32_t combining = combining_of(point);
    if (combining) return add_mark(ctx, nfc, (struct nfc_mark){ point, combining });
    sort_marks(nfc);
    compose_marks(nfc);
    const uint32_t made = nfc->has_starter && nfc->n_marks == 0 ? put_together(nfc->starter, point) : 0;
    if (!made) CM_TRY(flush(ctx, nfc));
    nfc->has_starter = 1;
    nfc->starter = made ? made : point;
    return CALMOE_OK;
}

/* Takes point apart to the end: what remains to be taken apart waits, the first on top. Each step leaves at most one
 * more waiting, and no point has more than four parts. */
static calmoe_status add_apart(struct calmoe_context *ctx, struct nfc *nfc, uint32_t point)
{
    uint32_t waiting[8];
    int      n = 0;
    waiting[n++] = point;
    while (n > 0) {
        uint32_t  parts[2];
        const int n_parts = take_apart(waiting[--n], parts);
        if (n_parts == 1 && parts[0] == waiting[n]) {
            CM_TRY(add_point(ctx, nfc, parts[0]));
        } else {
            if (n_parts == 2) waiting[n++] = parts[1];
            waiting[n++] = parts[0];
        }
    }
    return CALMOE_OK;
}

/* ---- whole texts ---- */

static bool is_clean(const char *text, size_t n_bytes)
{
    for (size_t at = 0; at < n_bytes;) {
        const int length = (unsigned char)text[at] < 0x80 ? 1 : cm_utf8_length(text + at, n_bytes - at);
        if (length > 1) {
            const uint32_t point = cm_utf8_point(text + at, length);
            if (point >= CLEAN_BELOW &&
                range_of(cm_nfc_unclean, sizeof cm_nfc_unclean[0], cm_nfc_n_unclean, point) >= 0)
                return false;
        }
        at += length > 0 ? (size_t)length : 1;
    }
    return true;
}

static calmoe_status end(struct calmoe_context *ctx, struct nfc *nfc)
{
    sort_marks(nfc);
    compose_marks(nfc);
    return flush(ctx, nfc);
}

calmoe_status cm_nfc(struct calmoe_context *ctx, struct nfc *nfc, const char *text, size_t n_bytes,
                     const char **out, size_t *n_out)
{
    *out = text;
    *n_out = n_bytes;
    if (is_clean(text, n_bytes)) return CALMOE_OK;
    nfc->n = nfc->n_marks = 0;
    nfc->has_starter = 0;
    for (size_t at = 0; at < n_bytes;) {
        const int length = cm_utf8_length(text + at, n_bytes - at);
        if (length > 0) {
            CM_TRY(add_apart(ctx, nfc, cm_utf8_point(text + at, length)));
            at += (size_t)length;
            continue;
        }
        CM_TRY(end(ctx, nfc));
        CM_TRY(reserve(ctx, nfc, 1));
        nfc->out[nfc->n++] = text[at++];
    }
    CM_TRY(end(ctx, nfc));
    *out = nfc->out;
    *n_out = nfc->n;
    return CALMOE_OK;
}

void cm_nfc_close(struct nfc *nfc)
{
    cm_free(nfc->out);
    cm_free(nfc->marks);
    *nfc = (struct nfc){ 0 };
}
