# tandem_room(NAME SOURCES ... [PUBLIC libs] [PRIVATE libs]): one static library per room,
# with the alias tandem::NAME. Rooms above are PUBLIC where a header shows them.
function(tandem_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  if(NOT ARG_SOURCES)   # a room of headers only
    add_library(tandem_${name} INTERFACE)
    add_library(tandem::${name} ALIAS tandem_${name})
    target_link_libraries(tandem_${name} INTERFACE tandem_options ${ARG_PUBLIC} ${ARG_PRIVATE})
    return()
  endif()
  add_library(tandem_${name} STATIC ${ARG_SOURCES})
  add_library(tandem::${name} ALIAS tandem_${name})
  target_link_libraries(tandem_${name} PUBLIC tandem_options ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  tandem_reuse_headers(tandem_${name} tandem_room_headers)
  tandem_unity(tandem_${name})
endfunction()
