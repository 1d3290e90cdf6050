# Writes the validated errors of kernel families, as docs/validation.md has them, as rows of a C++
# table: family, chip, bias, 90th percentile of the absolute error. -DPAGE= -DOUTPUT=
file(STRINGS ${PAGE} lines REGEX "^\\| [^|]+ \\| [a-z0-9_]+ \\| [0-9]+ of [0-9]+ \\|")
set(table "")
foreach(line IN LISTS lines)
  if(line MATCHES "^\\| ([^|]+) \\| ([a-z0-9_]+) \\| [^|]+ \\| [^|]+ \\| ([+-][0-9.]+) \\| ([0-9.]+) \\|")
    string(APPEND table "{\"${CMAKE_MATCH_1}\", \"${CMAKE_MATCH_2}\", ${CMAKE_MATCH_3} * percent, "
                        "${CMAKE_MATCH_4} * percent},\n")
  endif()
endforeach()
if(table STREQUAL "")
  message(FATAL_ERROR "no families in ${PAGE}")
endif()
file(WRITE ${OUTPUT} "${table}")
