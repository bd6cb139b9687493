# GARNER_EMBED: garner for a C program, as one archive with the Lua files in it,
# its header, and what CMake and pkg-config need to find them. Several Luas can
# be installed below one prefix: all names but the header's carry the Lua's.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(embed_name "garner-lua${GARNER_LUA_ABI}")
set(embed_folder "${CMAKE_CURRENT_BINARY_DIR}/embed")
configure_file(src/embed/garner.h.in "${embed_folder}/include/garner.h" @ONLY)

set(embed_lua_files ${GARNER_LUA_FILES})
list(TRANSFORM embed_lua_files PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/lua/")
add_custom_command(OUTPUT "${embed_folder}/files.c"
  COMMAND "${CMAKE_COMMAND}" "-DROOT=${CMAKE_CURRENT_SOURCE_DIR}"
    "-DOUTPUT=${embed_folder}/files.c" -P cmake/GarnerEmbedFiles.cmake
  DEPENDS cmake/GarnerEmbedFiles.cmake cmake/GarnerSources.cmake ${embed_lua_files}
  WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
  COMMENT "Writing the Lua files into ${embed_folder}/files.c" VERBATIM)

add_library(garner_preload OBJECT ${GARNER_EMBED_SOURCES} "${embed_folder}/files.c")
garner_compile_options(garner_preload)
target_include_directories(garner_preload SYSTEM PRIVATE "${GARNER_LUA_INCLUDE}")
target_include_directories(garner_preload PRIVATE src/embed "${embed_folder}/include")

# One object whose hidden names are made local, so that a program may use any
# name but garner_* and luaopen_garner_core. Without the GNU tools the archive
# has the objects as they are: then gn_* are taken too.
set(embed_objects $<TARGET_OBJECTS:garner_preload> $<TARGET_OBJECTS:garner_binding>)
if(CMAKE_OBJCOPY AND NOT APPLE)
  add_custom_command(OUTPUT "${embed_folder}/garner.o"
    COMMAND "${CMAKE_C_COMPILER}" -r -nostdlib -o "${embed_folder}/garner.o" ${embed_objects}
      -Wl,--whole-archive "$<TARGET_FILE:garner_core>" -Wl,--no-whole-archive
    COMMAND "${CMAKE_OBJCOPY}" --localize-hidden "${embed_folder}/garner.o"
    DEPENDS garner_preload garner_binding ${embed_objects} "$<TARGET_FILE:garner_core>"
    COMMENT "Joining garner's objects" COMMAND_EXPAND_LISTS VERBATIM)
  set(embed_objects "${embed_folder}/garner.o")
  set_source_files_properties("${embed_objects}" PROPERTIES EXTERNAL_OBJECT ON)
else()
  list(APPEND embed_objects $<TARGET_OBJECTS:garner_core>)
endif()
add_library(garner STATIC ${embed_objects})
add_library(garner::garner ALIAS garner)
add_dependencies(garner garner_core)
set_target_properties(garner PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME "${embed_name}")
target_include_directories(garner INTERFACE
  "$<BUILD_INTERFACE:${embed_folder}/include>"
  "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
target_link_libraries(garner INTERFACE CURL::libcurl OpenSSL::Crypto ZLIB::ZLIB
  Threads::Threads ${CMAKE_DL_LIBS} m)
if(GARNER_SANITIZE)
  target_link_options(garner INTERFACE "$<BUILD_INTERFACE:-fsanitize=${GARNER_SANITIZE}>")
endif()
if(GARNER_COVERAGE)
  target_link_options(garner INTERFACE "$<BUILD_INTERFACE:--coverage>")
endif()

install(FILES "${embed_folder}/include/garner.h" TYPE INCLUDE)
install(TARGETS garner EXPORT garner ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")

# find_package(garner): CMake looks into every folder whose name begins so; the
# version files say which of them is for the Lua that is wanted.
set(embed_package "${CMAKE_INSTALL_LIBDIR}/cmake/${embed_name}")
install(EXPORT garner NAMESPACE garner:: DESTINATION "${embed_package}"
  FILE garner-targets.cmake)
set(embed_lua_path "share/lua/${GARNER_LUA_ABI}")
set(embed_lua_cpath "lib/lua/${GARNER_LUA_ABI}")
configure_package_config_file(cmake/garner-config.cmake.in
  "${embed_folder}/garner-config.cmake" INSTALL_DESTINATION "${embed_package}"
  PATH_VARS embed_lua_path embed_lua_cpath NO_SET_AND_CHECK_MACRO)
configure_file(cmake/garner-config-version.cmake.in
  "${embed_folder}/garner-config-version.cmake" @ONLY)
write_basic_package_version_file("${embed_folder}/garner-version.cmake"
  VERSION "${PROJECT_VERSION}" COMPATIBILITY SameMinorVersion)
install(FILES "${embed_folder}/garner-config.cmake"
  "${embed_folder}/garner-config-version.cmake"
  "${embed_folder}/garner-version.cmake" DESTINATION "${embed_package}")

# pkg-config garner-lua5.4; plain garner is the Lua that was installed last.
set(embed_pc "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
set(embed_dl "")
if(CMAKE_DL_LIBS)
  set(embed_dl "-l${CMAKE_DL_LIBS}")
endif()
file(RELATIVE_PATH embed_up "/prefix/${embed_pc}" "/prefix")
configure_file(cmake/garner.pc.in "${embed_folder}/garner.pc" @ONLY)
install(FILES "${embed_folder}/garner.pc" DESTINATION "${embed_pc}")
install(FILES "${embed_folder}/garner.pc" DESTINATION "${embed_pc}" RENAME "${embed_name}.pc")

# The example program, which the specs run too, where this Lua's library is.
set(embed_lua_names luajit-5.1 luajit)
if(NOT GARNER_LUA STREQUAL "jit")
  string(REPLACE "." "" embed_lua_digits "${GARNER_LUA}")
  set(embed_lua_names "lua${GARNER_LUA}" "lua-${GARNER_LUA}" "lua${embed_lua_digits}" lua)
endif()
find_library(GARNER_LUA_LIBRARY_${GARNER_LUA} NAMES ${embed_lua_names})
if(GARNER_LUA_LIBRARY_${GARNER_LUA} AND NOT GARNER_LUA_INCLUDE_DIR)
  set(LUA_INCLUDE_DIR "${GARNER_LUA_INCLUDE}")
  set(LUA_LIBRARY "${GARNER_LUA_LIBRARY_${GARNER_LUA}}")
  set(garner_LUA_VERSION "${GARNER_LUA_ABI}")
  set(garner_LUA_PATH
    "${CMAKE_CURRENT_SOURCE_DIR}/lua/?.lua;${CMAKE_CURRENT_SOURCE_DIR}/lua/?/init.lua")
  set(garner_LUA_CPATH "${CMAKE_CURRENT_BINARY_DIR}/?.so")
  add_subdirectory(examples/embed)
  garner_compile_options(embed-host)
  garner_compile_options(embed-host-module)
  add_subdirectory(spec/embed EXCLUDE_FROM_ALL)
endif()
