"""The signer by itself."""

import base64
import unittest

import httpx

from usher_signature import content_digest, hmac_sha256, sign, signature_base

SECRET = base64.b64decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")


class Signatures(unittest.TestCase):
    def test_rfc_9421_b_2_5(self) -> None:
        covered = [
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("@authority", "example.com"),
            ("content-type", "application/json"),
        ]
        base, params = signature_base(covered, created=1618884473, keyid="test-shared-secret")
        self.assertEqual(
            params, '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
        )
        self.assertEqual(hmac_sha256(SECRET, base), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=")

    def test_a_digest_is_rfc_9530s(self) -> None:
        # Appendix D of it.
        digest = content_digest(b'{"hello": "world"}\n')
        self.assertEqual(digest, "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:")

    def test_all_that_decides_what_is_done_is_covered(self) -> None:
        request = httpx.Request(
            "POST",
            "https://Usher.example:443/jobs?limit=1",
            headers={"content-type": "application/json", "idempotency-key": "k", "x-tenant-id": "t1"},
            content=b"{}",
        )
        sign(request, "key", "secret", created=1, nonce="n")
        self.assertEqual(
            request.headers["signature-input"],
            'usher=("@method" "@authority" "@path" "@query" "content-digest" "content-type" "x-tenant-id"'
            ' "idempotency-key");created=1;nonce="n";alg="hmac-sha256";keyid="key"',
        )
        # The same as the other client's, over the same request.
        self.assertEqual(request.headers["signature"], "usher=:OqtNU0puhyRwVgD7B5sYlHvxRqOhmnEPOd3LBLhnA6M=:")


if __name__ == "__main__":
    unittest.main()
