# Run with `cmake -P` while building: writes garner's Lua files into one C file,
# as they are, not compiled, so that no Lua is needed and any can read them.
# Takes ROOT (the project's folder) and OUTPUT.
include("${CMAKE_CURRENT_LIST_DIR}/GarnerSources.cmake")

set(code "/* Written by the build; see src/embed/files.h. */\n#include \"files.h\"\n\n")
set(table "")
set(i 0)
foreach(file IN LISTS GARNER_LUA_FILES)
  file(READ "${ROOT}/lua/${file}" bytes HEX)
  string(LENGTH "${bytes}" size)
  math(EXPR size "${size} / 2")
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND code "static const unsigned char file_${i}[] = {${bytes}};\n")
  string(REGEX REPLACE "(/init)?\\.lua$" "" module "${file}")
  string(REPLACE "/" "." module "${module}")
  string(APPEND table "  {\"${module}\", \"@${file}\", file_${i}, ${size}},\n")
  math(EXPR i "${i} + 1")
endforeach()
string(APPEND code "\nconst struct gn_embedded_file gn_embedded_files[] = {\n${table}};\n"
  "const size_t gn_embedded_count = ${i};\n")
file(WRITE "${OUTPUT}" "${code}")
