"""The other side of DKIM: keys as operators make them, and dkimpy as receivers verify.

usage: dkim_peer.py keys FOLDER    writes rsa.pem (PKCS#8), rsa1.pem (PKCS#1), ed25519.pem; prints their DNS records as JSON, by name
       dkim_peer.py verify         reads {"mail": …, "records": {name: text}} from stdin; prints "good" or "bad"
"""
import base64, json, sys

if sys.argv[1] == "keys":
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    private = lambda key, form: key.private_bytes(s.Encoding.PEM, form, s.NoEncryption())
    record = lambda kind, data: f"v=DKIM1; k={kind}; p={base64.b64encode(data).decode()}"
    spki = lambda key: key.public_key().public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
    forms = {"rsa": s.PrivateFormat.PKCS8, "rsa1": s.PrivateFormat.TraditionalOpenSSL}
    records = {}
    def write(name, pem, text):
        open(f"{sys.argv[2]}/{name}.pem", "wb").write(pem)
        records[name] = text
    for name, form in forms.items():
        key = rsa.generate_private_key(65537, 2048)
        write(name, private(key, form), record("rsa", spki(key)))
    key = ed25519.Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes(s.Encoding.Raw, s.PublicFormat.Raw)
    write("ed25519", private(key, s.PrivateFormat.PKCS8), record("ed25519", raw))
    print(json.dumps(records))
else:
    import dkim
    given = json.load(sys.stdin)
    find = lambda name, timeout=5: given["records"].get(name.decode().rstrip("."), "").encode() or None
    try:
        good = dkim.verify(given["mail"].encode(), dnsfunc=find)
    except ValueError:  # by the crypto library: a signature that cannot be one of this key's kind
        good = False
    print("good" if good else "bad")
