#!/usr/bin/python3
"""The layer check: who may include what.

common/ includes no program; no program includes another; a third-party library enters through one file; files stay
under 800 lines of at most 120 columns. Exits 1 with one line per breach. `--self-test` shows that each rule can fail.
"""
import pathlib
import re
import sys

PROGRAMS = ["agent", "broker-conf", "ingest", "commander", "bridge", "dashboard", "tools"]
FOLDERS = ["common", *PROGRAMS]

# Header pattern -> the only files that may include it, with the reason in the style guide: one opaque owner each.
OWNERS = {
    r"mosquitto\.h": ["common/mqtt.c", "common/mqtt_error.c", "broker-conf/guard.c"],
    r"mosquitto_(broker|plugin)\.h": ["broker-conf/guard.c"],
    r"libpq-fe\.h": ["common/pg.c"],
    r"json-c/.*|json\.h": ["common/json.c"],
    r"libconfig\.h": ["common/config.c"],
    r"event2/.*|event\.h|evhttp\.h": ["common/loop.c", "common/http.c", "common/http_file.c"],
    r"curl/.*": ["common/http_client.c", "common/curl_loop.h"],
    r"common/curl_loop\.h": ["common/curl_loop.c", "common/http_multi.c", "common/smtp.c"],
    r"openssl/.*": ["common/openssl_cleanup.h", "common/crypto.c", "common/jws.c", "common/key.c", "common/pki.c",
                    "common/signature.c", "common/tls.c", "common/http.c", "common/http_tls.c", "common/jwt.c",
                    "broker-conf/certificate.c", "tools/bench/wire.c"],
    r"common/openssl_cleanup\.h": ["common/crypto.c", "common/jws.c", "common/jwt.c", "common/key.c", "common/pki.c",
                                   "common/signature.c", "common/tls.c"],
    r"sqlite3\.h": ["agent/outbox.c"],
    r"libsmartcols.*": ["tools/table.c"],
    r"crypt\.h": ["common/password.c"],
    r"zlib\.h": ["common/http_gzip.c"],
}
LINES_MAX = 800
COLUMNS_MAX = 120  # a tab is 8
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def breaches_of(path, text):
    folder = path.split("/")[0]
    for header in INCLUDE.findall(text):
        target = header.split("/")[0]
        if target in PROGRAMS and "/" in header and target != folder:
            yield f"{path}: includes {header}: {folder} must not know {target}"
        for pattern, owners in OWNERS.items():
            if re.fullmatch(pattern, header) and path not in owners:
                yield f"{path}: includes {header}, which only {' and '.join(owners)} may"
    lines = text.count("\n")
    if lines > LINES_MAX:
        yield f"{path}: {lines} lines; the ceiling is {LINES_MAX}"
    for number, line in enumerate(text.split("\n"), 1):
        columns = len(line.expandtabs(8))
        if columns > COLUMNS_MAX:
            yield f"{path}:{number}: {columns} columns; the ceiling is {COLUMNS_MAX}"


def self_test():
    bad = {
        "common/x.c": '#include "ingest/store.h"\n',
        "ingest/x.c": '#include "agent/outbox.h"\n',
        "agent/x.c": "#include <mosquitto.h>\n",
        "tools/x.c": "\n" * (LINES_MAX + 1),
        "tools/y.c": "\t" * 15 + "x",
    }
    good = {"ingest/y.c": '#include "ingest/store.h"\n#include "common/mqtt.h"\n', "common/mqtt.c": "#include <mosquitto.h>\n"}
    missed = [p for p, t in bad.items() if not list(breaches_of(p, t))]
    wrong = [p for p, t in good.items() if list(breaches_of(p, t))]
    if missed or wrong:
        sys.exit(f"layer check cannot be trusted: missed {missed}, wrongly found {wrong}")


def main():
    self_test()
    if "--self-test" in sys.argv:
        return
    root = pathlib.Path(__file__).resolve().parents[2]
    found, files = [], 0
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.[ch]")):
            if "node_modules" in path.parts:
                continue
            files += 1
            found += breaches_of(str(path.relative_to(root)), path.read_text())
    print("\n".join(found) or f"layers hold in {files} files")
    sys.exit(1 if found else 0)


main()
