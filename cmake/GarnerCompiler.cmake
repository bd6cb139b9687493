# How every target of the project is compiled and how the module is linked.
include(CheckLinkerFlag)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

function(garner_compile_options target)
  set_target_properties(${target} PROPERTIES
    C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
    C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wwrite-strings
    -Wstrict-prototypes -Wmissing-prototypes)
  if(GARNER_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  # A call that POSIX headers do not show is then an error, not a guess.
  if(GARNER_PORTABLE)
    target_compile_definitions(${target} PUBLIC GN_PORTABLE)
    target_compile_options(${target} PRIVATE
      -Werror=implicit-function-declaration)
  endif()
  if(GARNER_FAULTS)
    target_compile_definitions(${target} PUBLIC GN_FAULTS)
  endif()
  if(GARNER_SANITIZE)
    target_compile_options(${target} PRIVATE
      "-fsanitize=${GARNER_SANITIZE}" -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC "-fsanitize=${GARNER_SANITIZE}")
    if(GARNER_SANITIZE MATCHES "undefined")
      target_compile_options(${target} PRIVATE -fno-sanitize-recover=undefined)
    endif()
  endif()
  if(GARNER_COVERAGE)
    target_compile_options(${target} PRIVATE --coverage -O0 -fprofile-update=atomic)
    target_link_options(${target} PUBLIC --coverage)
  endif()
endfunction()

# The engine's thread and libcurl's exit handlers must outlive dlclose, so the
# module stays in memory once loaded. Lua's own functions come from the program
# that loads the module: they are left undefined, no Lua library is linked.
function(garner_module_link target)
  check_linker_flag(C "-Wl,-z,nodelete" GARNER_HAVE_NODELETE)
  if(GARNER_HAVE_NODELETE)
    target_link_options(${target} PRIVATE -Wl,-z,nodelete)
  endif()
  if(APPLE)
    target_link_options(${target} PRIVATE -undefined dynamic_lookup)
  endif()
endfunction()
