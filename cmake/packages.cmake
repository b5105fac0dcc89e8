# Debian packages, one for each component of the installation:
#   cmake --preset package && cmake --build --preset package        leaves build/package/*.deb
# That preset installs to /usr, where the library then looks for the embedded model and nowhere else.

set(CALMOE_MAINTAINER "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
if(CALMOE_MAINTAINER STREQUAL " <>")
  set(CALMOE_MAINTAINER "whoever built it <root@localhost>")
endif()

# calmoe_package(COMPONENT NAME SECTION DEPENDS RECOMMENDS TEXT [all]): a package, with the two files that each has to
# have. "@" in DEPENDS: "(= its version)".
function(calmoe_package component name section depends recommends text)
  string(TOUPPER ${component} upper)
  string(REPLACE "@" "(= ${PROJECT_VERSION})" depends "${depends}")
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section} PARENT_SCOPE)
  set(CPACK_COMPONENT_${upper}_DESCRIPTION "${text}" PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${depends}" PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_RECOMMENDS "${recommends}" PARENT_SCOPE)
  if("all" IN_LIST ARGN)
    set(CPACK_DEBIAN_${upper}_PACKAGE_ARCHITECTURE all PARENT_SCOPE)
    set(CPACK_DEBIAN_${upper}_PACKAGE_SHLIBDEPS OFF PARENT_SCOPE)
  endif()
  set(CPACK_COMPONENTS_ALL ${CPACK_COMPONENTS_ALL} ${component} PARENT_SCOPE)

  set(folder ${PROJECT_BINARY_DIR}/packages/${name})
  file(WRITE ${folder}/changelog "calmoe (${PROJECT_VERSION}) unstable; urgency=medium\n\n  * docs/CHANGES.md of the source "
       "tells what is new.\n\n -- ${CALMOE_MAINTAINER}  ${CALMOE_DATE}\n")
  execute_process(COMMAND gzip -9nf ${folder}/changelog)
  install(FILES ${folder}/changelog.gz DESTINATION share/doc/${name} COMPONENT ${component} EXCLUDE_FROM_ALL)
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION share/doc/${name} RENAME copyright COMPONENT ${component}
          EXCLUDE_FROM_ALL)
endfunction()

string(TIMESTAMP CALMOE_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
set(CPACK_COMPONENTS_ALL)
calmoe_package(library libcalmoe${PROJECT_VERSION_MAJOR} libs "" "calmoe-data, libopenblas0"
"calmoe runs language models that send each token to a few experts, from GGUF
files, with the same bits on any number of threads. This package has the
shared library.")
calmoe_package(data calmoe-data misc "" ""
"This package has calmoe-nano, a small model that calmoe's library opens where
no other is named, with a policy that was proven for it." all)
set(static_needs "libhwloc-dev, libjansson-dev, libpcre2-dev")
if(CALMOE_URING_TARGET)
  string(APPEND static_needs ", liburing-dev")
endif()
calmoe_package(development libcalmoe-dev libdevel "libcalmoe${PROJECT_VERSION_MAJOR} @"
"${static_needs}"
"This package has calmoe's headers, its static library, and what pkg-config and
CMake want to know.")
calmoe_package(tools calmoe utils "libcalmoe${PROJECT_VERSION_MAJOR} @" ""
"This package has the command calmoe, which runs, inspects, profiles, places,
calibrates and quantizes models, and the benchmark calmoe-bench.")
calmoe_package(python python3-calmoe python "libcalmoe${PROJECT_VERSION_MAJOR} @, python3:any" "python3-numpy"
"This package has a typed Python module that calls calmoe's shared library; it
has no compiled part." all)

# What the linker knows is read anew when the library comes or goes.
file(WRITE ${PROJECT_BINARY_DIR}/packages/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/packages/triggers)
# Python's byte code is made and removed with the module.
file(WRITE ${PROJECT_BINARY_DIR}/packages/postinst "#!/bin/sh\nset -e\npy3compile -p python3-calmoe\n")
file(WRITE ${PROJECT_BINARY_DIR}/packages/prerm "#!/bin/sh\nset -e\npy3clean -p python3-calmoe\n")
set(CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/packages/postinst
                                              ${PROJECT_BINARY_DIR}/packages/prerm)

install(DIRECTORY bindings/python/calmoe DESTINATION lib/python3/dist-packages COMPONENT python EXCLUDE_FROM_ALL
        PATTERN __pycache__ EXCLUDE)
install(FILES bindings/python/README.md DESTINATION share/doc/python3-calmoe COMPONENT python EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_PACKAGE_CONTACT "${CALMOE_MAINTAINER}")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY "=")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
