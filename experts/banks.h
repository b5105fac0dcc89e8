/* experts/banks.h - the banks of a layer: experts that share shapes and all else, and who takes them. A layer may have
 * any of them. Outputs are added in this order. */
#ifndef EXPERTS_BANKS_H
#define EXPERTS_BANKS_H

enum {
    BANK_ROUTED, /* a token takes those that the router says          */
    BANK_SHARED, /* one expert that every token takes                 */
    BANK_DENSE,  /* one more: a feed-forward part beside the experts, or instead of them */
    N_BANKS
};

#endif
