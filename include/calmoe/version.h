/* calmoe/version.h - the version of the header, and of the library that was linked. */
#ifndef CALMOE_VERSION_H
#define CALMOE_VERSION_H

#define CALMOE_VERSION_MAJOR 0
#define CALMOE_VERSION_MINOR 1
#define CALMOE_VERSION_PATCH 0
#define CALMOE_VERSION_TEXT  "0.1.0"

#if defined(__GNUC__)
#define CALMOE_API __attribute__((visibility("default")))
#else
#define CALMOE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version text of the library that runs, for example "0.1.0". Static storage. */
CALMOE_API const char *calmoe_version(void);

#ifdef __cplusplus
}
#endif
#endif
