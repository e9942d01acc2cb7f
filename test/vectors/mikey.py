"""Writes mikey.json: RFC 3830's derivations and a whole pre-shared key exchange, made from the RFC's text with Python's
hmac and OpenSSL's command line alone.

    python3 test/vectors/mikey.py > test/vectors/mikey.json
"""

import hashlib
import hmac
import json
import struct
import subprocess


def h(key, data):
    return hmac.new(key, data, hashlib.sha1).digest()


def p(s, label, m):
    a, out = label, b""
    for _ in range(m):
        a = h(s, a)
        out += h(s, a + label)
    return out


def prf(key, label, size):
    m = -(-size // 20)
    total = 0
    for i in range(0, len(key), 32):
        total ^= int.from_bytes(p(key[i : i + 32], label, m), "big")
    return total.to_bytes(20 * m, "big")[:size]


def aes_ctr(key, iv, data):
    command = ["openssl", "enc", "-aes-128-ctr", "-K", key.hex(), "-iv", iv.hex()]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def octets(start, size):
    return bytes((start + i) & 0xFF for i in range(size))


def parameters(values):
    return b"".join(bytes([kind, 1, value]) for kind, value in values)


psk, tgk, rand, mki = octets(1, 40), octets(0x40, 16), octets(0x80, 16), octets(0xF0, 4)
csb = 0xC0FFEE01
now_ms = 1_700_000_000_500
seconds = now_ms // 1000 + 2_208_988_800
time = struct.pack(">II", seconds, 0x80000000)
ssrcs = [0x11223344, 0]
ids = [b"viewer@example.com", b"rtsp://media.example"]


def label(constant, cs):
    return struct.pack(">IBI", constant, cs, csb) + rand


encryption = prf(psk, label(0x150533E1, 0xFF), 16)
authentication = prf(psk, label(0x2D22AC75, 0xFF), 20)
salt = prf(psk, label(0x29B88916, 0xFF), 14)
iv = (int.from_bytes(salt, "big") ^ int.from_bytes(b"\0\0" + struct.pack(">I", csb) + time, "big")).to_bytes(14, "big")
iv += b"\0\0"


def header(data_type, first, flags, sessions):
    head = bytes([1, data_type, first, flags]) + struct.pack(">I", csb) + bytes([len(sessions), 0])
    return head + b"".join(struct.pack(">BII", n, ssrc, roc) for n, ssrc, roc in sessions)


def policy(following, number, values):
    content = parameters(values)
    return bytes([following, number, 0]) + struct.pack(">H", len(content)) + content


# TGK with an SPI: last payload, type and validity, lengths.
key_data = bytes([0, 0x01]) + struct.pack(">H", len(tgk)) + tgk + bytes([len(mki)]) + mki
encrypted = aes_ctr(encryption, iv, key_data)
init = (
    header(0, 5, 0x80, [(0, ssrcs[0], 7), (1, ssrcs[1], 0)])
    + bytes([11, 0]) + time
    + bytes([6, len(rand)]) + rand
    + bytes([6, 0]) + struct.pack(">H", len(ids[0])) + ids[0]
    + bytes([10, 1]) + struct.pack(">H", len(ids[1])) + ids[1]
    + policy(10, 0, [(0, 1), (1, 16), (2, 1), (3, 10), (7, 1), (8, 1), (10, 1)])
    + policy(1, 1, [(0, 6), (1, 16), (2, 0), (3, 0), (7, 1), (8, 1), (10, 1)])
    + bytes([0, 1]) + struct.pack(">H", len(encrypted)) + encrypted + bytes([1])
)
init += h(authentication, init)
chosen = 0x55667788
answer = header(1, 5, 0, [(0, ssrcs[0], 7), (1, chosen, 0)]) + bytes([9, 0]) + time + bytes([0, 1])
answer += h(authentication, answer + ids[0] + ids[1] + time)


def session(cs, salt_size):
    return {
        "key": prf(tgk, label(0x2AD01C64, cs), 16).hex(),
        "salt": prf(tgk, label(0x39A2C14B, cs), salt_size).hex(),
    }


print(
    json.dumps(
        {
            "prf": [
                {"key": octets(n, n).hex(), "label": octets(3, 11).hex(), "output": prf(octets(n, n), octets(3, 11), size).hex()}
                for n, size in [(1, 20), (16, 16), (32, 41), (33, 20), (64, 60), (100, 14)]
            ],
            "exchange": {
                "psk": psk.hex(),
                "tgk": tgk.hex(),
                "rand": rand.hex(),
                "mki": mki.hex(),
                "csbId": csb,
                "nowMs": now_ms,
                "encryption": encryption.hex(),
                "authentication": authentication.hex(),
                "salt": salt.hex(),
                "ids": [i.decode() for i in ids],
                "init": init.hex(),
                "chosenSsrc": chosen,
                "answer": answer.hex(),
                "masters": [session(1, 14), session(2, 12)],
            },
        },
        indent=2,
    )
)
