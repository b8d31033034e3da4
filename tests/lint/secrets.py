#!/usr/bin/python3
"""The secrets check: what is named as a secret is compared in constant time.

strcmp, memcmp and their kin end at the first byte that differs, so that their time tells how much of a guess was right.
A comparison of anything named token, secret, key, hash, digest, mac, signature, password, cookie or nonce must be
crypto_equal, or stand in PUBLIC with the reason why nobody gains from its time. Exits 1 with one line per breach;
`--self-test` shows that the rule can fail.
"""
import pathlib
import re
import sys

FOLDERS = ["agent", "common", "broker-conf", "ingest", "commander", "bridge", "dashboard", "tools"]
COMPARISON = re.compile(r"\b(?:str(?:n?case|n)?cmp|memcmp|bcmp)\s*\(")
SECRET = re.compile(r"(?:^|_)(?:token|secret|key|hash|digest|h?mac|sig|signature|password|cookie|nonce|bearer)s?"
                    r"(?:_|\d|$)", re.I)

# File -> what is compared there -> why it is no secret of those who could measure it.
PUBLIC = {
    "agent/fingerprint.c": {"mac": "an Ethernet address"},
    "agent/inventory.c": {"hash": "of what the device itself reads; the server sends neither side"},
    "bridge/quota.c": {"key": "an address"},
    "bridge/renew.c": {"KEY_SHA256": "of a public key", "key_sha256": "of a public key"},
    "bridge/throttle.c": {"key": "an address"},
    "broker-conf/guard.c": {"key": "an option's name in mosquitto.conf"},
    "common/http_parse.c": {"token": "of RFC 9110: a word of a header"},
    "common/password.c": {"hash": "the prefix alone, which says how it was made; the rest is compared by crypto_equal"},
    "common/signature.c": {"key": "the head of a public key, which says of what kind it is"},
    "dashboard/auth.c": {"bearer": "the word before the token"},
    "dashboard/device_list.c": {"key": "a query, whose count is kept"},
    "dashboard/feed.c": {"key": "a row's name, for sorting"},
    "dashboard/lockout.c": {"key": "SHA-256 of an account's name or an address"},
    "dashboard/stream.c": {"token_hash": "both sides are the server's: whose session a live stream belongs to"},
    "dashboard/throttle.c": {"key": "SHA-256 of who asks, who was let in before", "hash": "likewise"},
    "tools/audit_chain.c": {"hash": "of the audit, which whoever runs this reads anyway"},
    "tools/authority.c": {"key_sha256": "of a public key"},
    "tools/stack_identity.c": {"key_sha256": "of a public key"},
}


def arguments_of(text, start):
    """The arguments of the call whose opening parenthesis is just before start."""
    depth, at, begin, out = 1, start, start, []
    while at < len(text) and depth > 0:
        c = text[at]
        depth += (c in "([{") - (c in ")]}")
        if (c == "," and depth == 1) or depth == 0:
            out.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    return out


def names_of(argument):
    """What an argument is called: its last member, and for a call all that goes into it."""
    argument = re.sub(r'"(?:\\.|[^"\\])*"|\bsizeof\b[^,]*', "", argument)
    if "(" in argument:
        return re.findall(r"[A-Za-z_]\w*", argument)
    argument = re.sub(r"\[[^]]*\]|\s*[+-]\s*[\w.()]+$|[&*()]", "", argument)
    return re.findall(r"[A-Za-z_]\w*$", argument)


def secrets_in(text):
    """(line, name) of what a comparison that stops early is given."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)
    for call in COMPARISON.finditer(text):
        for argument in arguments_of(text, call.end())[:2]:
            for name in names_of(argument):
                if SECRET.search(name):
                    yield text.count("\n", 0, call.start()) + 1, name


def breaches_of(path, text, used):
    for line, name in secrets_in(text):
        if name in PUBLIC.get(path, {}):
            used.add((path, name))
        else:
            yield (f"{path}:{line}: {name} is compared in a time that tells where it differs: use crypto_equal, or say "
                   "in tests/lint/secrets.py why it is no secret")


def self_test():
    bad = ["if (strcmp(token, given) == 0)", "memcmp(admin->secret, b, 32)", "strncmp(a, pg_text(row, 0, TOKEN_HASH), 8)",
           "memcmp(&expected_mac[0],\n\tgot, sizeof(got))", "strcasecmp(header + 7, session_cookie)"]
    good = ["crypto_equal(token, given, 32)", "strcmp(kind, \"token\") == 0", "strcmp(keys[i].kid, kid)",
            "strcmp(a, b); // or strcmp(token, b)", "memcmp(monkey, hashed, 4)"]
    missed = [text for text in bad if not list(secrets_in(text))]
    wrong = [text for text in good if list(secrets_in(text))]
    if missed or wrong:
        sys.exit(f"secrets check cannot be trusted: missed {missed}, wrongly found {wrong}")


def main():
    self_test()
    if "--self-test" in sys.argv:
        return
    root = pathlib.Path(__file__).resolve().parents[2]
    found, used, comparisons = [], set(), 0
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.[ch]")):
            if "node_modules" in path.parts:
                continue
            text = path.read_text()
            comparisons += len(COMPARISON.findall(text))
            found += breaches_of(str(path.relative_to(root)), text, used)
    for path, names in PUBLIC.items():
        found += [f"tests/lint/secrets.py: {path} compares no {name} any more" for name in names
                  if (path, name) not in used]
    print("\n".join(found) or f"no secret among {comparisons} comparisons that stop early")
    sys.exit(1 if found else 0)


main()
