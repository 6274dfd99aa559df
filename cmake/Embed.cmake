# perennial_embed(TARGET NAMESPACE FILE...): makes the files' bytes part of the program, as
#   namespace perennial::NAMESPACE { std::string_view embedded(std::string_view file_name); }
# declared in the generated header "embedded_NAMESPACE.h".
function(perennial_embed target namespace)
  set(header ${CMAKE_CURRENT_BINARY_DIR}/embedded_${namespace}.h)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/embedded_${namespace}.cpp)
  set(body "#include \"embedded_${namespace}.h\"\nnamespace perennial::${namespace} {\nstd::string_view embedded(std::string_view name) {\n")
  foreach(file ${ARGN})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(name ${file} NAME)
    file(READ ${file} text)
    string(APPEND body "    if (name == \"${name}\") return R\"PERENNIAL(${text})PERENNIAL\";\n")
  endforeach()
  string(APPEND body "    return {};\n}\n}\n")
  file(CONFIGURE OUTPUT ${header} @ONLY CONTENT
    "#pragma once\n#include <string_view>\nnamespace perennial::${namespace} {\n// Bytes of the embedded file; empty for a name that was not embedded.\nstd::string_view embedded(std::string_view file_name);\n}\n")
  set(before "")
  if(EXISTS ${source})
    file(READ ${source} before)
  endif()
  if(NOT before STREQUAL body)  # an unchanged file is not compiled again
    file(WRITE ${source} "${body}")
  endif()
  target_sources(${target} PRIVATE ${source})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
