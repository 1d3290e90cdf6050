# Headers that most files read are compiled once: the standard library and fmt for the rooms,
# GoogleTest for the tests, CLI11 for the commands. Third-party headers only: ours change.
#
# Off where ccache answers, for it shares objects between build folders and a precompiled header
# never has the same bytes twice. Sources include what they use all the same; building with
# TANDEM_PRECOMPILE=OFF shows it.
set(precompile_default ON)
if(CMAKE_CXX_COMPILER_LAUNCHER MATCHES "ccache" AND NOT "$ENV{CCACHE_DISABLE}")
  set(precompile_default OFF)
endif()
option(TANDEM_PRECOMPILE "Precompile the headers that most files read" ${precompile_default})

# GCC 12 sees overlaps, overflows and overreads in std::string where there are none, more of them with a
# precompiled header or many files at a time (GCC bugs 105329 and 105651). Other builds keep the warnings.
if((TANDEM_PRECOMPILE OR TANDEM_UNITY) AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND
   CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(tandem_options INTERFACE
    -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
endif()

set(TANDEM_COMMON_HEADERS
  <algorithm> <array> <cmath> <cstdint> <filesystem> <functional> <limits> <map> <memory> <optional>
  <set> <span> <string> <string_view> <utility> <variant> <vector> <fmt/format.h>)

# tandem_headers(NAME HEADERS ... LIBRARIES ... OPTIONS ...): a target that only owns the
# precompiled header. Whoever reuses it must be compiled with the same flags.
function(tandem_headers name)
  cmake_parse_arguments(ARG "" "" "HEADERS;LIBRARIES;OPTIONS" ${ARGN})
  if(NOT TANDEM_PRECOMPILE)
    return()
  endif()
  add_library(${name} OBJECT ${CMAKE_SOURCE_DIR}/cmake/precompiled.cpp)
  target_link_libraries(${name} PRIVATE tandem_options ${ARG_LIBRARIES})
  target_compile_options(${name} PRIVATE ${ARG_OPTIONS})
  target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
endfunction()

# tandem_reuse_headers(TARGET OWNER): reads the precompiled header of OWNER, where there is one.
function(tandem_reuse_headers target owner)
  if(TARGET ${owner})
    target_precompile_headers(${target} REUSE_FROM ${owner})
  endif()
endfunction()

tandem_headers(tandem_room_headers HEADERS ${TANDEM_COMMON_HEADERS} LIBRARIES fmt::fmt)
