"""What an Android device looks like to the agent: its programs, which answer with what was recorded, and its name service."""
import pathlib
import shutil
import socket
import struct
import threading

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY / "tests/fixtures/android"

# Our name of the ABI: Android's, and the qemu-user that runs it here.
ABIS = {"arm64": ("arm64-v8a", "qemu-aarch64"), "armv7": ("armeabi-v7a", "qemu-arm"), "x86_64": ("x86_64", None)}

PROGRAMS = {
    "getprop": r"""
[ $# -eq 0 ] && exec cat "$device/getprop"
sed -n "s/^\[$1\]: \[\(.*\)\]\$/\1/p" "$device/getprop" | grep . || echo "${2-}"
""",
    "dumpsys": r"""
[ -f "$device/dumpsys-$1" ] && exec cat "$device/dumpsys-$1"
echo "Can't find service: $1"
""",
    "pm": r"""
case "$*" in
"list packages -f --show-versioncode") exec cat "$device/pm-list-packages" ;;
"list packages") exec sed -n 's/.*=\([A-Za-z0-9._]*\) versionCode:.*/package:\1/p' "$device/pm-list-packages" ;;
esac
echo "Unknown command: $*" >&2
exit 255
""",
    "am": r"""
for word in "$@"; do printf '<%s>' "$word"; done >> "$device/am-calls"
echo >> "$device/am-calls"
""",
    "settings": r"""
[ "$1" = get ] || exit 255
sed -n "s/^$2 $3=//p" "$device/settings" 2>/dev/null | grep . || echo null
""",
}


def package(abi):
    """The folder for a device that the Android build made."""
    folder = REPOSITORY / f"build/android-{abi}/muster-agent-android-{abi}"
    assert (folder / "muster-agent").exists(), \
        f"no agent for {abi}: cmake --preset android-{abi} && cmake --build --preset android-{abi}"
    return folder


def command(abi, program):
    """How to run a program of this ABI on this machine."""
    emulator = ABIS[abi][1]
    return [emulator, str(program)] if emulator else [str(program)]


class AndroidRoot:
    """A folder with a device's /system, /data and /dev. Its processes are this machine's, so /proc is too.

    inside: the folder's own path as its programs see it ("" when it is their root folder)."""

    def __init__(self, folder, recorded="phone-14", abi="arm64", serial=None, inside=None):
        self.folder, self.abi = pathlib.Path(folder), abi
        for name in ("system/bin", "data/local/tmp", "dev/socket", "recorded"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for source in (FIXTURES / recorded).iterdir():
            shutil.copyfile(source, self.folder / "recorded" / source.name)
        self.set_property("ro.product.cpu.abi", ABIS[abi][0])
        if serial:
            self.set_property("ro.serialno", serial)
        for name, script in PROGRAMS.items():
            path = self.folder / "system/bin" / name
            path.write_text(f"#!/bin/sh\ndevice={self.folder if inside is None else inside}/recorded{script}")
            path.chmod(0o755)
        if inside is None:
            (self.folder / "proc").symlink_to("/proc")

    def recorded(self, name):
        return self.folder / "recorded" / name

    def set_property(self, name, value):
        path = self.recorded("getprop")
        lines = [line for line in path.read_text().splitlines() if not line.startswith(f"[{name}]: ")]
        path.write_text("\n".join([*lines, f"[{name}]: [{value}]"]) + "\n")


class Netd:
    """Android's name service on <root>/dev/socket/dnsproxyd; knows the names it is given, IPv4 only."""

    def __init__(self, root, names):
        self.names, self.asked = names, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = root.folder / "dev/socket/dnsproxyd"
        path.unlink(missing_ok=True)
        self.socket.bind(str(path))
        self.socket.listen(8)
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(180)

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                words = connection.recv(1024).rstrip(b"\0").decode().split(" ")
                self.asked.append(words)
                connection.sendall(self._answer(words))

    def _answer(self, words):
        if words[0] != "getaddrinfo" or len(words) != 8 or words[1] not in self.names:
            return b"401\0" + struct.pack(">I", 4) + struct.pack("<I", 7)  # EAI_NODATA
        address = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(self.names[words[1]]))
        return b"222\0" + struct.pack(">6I", 1, 0, socket.AF_INET, socket.SOCK_STREAM, 6, len(address)) + address + \
            struct.pack(">2I", 0, 0)
