"""Signatures as senders of ingest make them: the scheme of Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

PREFIX = "whsec_"


def new_secret() -> str:
    """A secret as a person makes one."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


# What senders and ingest share here; every run has its own.
SECRET = new_secret()


def headers(webhook_id: str, body: bytes, at: int, secret: str = SECRET) -> dict[str, str]:
    """The three headers of a request that is signed `at` seconds since the epoch."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signature = hmac.digest(key, f"{webhook_id}.{at}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
