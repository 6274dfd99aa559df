# perennial::torch: libtorch as found through CMAKE_PREFIX_PATH, and for Debian's the OpenMP flavour of OpenBLAS.
#
# The pthread flavour, Debian's default, starts threads of its own inside ours (24 to 40 times slower on small products).
# Every program that links perennial::torch therefore looks for BLAS in the OpenMP flavour's folder first: as DT_RPATH
# (--disable-new-dtags), because DT_RUNPATH would not hold for the libraries that libtorch itself loads.
# RocksDB's config has already loaded gflags under another target name than the one libtorch's config asks for.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)
if(NOT TARGET gflags)
  find_library(GFLAGS_SHARED_LIBRARY gflags)
  if(GFLAGS_SHARED_LIBRARY)
    add_library(gflags UNKNOWN IMPORTED GLOBAL)
    set_target_properties(gflags PROPERTIES IMPORTED_LOCATION ${GFLAGS_SHARED_LIBRARY})
  endif()
endif()
find_package(Torch REQUIRED)
if(NOT TARGET perennial::torch)
  add_library(perennial_torch INTERFACE)
  add_library(perennial::torch ALIAS perennial_torch)
  target_link_libraries(perennial_torch INTERFACE ${TORCH_LIBRARIES})
  target_include_directories(perennial_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
  set(openblas_openmp /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp)
  if(EXISTS ${openblas_openmp})
    target_link_options(perennial_torch INTERFACE -Wl,--disable-new-dtags -Wl,-rpath,${openblas_openmp})
  else()
    message(STATUS "No OpenMP OpenBLAS in ${openblas_openmp} (package libopenblas0-openmp); training may be slow")
  endif()
endif()
