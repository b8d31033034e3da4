# muster-agent-android-<abi>: the folder for a device's /data/local/tmp, the same as .tar.gz, and its SHA-256 (package.sh).
set(package ${CMAKE_BINARY_DIR}/muster-agent-android-${MUSTER_ANDROID_ABI})
add_custom_command(OUTPUT ${package}/manifest.json
                   COMMAND ${CMAKE_CURRENT_LIST_DIR}/package.sh $<TARGET_FILE:muster-agent> ${CMAKE_STRIP} ${package}
                           ${CMAKE_SYSROOT} ${PROJECT_VERSION} ${mosquitto_version}
                   DEPENDS muster-agent ${CMAKE_CURRENT_LIST_DIR}/package.sh ${CMAKE_CURRENT_LIST_DIR}/service.sh
                           ${CMAKE_SYSROOT}/packages
                   VERBATIM)
add_custom_target(package ALL DEPENDS ${package}/manifest.json)
