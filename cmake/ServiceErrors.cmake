# Writes the errors of services that docs/bands.md has as rows of a C++ table: engine or chip, figure,
# bias and spread as factors. -DPAGE= -DOUTPUT=
file(STRINGS ${PAGE} lines REGEX "^\\| [a-z0-9_]+ \\| (ttft|tpot|power|energy) \\| [0-9]+ \\|")
set(names_ttft Ttft)
set(names_tpot Tpot)
set(names_power Power)
set(names_energy Energy)
set(table "")
foreach(line IN LISTS lines)
  if(line MATCHES "^\\| ([a-z0-9_]+) \\| ([a-z]+) \\| [0-9]+ \\| ([0-9.]+) \\| ([0-9.]+) \\|")
    string(APPEND table "{\"${CMAKE_MATCH_1}\", ServiceFigure::${names_${CMAKE_MATCH_2}}, "
                        "{${CMAKE_MATCH_3}, ${CMAKE_MATCH_4}}},\n")
  endif()
endforeach()
file(WRITE ${OUTPUT} "${table}")
