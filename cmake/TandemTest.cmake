include(GoogleTest)

# Checks are compiled quickly rather than to run quickly: the time of a test is spent in the rooms.
# Executables are position independent as programs (-fPIE), unlike the owner of their header.
set(TANDEM_TEST_OPTIONS $<$<CONFIG:Release,RelWithDebInfo>:-O1>)
tandem_headers(tandem_test_headers
  HEADERS ${TANDEM_COMMON_HEADERS} <fstream> <gmock/gmock.h> <gtest/gtest.h>
  LIBRARIES fmt::fmt GTest::gtest GTest::gmock
  OPTIONS -fPIE ${TANDEM_TEST_OPTIONS})

# Rooms whose tests also run under the sanitizers (scripts/test.sh builds just these there).
set(TANDEM_SANITIZED_ROOMS core numerics config lpu)
add_custom_target(sanitized_tests)

# tandem_test(NAME LABEL label [UNSANITIZED] SOURCES ... LIBRARIES ...): one GoogleTest executable.
function(tandem_test name)
  cmake_parse_arguments(ARG "UNSANITIZED" "LABEL" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_options(${name} PRIVATE ${TANDEM_TEST_OPTIONS})
  tandem_reuse_headers(${name} tandem_test_headers)
  target_compile_definitions(${name} PRIVATE TANDEM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set(labels ${ARG_LABEL})
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME room)
  if(room IN_LIST TANDEM_SANITIZED_ROOMS AND NOT ARG_UNSANITIZED AND
     NOT "tandem::catalog" IN_LIST ARG_LIBRARIES)
    list(APPEND labels sanitized)
    add_dependencies(sanitized_tests ${name})
  endif()
  # One ctest entry per executable keeps start-up cost low; GoogleTest names the failing case.
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${labels}")
endfunction()
