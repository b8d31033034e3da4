# libmosquitto from Debian's source, with Debian's patches, since Debian has no static one. As Debian builds it, less what
# the agent never asks for: SOCKS, pre-shared keys and SRV records.
set(mosquitto ${MUSTER_ANDROID_BASE}/mosquitto)
file(GLOB mosquitto_sources ${mosquitto}/lib/*.c)
file(STRINGS ${mosquitto}/debian/changelog mosquitto_version LIMIT_COUNT 1)
string(REGEX REPLACE "^[^(]*\\(([^)]*)\\).*" "\\1" mosquitto_version "${mosquitto_version}")
add_library(mosquitto STATIC ${mosquitto_sources})
target_compile_options(mosquitto PRIVATE -w)
target_compile_definitions(mosquitto PRIVATE WITH_TLS WITH_THREADING VERSION="${mosquitto_version}")
target_include_directories(mosquitto PRIVATE ${mosquitto} ${mosquitto}/deps ${mosquitto}/lib)
target_include_directories(mosquitto SYSTEM PUBLIC ${mosquitto}/include)
add_library(PkgConfig::libmosquitto ALIAS mosquitto)
