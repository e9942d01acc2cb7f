"""Reads and makes tickets with Python's `cryptography`, and knows nothing of the product but docs/protocol.md.

    python3 tickets.py read < vectors.json     what every good ticket and proof says, and whether signatures are genuine
    python3 tickets.py make < order.json       a ticket, its client part and a proof
"""

import base64
import hashlib
import json
import os
import struct
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encode_json(value):
    return encode(json.dumps(value, separators=(",", ":")).encode())


def sha256(text):
    return encode(hashlib.sha256(text.encode()).digest())


def thumbprint(jwk):
    """RFC 7638 section 3.2."""
    names = ["crv", "kty", "x", "y"] if jwk["kty"] == "EC" else ["crv", "kty", "x"]
    return sha256(json.dumps({name: jwk[name] for name in names}, separators=(",", ":")))


def public_part(jwk):
    return {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}


def public_key(jwk):
    if jwk["crv"] == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(decode(jwk["x"]))
    if jwk["crv"] == "X25519":
        return x25519.X25519PublicKey.from_public_bytes(decode(jwk["x"]))
    x, y = (int.from_bytes(decode(jwk[name]), "big") for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def private_key(jwk):
    if jwk["crv"] == "Ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(decode(jwk["d"]))
    if jwk["crv"] == "X25519":
        return x25519.X25519PrivateKey.from_private_bytes(decode(jwk["d"]))
    return ec.derive_private_key(int.from_bytes(decode(jwk["d"]), "big"), ec.SECP256R1())


def jwk_of(key):
    """The public JWK of a private key."""
    public = key.public_key()
    if isinstance(public, x25519.X25519PublicKey):
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return {"kty": "OKP", "crv": "X25519", "x": encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    numbers = public.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": encode(numbers.x.to_bytes(32, "big")),
        "y": encode(numbers.y.to_bytes(32, "big")),
    }


# Signatures (RFC 7515, RFC 8037, RFC 7518 section 3.4).


def sign(header, payload, jwk):
    signed = f"{encode_json(header)}.{encode_json(payload)}"
    key = private_key(jwk)
    if jwk["crv"] == "Ed25519":
        signature = key.sign(signed.encode())
    else:
        r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{signed}.{encode(signature)}"


def is_genuine(jws, jwk):
    signed, _, signature = jws.rpartition(".")
    try:
        raw = decode(signature)
        if jwk["crv"] == "Ed25519":
            public_key(jwk).verify(raw, signed.encode())
        else:
            r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
            der = utils.encode_dss_signature(r, s)
            public_key(jwk).verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


# Sealing: ECDH-ES+A256KW and A256GCM (RFC 7518 sections 4.6 and 5.3, RFC 3394).


def wrapping_key(private, public):
    if isinstance(private, x25519.X25519PrivateKey):
        secret = private.exchange(public)
    else:
        secret = private.exchange(ec.ECDH(), public)
    algorithm = b"ECDH-ES+A256KW"
    other = struct.pack(">I", len(algorithm)) + algorithm + struct.pack(">III", 0, 0, 256)
    return ConcatKDFHash(algorithm=hashes.SHA256(), length=32, otherinfo=other).derive(secret)


def unseal(head, encrypted_key, iv, ciphertext, tag, epk, jwk):
    key = aes_key_unwrap(wrapping_key(private_key(jwk), public_key(epk)), decode(encrypted_key))
    return json.loads(AESGCM(key).decrypt(decode(iv), decode(ciphertext) + decode(tag), head.encode()))


def unseal_general(sealed, jwk):
    """RFC 7516 section 7.2.1: the ephemeral key is in one of three headers."""
    recipient = next(one for one in sealed["recipients"] if one["header"]["kid"] == jwk["kid"])
    headers = [json.loads(decode(sealed["protected"])), sealed.get("unprotected", {}), recipient["header"]]
    (epk,) = [header["epk"] for header in headers if "epk" in header]
    return unseal(
        sealed["protected"],
        recipient["encrypted_key"],
        sealed["iv"],
        sealed["ciphertext"],
        sealed["tag"],
        epk,
        jwk,
    )


def unseal_compact(text, jwk):
    head, encrypted_key, iv, ciphertext, tag = text.split(".")
    header = json.loads(decode(head))
    return header["typ"], unseal(head, encrypted_key, iv, ciphertext, tag, header["epk"], jwk)


def ephemeral_for(jwk):
    return x25519.X25519PrivateKey.generate() if jwk["crv"] == "X25519" else ec.generate_private_key(ec.SECP256R1())


def encrypt(header, content, key):
    head = encode_json(header)
    iv = os.urandom(12)
    sealed = AESGCM(key).encrypt(iv, json.dumps(content).encode(), head.encode())
    return head, encode(iv), encode(sealed[:-16]), encode(sealed[-16:])


def seal_general(content, jwks):
    key = os.urandom(32)
    head, iv, ciphertext, tag = encrypt({"alg": "ECDH-ES+A256KW", "enc": "A256GCM"}, content, key)
    recipients = []
    for jwk in jwks:
        ephemeral = ephemeral_for(jwk)
        recipients.append(
            {
                "header": {"kid": jwk["kid"], "epk": jwk_of(ephemeral)},
                "encrypted_key": encode(aes_key_wrap(wrapping_key(ephemeral, public_key(jwk)), key)),
            }
        )
    return {"protected": head, "iv": iv, "ciphertext": ciphertext, "tag": tag, "recipients": recipients}


def seal_compact(content, jwk):
    key = os.urandom(32)
    ephemeral = ephemeral_for(jwk)
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "typ": "client-part+jwe", "epk": jwk_of(ephemeral)}
    head, iv, ciphertext, tag = encrypt(header, content, key)
    wrapped = encode(aes_key_wrap(wrapping_key(ephemeral, public_key(jwk)), key))
    return ".".join([head, wrapped, iv, ciphertext, tag])


# The two commands.


def read(vectors):
    keys = {}
    for value in vectors["keys"].values():
        for jwk in value if isinstance(value, list) else [value]:
            keys[jwk["kid"]] = jwk
    good = {vector["name"]: vector for vector in vectors["tickets"]["good"]}

    def read_ticket(vector):
        header, payload, _ = vector["ticket"].split(".")
        claims = json.loads(decode(payload))
        answer = {
            "name": vector["name"],
            "genuine": is_genuine(vector["ticket"], keys[json.loads(decode(header))["kid"]]),
            "claims": claims,
            "secrets": [unseal_general(claims["ss"], keys[opening["kid"]]) for opening in vector["openings"]],
            "clientPart": None,
        }
        if vector["clientPart"] is not None:
            typ, content = unseal_compact(vector["clientPart"], keys[vector["clientKid"]])
            answer["clientPart"] = {"typ": typ, "content": content, "cph": sha256(vector["clientPart"])}
        return answer

    def read_proof(vector):
        header, payload, _ = vector["proof"].split(".")
        jwk = json.loads(decode(header))["jwk"]
        claims = json.loads(decode(payload))
        return {
            "name": vector["name"],
            "genuine": is_genuine(vector["proof"], jwk),
            "jkt": thumbprint(jwk),
            "ath": claims["ath"] == sha256(good[vector["request"]["ticket"]]["ticket"]),
        }

    def forged(vector):
        header = json.loads(decode(vector["ticket"].split(".")[0]))
        return {"name": vector["name"], "genuine": is_genuine(vector["ticket"], keys[header["kid"]])}

    return {
        "tickets": [read_ticket(vector) for vector in vectors["tickets"]["good"]],
        "forged": [forged(vector) for vector in vectors["tickets"]["bad"] if vector["detail"] == "signature"],
        "proofs": [read_proof(vector) for vector in vectors["proofs"]["good"]],
        "thumbprints": {kid: thumbprint(jwk) for kid, jwk in keys.items()},
    }


def make(order):
    """`order`: claims, secret, the private key of the order server, public keys of servers and client, the holder's key."""
    claims = dict(order["claims"])
    client_part = seal_compact({"k": order["secret"]["k"], "jti": claims["jti"]}, order["client"])
    claims["cnf"] = {"jkt": thumbprint(order["holder"])}
    claims["ss"] = seal_general(order["secret"], order["servers"])
    claims["cph"] = sha256(client_part)
    signer, holder = order["signer"], order["holder"]
    ticket = sign({"typ": "ticket+jwt", "alg": signer["alg"], "kid": signer["kid"]}, claims, signer)
    header = {
        "typ": "dpop+jwt",
        "alg": "Ed25519" if holder["crv"] == "Ed25519" else "ES256",
        "jwk": public_part(holder),
    }
    proof = sign(header, {**order["proof"], "ath": sha256(ticket), "jti": encode(os.urandom(18))}, holder)
    return {"ticket": ticket, "clientPart": client_part, "proof": proof}


if __name__ == "__main__":
    command = {"read": read, "make": make}[sys.argv[1]]
    json.dump(command(json.load(sys.stdin)), sys.stdout)
