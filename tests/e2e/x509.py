"""Certificates as nobody should issue them, signed with the stack's own CA keys: any name, period and usage. Written out
in DER (X.690), since the tools that make certificates refuse most of these."""
import base64
import datetime
import os

from stack import run

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
USAGES = {"client": bytes.fromhex("06082b06010505070302"), "server": bytes.fromhex("06082b06010505070301")}
UTF8, PRINTABLE = 0x0C, 0x13


def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def split(data):
    """The whole elements that data is a row of."""
    found = []
    while data:
        size, head = data[1], 2
        if size & 0x80:
            head = 2 + (size & 0x7F)
            size = int.from_bytes(data[2:head], "big")
        found.append(data[: head + size])
        data = data[head + size:]
    return found


def inside(element):
    size = element[1]
    return element[2 + (size & 0x7F if size & 0x80 else 0):]


def der(pem):
    text = pem.split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0]
    return base64.b64decode(text)


def subject_of(pem):
    tbs = split(inside(der(pem)))[0]
    return split(inside(tbs))[5]


def time(days):
    moment = datetime.datetime.utcnow() + datetime.timedelta(days=days)
    return tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


def forge(ca_cert, ca_key, folder, label, name, start=-1, end=30, usage="client", name_type=UTF8):
    """A key and a certificate for the CN name (bytes), valid from start to end in days from now: (certificate, key)."""
    folder.mkdir(exist_ok=True)
    key, tbs_file, out = folder / f"{label}.key", folder / f"{label}.tbs", folder / f"{label}.crt"
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    run("openssl", "pkey", "-in", key, "-pubout", "-outform", "DER", "-out", tbs_file)
    public = tbs_file.read_bytes()
    common_name = tlv(0x30, bytes.fromhex("0603550403"), tlv(name_type, name))
    extension = tlv(0x30, bytes.fromhex("0603551d25"), tlv(0x04, tlv(0x30, USAGES[usage])))
    tbs = tlv(
        0x30, tlv(0xA0, bytes.fromhex("020102")), tlv(0x02, b"\x40" + os.urandom(15)), ECDSA_SHA256,
        subject_of(ca_cert.read_text()), tlv(0x30, time(start), time(end)), tlv(0x30, tlv(0x31, common_name)), public,
        tlv(0xA3, tlv(0x30, extension)),
    )
    tbs_file.write_bytes(tbs)
    run("openssl", "dgst", "-sha256", "-sign", ca_key, "-out", folder / f"{label}.sig", tbs_file)
    signature = (folder / f"{label}.sig").read_bytes()
    whole = tlv(0x30, tbs, ECDSA_SHA256, tlv(0x03, b"\0", signature))
    text = base64.encodebytes(whole).decode()
    out.write_text(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
    return out, key
