# Finds lua.h and works out the X.Y folder that this Lua loads modules from.
# Sets GARNER_LUA_INCLUDE and GARNER_LUA_ABI.
set(names_5.1 lua5.1 lua-5.1 lua51 lua/5.1 lua)
set(names_5.2 lua5.2 lua-5.2 lua52 lua/5.2 lua)
set(names_5.3 lua5.3 lua-5.3 lua53 lua/5.3 lua)
set(names_5.4 lua5.4 lua-5.4 lua54 lua/5.4 lua)
set(names_jit luajit-2.1 luajit-2.0 luajit)

if(GARNER_LUA_INCLUDE_DIR)
  set(GARNER_LUA_INCLUDE "${GARNER_LUA_INCLUDE_DIR}")
elseif(DEFINED names_${GARNER_LUA})
  # The name carries the Lua, so that a tree configured for another one
  # searches again.
  find_path(GARNER_LUA_H_${GARNER_LUA} lua.h PATH_SUFFIXES ${names_${GARNER_LUA}})
  set(GARNER_LUA_INCLUDE "${GARNER_LUA_H_${GARNER_LUA}}")
else()
  message(FATAL_ERROR
    "GARNER_LUA is '${GARNER_LUA}'; it takes 5.1, 5.2, 5.3, 5.4 or jit. "
    "For any other Lua set GARNER_LUA_INCLUDE_DIR.")
endif()

if(NOT EXISTS "${GARNER_LUA_INCLUDE}/lua.h")
  message(FATAL_ERROR
    "No lua.h for Lua ${GARNER_LUA}. Install its development files "
    "(Debian: liblua5.4-dev, libluajit2-5.1-dev) or set GARNER_LUA_INCLUDE_DIR.")
endif()

# "#define LUA_VERSION_NUM 504", or from 5.5 on two numbers apart.
file(STRINGS "${GARNER_LUA_INCLUDE}/lua.h" lua_h REGEX
  "^#define[ \t]+LUA_VERSION_(NUM|MAJOR_N|MINOR_N)[ \t]+[0-9]+")
if(lua_h MATCHES "LUA_VERSION_NUM[ \t]+([0-9]+)")
  math(EXPR major "${CMAKE_MATCH_1} / 100")
  math(EXPR minor "${CMAKE_MATCH_1} % 100")
elseif(lua_h MATCHES "LUA_VERSION_MAJOR_N[ \t]+([0-9]+)")
  set(major "${CMAKE_MATCH_1}")
  string(REGEX MATCH "LUA_VERSION_MINOR_N[ \t]+([0-9]+)" ignored "${lua_h}")
  set(minor "${CMAKE_MATCH_1}")
else()
  message(FATAL_ERROR "${GARNER_LUA_INCLUDE}/lua.h does not say its version.")
endif()
set(GARNER_LUA_ABI "${major}.${minor}")

if(NOT GARNER_LUA_INCLUDE_DIR AND GARNER_LUA MATCHES "^[0-9.]+$"
    AND NOT GARNER_LUA STREQUAL GARNER_LUA_ABI)
  message(FATAL_ERROR "Asked for Lua ${GARNER_LUA}, but "
    "${GARNER_LUA_INCLUDE}/lua.h is that of ${GARNER_LUA_ABI}.")
endif()
message(STATUS "Lua ${GARNER_LUA_ABI} headers: ${GARNER_LUA_INCLUDE}")
