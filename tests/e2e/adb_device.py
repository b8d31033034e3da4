"""An Android device for the real adb client: speaks the ADB protocol over TCP and really runs what it is told.

The device is a folder (AndroidRoot) that the commands of its shell have as their root folder, in a mount name space of
their own: /system/bin with the programs of a device, /data/local/tmp, no /etc. Programs for another processor
are run by qemu-user. Faults are switched on by members.
"""
import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import socket
import stat
import struct
import subprocess
import threading
import uuid

from android_device import AndroidRoot
from stack import free_port, run, wait_for

VERSION, PAYLOAD_MAX, SYNC_CHUNK = 0x01000001, 1 << 20, 64 << 10
FEATURES = "shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir"
AUTH_TOKEN, AUTH_SIGNATURE, AUTH_PUBLIC_KEY = 1, 2, 3
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)

# Those of Android's toybox that this machine has under the same name.
TOOLS = """sh [ basename cat chmod chown cmp cp cut date dd df dirname du echo env expr false find grep gzip gunzip head id kill
ln ls md5sum mkdir mktemp mv nohup od printf ps pwd readlink realpath rm rmdir sed seq setsid sha256sum sleep sort stat
sync tail tar tee test touch tr true uname uniq wc which xargs""".split()

SETUP = r"""set -e
root=$1
mount --rbind /usr "$root/usr"
mount --rbind /proc "$root/proc"
for name in null zero urandom random; do mount --bind "/dev/$name" "$root/dev/$name"; done
cd "$root"
exec chroot "$root" /usr/bin/env -i PATH=/system/bin ANDROID_ROOT=/system ANDROID_DATA=/data HOME=/ HOSTNAME=device \
	TMPDIR=/data/local/tmp LD_PRELOAD=/foreign_exec.so MUSTER_ADB_DEVICE="$2" /system/bin/sh -c "cd /; $3"
"""


class Unplugged(Exception):
    pass


class Stream:
    """One service on the connection: a thread of its own, at most one message under way in each direction."""

    def __init__(self, connection, local, remote):
        self.connection, self.local, self.remote = connection, local, remote
        self.ready, self.incoming, self.data = threading.Semaphore(1), bytearray(), threading.Condition()
        self.closed = False

    def write(self, data):
        for start in range(0, len(data), self.connection.payload_max):
            self.ready.acquire()
            if self.closed:
                raise Unplugged
            self.connection.send(b"WRTE", self.local, self.remote, data[start:start + self.connection.payload_max])

    def received(self, data):
        with self.data:
            self.incoming += data
            self.data.notify_all()
        self.connection.send(b"OKAY", self.local, self.remote)

    def read(self, count):
        with self.data:
            self.data.wait_for(lambda: len(self.incoming) >= count or self.closed)
            if len(self.incoming) < count:
                raise Unplugged
            taken = bytes(self.incoming[:count])
            del self.incoming[:count]
            return taken

    def close(self, tell=True):
        with self.data:
            if self.closed:
                return
            self.closed = True
            self.data.notify_all()
        self.ready.release()
        if tell:
            self.connection.send(b"CLSE", self.local, self.remote)
        self.connection.streams.pop(self.local, None)


class Connection:
    def __init__(self, device, peer):
        self.device, self.peer = device, peer
        self.streams, self.numbers, self.lock = {}, itertools.count(1), threading.Lock()
        self.payload_max = 4096

    def send(self, command, first, second, data=b""):
        number = struct.unpack("<I", command)[0]
        header = struct.pack("<6I", number, first, second, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF)
        with self.lock, contextlib.suppress(OSError):
            self.peer.sendall(header + data)

    def receive(self):
        def exactly(count):
            data = bytearray()
            while len(data) < count:
                more = self.peer.recv(count - len(data))
                if not more:
                    raise Unplugged
                data += more
            return bytes(data)

        number, first, second, length, _, magic = struct.unpack("<6I", exactly(24))
        if magic != number ^ 0xFFFFFFFF or length > PAYLOAD_MAX:
            raise Unplugged
        return struct.pack("<I", number), first, second, exactly(length)

    def serve(self):
        try:
            while True:
                self.handle(*self.receive())
        except (Unplugged, OSError):
            self.unplug()

    def unplug(self):
        with contextlib.suppress(OSError):
            self.peer.shutdown(socket.SHUT_RDWR)
        for stream in list(self.streams.values()):
            stream.close(tell=False)

    def handle(self, command, first, second, data):
        if command == b"CNXN":
            self.payload_max = min(second, PAYLOAD_MAX)
            if self.device.offline:
                return
            if self.device.unauthorized:
                self.send(b"AUTH", AUTH_TOKEN, 0, os.urandom(20))
                return
            self.send(b"CNXN", VERSION, PAYLOAD_MAX, self.device.banner())
        elif command == b"AUTH" and first == AUTH_SIGNATURE:
            self.send(b"AUTH", AUTH_TOKEN, 0, os.urandom(20))  # a key that the device does not know
        elif command == b"AUTH":
            self.device.asked_for_trust.set()  # the user is asked, and does not answer
        elif command == b"OPEN":
            self.open(first, data.rstrip(b"\0").decode())
        elif second in self.streams:
            stream = self.streams[second]
            if command == b"WRTE":
                stream.received(data)
            elif command == b"OKAY":
                stream.ready.release()
            elif command == b"CLSE":
                stream.close()

    def open(self, remote, service):
        self.device.opened.append(service)
        if self.device.unplug_at and self.device.unplug_at in service:
            raise Unplugged
        if self.device.hold and self.device.hold[0] in service:
            wait_for(self.device.hold[1], f"what holds {service}")
        kind, _, argument = service.partition(":")
        kind = kind.split(",")
        run_service = {"shell": self.device.shell, "exec": self.device.shell, "sync": self.device.sync}.get(kind[0])
        if not run_service:
            self.send(b"CLSE", 0, remote)
            return
        stream = Stream(self, next(self.numbers), remote)
        self.streams[stream.local] = stream
        self.send(b"OKAY", stream.local, remote)
        threading.Thread(target=self.run, args=(stream, run_service, kind, argument), daemon=True).start()

    def run(self, stream, service, kind, argument):
        try:
            service(stream, kind, argument)
        except (Unplugged, OSError):
            pass
        finally:
            stream.close()
            if self.device.unplugged:
                self.unplug()


class AdbDevice:
    """with AdbDevice(folder) as device: adb connect 127.0.0.1:<device.port>"""

    def __init__(self, folder, recorded="phone-14", abi="arm64", serial=None):
        self.root = AndroidRoot(folder, recorded, abi, serial, inside="")
        self.id = str(uuid.uuid4())
        self.opened, self.asked_for_trust = [], threading.Event()
        # Faults.
        self.offline = False        # never answers
        self.unauthorized = False   # the user has not allowed this computer
        self.unplug_at = None       # a text: the cable goes when a service with it is opened
        self.unplug_after = None    # bytes pushed: the cable goes then
        self.space_bytes = None     # what may still be pushed
        self.unplugged = False
        self.hold = None            # (text, condition): a service with it is opened once the condition is true
        self._furnish()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = []

    def _furnish(self):
        folder = self.root.folder
        for name in ("usr", "proc", "dev"):
            (folder / name).mkdir(exist_ok=True)
        for name in ("null", "zero", "urandom", "random"):
            (folder / "dev" / name).touch()
        for name in ("bin", "lib", "lib64"):
            (folder / name).symlink_to(f"usr/{name}")
        for name in TOOLS:
            found = shutil.which(name)
            if found:
                (folder / "system/bin" / name).symlink_to("/usr/bin/" + pathlib.Path(found).name)
        run("cc", "-shared", "-fPIC", "-O", "-D_GNU_SOURCE", "-o", folder / "foreign_exec.so",
            pathlib.Path(__file__).parent / "support/foreign_exec.c")

    def banner(self):
        def property_of(name):
            for line in self.root.recorded("getprop").read_text().splitlines():
                if line.startswith(f"[{name}]: "):
                    return line.split("]: [", 1)[1].rstrip("]")
            return "unknown"

        return (f"device::ro.product.name={property_of('ro.product.device')};ro.product.model={property_of('ro.product.model')};"
                f"ro.product.device={property_of('ro.product.device')};features={FEATURES}").encode()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.unplug()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.power_off()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, peer)
            self.connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    def unplug(self):
        for connection in self.connections:
            connection.unplug()
        self.connections = []

    def processes(self):
        """Of this device: whatever its shell has started and is still there."""
        mark, found = f"MUSTER_ADB_DEVICE={self.id}".encode(), []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def power_off(self):
        def all_gone():
            left = self.processes()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait_for(all_gone, "the device's processes to end")

    # ---- shell ----
    def shell(self, stream, kind, command):
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        v2 = "v2" in kind
        process = subprocess.Popen(
            ["unshare", *user, "--mount", "--propagation", "private", "sh", "-c", SETUP, "sh", str(self.root.folder),
             self.id, command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if v2 else subprocess.STDOUT, start_new_session=True)

        def forward(pipe, number):
            with contextlib.suppress(Unplugged, OSError, ValueError):
                while data := os.read(pipe.fileno(), 16384):
                    stream.write(struct.pack("<BI", number, len(data)) + data if v2 else data)

        def feed():
            with contextlib.suppress(Unplugged, OSError, ValueError), process.stdin:
                while True:
                    number, length = struct.unpack("<BI", stream.read(5)) if v2 else (STDIN, 1)
                    data = stream.read(length)
                    if number == CLOSE_STDIN:
                        return
                    if number == STDIN:
                        process.stdin.write(data)
                        process.stdin.flush()

        readers = [threading.Thread(target=forward, args=(pipe, number), daemon=True)
                   for pipe, number in ((process.stdout, STDOUT), (process.stderr, STDERR)) if pipe]
        for thread in [*readers, threading.Thread(target=feed, daemon=True)]:
            thread.start()
        code = process.wait()
        for thread in readers:  # what it left running may hold them open: adb ends all the same
            thread.join(0.5)
        if v2:
            stream.write(struct.pack("<BIB", EXIT, 1, code if code >= 0 else 128 - code))

    # ---- sync ----
    def sync(self, stream, kind, argument):
        requests = {b"STAT": self._stat, b"STA2": self._stat2, b"LST2": self._stat2, b"LIST": self._list, b"LIS2": self._list2,
                    b"SEND": self._send, b"RECV": self._receive}
        while True:
            request, length = struct.unpack("<4sI", stream.read(8))
            path = stream.read(length).decode()
            if request not in requests:
                return
            try:
                requests[request](stream, request, path)
            except OSError as error:
                message = error.strerror.encode()
                stream.write(struct.pack("<4sI", b"FAIL", len(message)) + message)

    def path(self, path):
        return self.root.folder / os.path.normpath("/" + path).lstrip("/")

    def _stat(self, stream, request, path):
        try:
            info = self.path(path).lstat()
            answer = (info.st_mode, info.st_size & 0xFFFFFFFF, int(info.st_mtime))
        except OSError:
            answer = (0, 0, 0)
        stream.write(struct.pack("<4s3I", b"STAT", *answer))

    def _attributes(self, request, path, follow):
        try:
            info = path.stat() if follow else path.lstat()
        except OSError as error:
            return struct.pack("<4sI2Q4IQ3q", request, error.errno, *[0] * 10)
        return struct.pack("<4sI2Q4IQ3q", request, 0, info.st_dev, info.st_ino, info.st_mode, info.st_nlink, 2000, 2000,
                           info.st_size, int(info.st_atime), int(info.st_mtime), int(info.st_ctime))

    def _stat2(self, stream, request, path):
        stream.write(self._attributes(request, self.path(path), request == b"STA2"))

    def _list(self, stream, request, path):
        for name in sorted(os.listdir(self.path(path))):
            info = (self.path(path) / name).lstat()
            stream.write(struct.pack("<4s4I", b"DENT", info.st_mode, info.st_size & 0xFFFFFFFF, int(info.st_mtime),
                                     len(name.encode())) + name.encode())
        stream.write(struct.pack("<4s4I", b"DONE", 0, 0, 0, 0))

    def _list2(self, stream, request, path):
        for name in sorted(os.listdir(self.path(path))):
            stream.write(self._attributes(b"DNT2", self.path(path) / name, False) + struct.pack("<I", len(name.encode())) +
                         name.encode())
        stream.write(struct.pack("<4sI2Q4IQ3qI", b"DONE", *[0] * 12))

    def _send(self, stream, request, path):
        name, _, mode = path.rpartition(",")
        target, mode = self.path(name), int(mode)
        fault, written = None, 0
        partial = target.with_name(target.name + f".{uuid.uuid4().hex}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            output = open(partial, "wb")
        except OSError as error:
            fault, output = error, open(os.devnull, "wb")
        with output:
            while True:
                kind, length = struct.unpack("<4sI", stream.read(8))
                if kind == b"DONE":
                    break
                data = stream.read(length)
                written += len(data)
                if self.unplug_after is not None and written > self.unplug_after:
                    self.unplugged = True
                    raise Unplugged
                if self.space_bytes is not None:
                    self.space_bytes -= len(data)
                    if self.space_bytes < 0 and not fault:
                        fault = OSError(28, "couldn't write file: No space left on device")
                if not fault:
                    output.write(data)
        if fault:
            partial.unlink(missing_ok=True)
            raise fault
        if stat.S_ISLNK(mode):
            target.unlink(missing_ok=True)
            target.symlink_to(partial.read_text().rstrip("\0"))
            partial.unlink()
        else:
            partial.chmod(mode & 0o777)
            os.utime(partial, (length, length))  # DONE says the time in place of a length
            partial.replace(target)
        stream.write(struct.pack("<4sI", b"OKAY", 0))

    def _receive(self, stream, request, path):
        with open(self.path(path), "rb") as source:
            while data := source.read(SYNC_CHUNK):
                stream.write(struct.pack("<4sI", b"DATA", len(data)) + data)
        stream.write(struct.pack("<4sI", b"DONE", 0))


class Adb:
    """The real adb client with a server of its own, keys and port."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "ANDROID_ADB_SERVER_PORT": str(free_port()), "HOME": str(self.folder),
                            "ADB_VENDOR_KEYS": "", "TMPDIR": str(self.folder), "ADB_MDNS_AUTO_CONNECT": "0"}

    def __enter__(self):
        self("start-server")
        return self

    def __exit__(self, *_):
        self("kill-server", check=False)

    def __call__(self, *arguments, check=True, **options):
        return run("adb", *arguments, check=check, env=self.environment, **options)

    def connect(self, device, state="device"):
        address = f"127.0.0.1:{device.port}"

        def there():
            found = self.state(address)
            if found is None:
                self("connect", address, check=False)
            return found == state

        wait_for(there, f"{address} to be {state}: {self('devices').stdout}")
        return address

    def state(self, address):
        for line in self("devices").stdout.splitlines()[1:]:
            if line.startswith(address + "\t"):
                return line.split("\t")[1]
        return None
