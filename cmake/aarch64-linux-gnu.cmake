# A build for 64-bit Arm on another machine, with Debian's cross compiler (gcc-aarch64-linux-gnu). Where the arm64 packages
# of the libraries are unpacked stands in CALMOE_ARM64_ROOT; tests/cross_arm64.sh fetches them there.
#
#   cmake -S . -B build/arm64 --toolchain cmake/aarch64-linux-gnu.cmake -DCALMOE_ARM64_ROOT=PATH
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES CALMOE_ARM64_ROOT)

set(CALMOE_ARM64_ROOT "" CACHE PATH "folder with unpacked arm64 packages")
set(libraries ${CALMOE_ARM64_ROOT}/usr/lib/aarch64-linux-gnu)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CALMOE_ARM64_ROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${libraries}/pkgconfig:${libraries}/openblas-pthread/pkgconfig)
set(CMAKE_C_FLAGS_INIT "-isystem ${CALMOE_ARM64_ROOT}/usr/include/aarch64-linux-gnu")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-rpath-link,${libraries}")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-Wl,-rpath-link,${libraries}")

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
