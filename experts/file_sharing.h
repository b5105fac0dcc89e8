/* experts/file_sharing.h - a model's file that rank 0 alone has: the other ranks have maps of its length that are empty
 * at first (cm_file_map_open_empty()), and get what they need of it.
 *
 * Most of a mixture's bytes are matrices of which a rank needs some rows, while it packs them, and never again. They
 * are listed as `lent`: a rank fetches them a portion at a time and gives the memory back. All else is spread to every
 * rank once, and stays. */
#ifndef EXPERTS_FILE_SHARING_H
#define EXPERTS_FILE_SHARING_H

#include "base/file_map.h"
#include "base/ranks.h"

struct file_range {
    const uint8_t *bytes; /* in one of the maps */
    size_t         n;
};

struct file_sharing {
    struct calmoe_context *ctx;
    struct ranks          *ranks;
    const struct file_map *maps;   /* (n_maps), on each rank of the same length               */
    int                    n_maps;
    size_t                 n_lent;
    struct file_range     *lent;   /* (n_lent), in the order of their addresses, none touches another */
};

/* How something went on this rank; all say so, and fail where one does. */
calmoe_status cm_sharing_agree(const struct file_sharing *sharing, calmoe_status status);

/* All ranks call the following alike. IO: a rank is lost, or rank 0 cannot read its file. */

/* lent (n), of cm_alloc(), may overlap and touch; it is the sharing's from now on. */
void cm_sharing_lend(struct file_sharing *sharing, struct file_range *lent, size_t n);
void cm_sharing_close(struct file_sharing *sharing);

/* Rank 0's bytes of a range, to all others. */
calmoe_status cm_sharing_spread(const struct file_sharing *sharing, const struct file_range *range);
/* All that is not lent. */
calmoe_status cm_sharing_spread_rest(const struct file_sharing *sharing);

/* Whether ranks but 0 must fetch these bytes before they read them. Pure. */
bool          cm_sharing_is_lent(const struct file_sharing *sharing, const uint8_t *bytes);
/* Rank 0 hands out what the others fetch, until each of them has ended. */
calmoe_status cm_sharing_serve(const struct file_sharing *sharing);
/* On the others, any number of times; then they drop what they do not need any more, and at last end. */
calmoe_status cm_sharing_fetch(const struct file_sharing *sharing, const struct file_range *ranges, size_t n);
void          cm_sharing_drop(const struct file_sharing *sharing, const struct file_range *ranges, size_t n);
calmoe_status cm_sharing_end(const struct file_sharing *sharing);

#endif
