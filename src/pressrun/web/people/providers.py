"""Sign-in by GitHub, ORCID or any OpenID Connect provider, where the owner has registered this site with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

__all__ = ["providers"]


def providers(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What django-allauth is told of each provider that PRESSRUN_GITHUB, PRESSRUN_ORCID and PRESSRUN_OIDC name.

    Raises:
        ImproperlyConfigured: if one of them does not have its parts.
    """
    found: dict[str, dict[str, Any]] = {}
    if given := _parts(environment, "PRESSRUN_GITHUB", "id secret"):
        found["github"] = _provider(*given) | {"SCOPE": ["user:email"]}
    if given := _parts(environment, "PRESSRUN_ORCID", "id secret"):
        found["orcid"] = _provider(*given)
    if given := _parts(environment, "PRESSRUN_OIDC", "address id secret"):
        address, client_id, secret = given
        if not address.startswith(("https://", "http://localhost", "http://127.0.0.1")):
            raise ImproperlyConfigured(f"PRESSRUN_OIDC needs an https address, got {address[:80]!r}.")
        app = {
            "provider_id": "oidc",
            "name": environment.get("PRESSRUN_OIDC_NAME") or "single sign-on",
            "client_id": client_id,
            "secret": secret,
            "settings": {"server_url": address},
        }
        found["openid_connect"] = {"APPS": [app], "OAUTH_PKCE_ENABLED": True}
    return found


def _parts(environment: Mapping[str, str], name: str, parts: str) -> list[str]:
    given = environment.get(name, "").split()
    if given and len(given) != len(parts.split()):
        raise ImproperlyConfigured(f"{name} holds {parts!r} with spaces between, got {len(given)} of {len(parts.split())} parts.")
    return given


def _provider(client_id: str, secret: str) -> dict[str, Any]:
    return {"APP": {"client_id": client_id, "secret": secret}, "OAUTH_PKCE_ENABLED": True}
