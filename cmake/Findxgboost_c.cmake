# Debian 12's own xgboost config names a file that the package does not ship; the C library is found by hand.
find_library(XGBOOST_LIBRARY xgboost REQUIRED)
find_path(XGBOOST_INCLUDE xgboost/c_api.h REQUIRED)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(xgboost_c REQUIRED_VARS XGBOOST_LIBRARY XGBOOST_INCLUDE)
if(NOT TARGET xgboost_c::xgboost)
  add_library(xgboost_c::xgboost UNKNOWN IMPORTED)
  set_target_properties(xgboost_c::xgboost PROPERTIES IMPORTED_LOCATION ${XGBOOST_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${XGBOOST_INCLUDE})
endif()
