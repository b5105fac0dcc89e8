#include "runtime/adapters/adapter_parts.h"
calmoe_status cm_adapter_read_folder(const struct adapter_reading *reading) { return cm_fail(reading->ctx, CALMOE_UNSUPPORTED, "'%s' is a folder", reading->name); }
