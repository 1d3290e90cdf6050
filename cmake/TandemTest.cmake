# tandem_test(NAME LABEL label SOURCES ... LIBRARIES ...): one GoogleTest executable.
include(GoogleTest)

# Rooms whose tests also run under the sanitizers (scripts/test.sh builds just these there).
set(TANDEM_SANITIZED_ROOMS core numerics config lpu)
add_custom_target(sanitized_tests)

function(tandem_test name)
  cmake_parse_arguments(ARG "" "LABEL" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE TANDEM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set(labels ${ARG_LABEL})
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME room)
  if(room IN_LIST TANDEM_SANITIZED_ROOMS AND NOT "tandem::catalog" IN_LIST ARG_LIBRARIES)
    list(APPEND labels sanitized)
    add_dependencies(sanitized_tests ${name})
  endif()
  # One ctest entry per executable keeps start-up cost low; GoogleTest names the failing case.
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${labels}")
endfunction()
