# Builds the agent as one static program for Android (docs/decisions/0014-android-agent.md): Debian's cross compiler, and
# Debian's static libraries of the same architecture, which sysroot.sh brings in. MUSTER_ANDROID_ABI: arm64, armv7, x86_64.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MUSTER_ANDROID_ABI)
set(MUSTER_ANDROID ON)
set(CMAKE_SYSTEM_NAME Linux) # to the compiler it is: the C library is in the program

if(MUSTER_ANDROID_ABI STREQUAL arm64)
  set(CMAKE_SYSTEM_PROCESSOR aarch64)
  set(triplet aarch64-linux-gnu)
  set(link -static-pie)
elseif(MUSTER_ANDROID_ABI STREQUAL armv7)
  set(CMAKE_SYSTEM_PROCESSOR armv7l)
  set(triplet arm-linux-gnueabihf)
  set(link -static) # Debian's C library has no start-up code for static-pie there
elseif(MUSTER_ANDROID_ABI STREQUAL x86_64)
  set(CMAKE_SYSTEM_PROCESSOR x86_64)
  set(triplet x86_64-linux-gnu)
  set(link -static-pie)
else()
  message(FATAL_ERROR "MUSTER_ANDROID_ABI is \"${MUSTER_ANDROID_ABI}\": use a preset, cmake --preset android-arm64")
endif()
set(CMAKE_C_COMPILER ${triplet}-gcc)
set(CMAKE_ASM_COMPILER ${triplet}-gcc)

get_filename_component(MUSTER_ANDROID_BASE ${CMAKE_CURRENT_LIST_DIR}/../../build/android ABSOLUTE)
get_property(trying GLOBAL PROPERTY IN_TRY_COMPILE)
if(NOT trying AND NOT "$ENV{MUSTER_ANDROID_SYSROOT}" STREQUAL "${MUSTER_ANDROID_ABI}") # this file is read several times
  execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/sysroot.sh ${MUSTER_ANDROID_ABI} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "no libraries to build the agent for Android from")
  endif()
  set(ENV{MUSTER_ANDROID_SYSROOT} ${MUSTER_ANDROID_ABI})
endif()
set(CMAKE_SYSROOT ${MUSTER_ANDROID_BASE}/${MUSTER_ANDROID_ABI}/sysroot)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/${triplet}/pkgconfig)

set(CMAKE_C_FLAGS_INIT "-ffunction-sections -fdata-sections")
# Pages of 16 kB are coming; 64 kB holds whatever a kernel has.
set(CMAKE_EXE_LINKER_FLAGS_INIT "${link} -Wl,--gc-sections -Wl,-z,max-page-size=65536")
