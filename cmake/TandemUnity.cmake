# Sources of one target are compiled several at a time (CMake's unity builds): headers are read and
# templates written once per batch, which halves the work of a build from nothing. The presets that
# build everything at once do so; the others, where one file changes at a time, do not.
#
# Files of a batch share their anonymous namespaces: names in them are unique in their room
# (tests/architecture/check_names.py).
option(TANDEM_UNITY "Compile the sources of a target several at a time" OFF)
set(TANDEM_UNITY_BATCH 12)
if(TANDEM_UNITY)
  # A local name may well be that of another file's constant. Builds file by file check the rest.
  target_compile_options(tandem_options INTERFACE -Wno-shadow -Wshadow=local)
endif()

# tandem_unity(TARGET): for a target with sources of its own.
function(tandem_unity target)
  if(TANDEM_UNITY)
    set_target_properties(${target} PROPERTIES
      UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${TANDEM_UNITY_BATCH})
  endif()
endfunction()
