# Build options and the flags every target shares. Flags ride on tandem_options, never on globals.
option(TANDEM_TESTS "Build the tests" ON)
option(TANDEM_BENCHMARKS "Build the benchmarks" OFF)
option(TANDEM_PYTHON "Build the Python module" ON)
set(TANDEM_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address;undefined")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(TANDEM_CCACHE ccache)
if(TANDEM_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${TANDEM_CCACHE})
endif()

add_library(tandem_options INTERFACE)
target_include_directories(tandem_options INTERFACE ${CMAKE_SOURCE_DIR})
# -ffp-contract=off: the same bits on every host; goldens and functional results rest on it.
target_compile_options(tandem_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -ffp-contract=off)
if(TANDEM_SANITIZE)   # reports name functions and lines, which -g1 knows; nobody debugs this build
  list(JOIN TANDEM_SANITIZE "," sanitizers)
  target_compile_options(tandem_options INTERFACE
    -O1 -g1 -fsanitize=${sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(tandem_options INTERFACE -fsanitize=${sanitizers})
endif()
