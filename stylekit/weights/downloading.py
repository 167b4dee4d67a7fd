"""Downloads over https. A module of its own, because Python's http and ssl take a while to import."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

SCHEME = "https"


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Does not follow a redirect to plain http, or to a file."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        _require_secure(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_secure(url: str) -> None:
    if urllib.parse.urlsplit(url).scheme != SCHEME:
        raise urllib.error.URLError(f"{url} is not an {SCHEME} address")


def chunks(url: str, timeout: float, size: int) -> Iterator[bytes]:
    """The content at an address, in parts.

    Args:
        url: the address
        timeout: seconds that the server may be silent
        size: bytes of each part

    Raises:
        OSError: it cannot be fetched, or not securely.
    """
    try:
        _require_secure(url)
        with urllib.request.build_opener(_SecureRedirects).open(url, timeout=timeout) as response:
            while chunk := response.read(size):
                yield chunk
    except urllib.error.HTTPError as error:
        error.close()
        raise
    except http.client.HTTPException as error:
        raise OSError(str(error) or type(error).__name__) from error
