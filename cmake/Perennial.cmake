# Small functions shared by every room: one call makes a library, its tests and its benchmarks.
#
#   perennial_library(journal
#     SOURCES journal.cpp            HEADERS journal.h
#     LINKS perennial::event         TESTS journal_test.cpp
#     BENCHES journal_bench.cpp      PRIVATE_LINKS zlib...)

find_program(PERENNIAL_MOLD mold)
if(PERENNIAL_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Options travel in structs with designated initialisers: fields left at their default are meant.
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports these inside its own std::string and std::optional when it inlines them.
  add_compile_options(-Wno-restrict -Wno-maybe-uninitialized)
endif()
if(PERENNIAL_SANITIZE)
  add_compile_options(-fsanitize=${PERENNIAL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PERENNIAL_SANITIZE})
endif()

function(perennial_library room)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;LINKS;PRIVATE_LINKS;TESTS;BENCHES" ${ARGN})
  if(ARG_SOURCES)
    add_library(perennial_${room} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
    target_link_libraries(perennial_${room} PUBLIC ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS})
  else()
    add_library(perennial_${room} INTERFACE)
    set(scope INTERFACE)
    target_link_libraries(perennial_${room} INTERFACE ${ARG_LINKS})
  endif()
  add_library(perennial::${room} ALIAS perennial_${room})
  target_include_directories(perennial_${room} ${scope} ${CMAKE_SOURCE_DIR}/src)
  target_sources(perennial_${room} ${scope} FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR}/src FILES ${ARG_HEADERS})
  if(BUILD_TESTING AND ARG_TESTS)
    perennial_test(${room} SOURCES ${ARG_TESTS} LINKS perennial::${room} ${ARG_PRIVATE_LINKS})
  endif()
  if(ARG_BENCHES)
    add_executable(bench_${room} ${ARG_BENCHES})
    target_link_libraries(bench_${room} PRIVATE perennial::${room} ${ARG_PRIVATE_LINKS} benchmark::benchmark_main)
    set_target_properties(bench_${room} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()

# One test program a room; ctest sees every TEST in it. PERENNIAL_DATA points at the public data sets:
# a test that wants one and finds none skips with a message.
function(perennial_test name)
  cmake_parse_arguments(ARG "" "LABEL" "SOURCES;LINKS" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE ${ARG_LINKS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(test_${name} PRIVATE PERENNIAL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  gtest_discover_tests(test_${name} TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 600 ENVIRONMENT "OMP_NUM_THREADS=1")
endfunction()
include(GoogleTest)
