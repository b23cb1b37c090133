"""One chat-completions endpoint over HTTP: a single attempt, sorted into an answer, a fault that may pass, or the user's to mend."""

import email.utils
import json
import os
import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from persona_exp.errors import UserError
from persona_exp.teacher.language_model import Completion

PUBLIC = "https://api.openai.com/v1"
CONNECT_SECONDS = 10.0
LARGEST_BODY = 8 << 20  # Bytes; an answer has a few thousand.
SHOWN = 300  # Characters of a server's own words in an error.
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class Passing(Exception):
    """A fault that may be gone at the next attempt. `asked_wait`: seconds that the server asks for; `unbilled`: it did no work."""

    def __init__(self, what: str, asked_wait: float | None = None, unbilled: bool = False) -> None:
        super().__init__(what)
        self.asked_wait, self.unbilled = asked_wait, unbilled


class Refused(Exception):
    """The server understood and will not: its status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Endpoint:
    """Where chat completions are asked for. The key is read from the environment when first needed, and shown nowhere."""

    def __init__(self, base_url: str | None, api_key_variable: str | None, timeout_seconds: float, connections: int = 256) -> None:
        url = (base_url or os.environ.get("OPENAI_BASE_URL") or PUBLIC).strip().rstrip("/").removesuffix("/chat/completions")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError("teacher.base_url must look like http://127.0.0.1:8000/v1 or https://api.mistral.ai/v1.")
        # Without user:password@, which is a secret too.
        self.shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._url, self._variable, self._seconds = f"{url}/chat/completions", api_key_variable, timeout_seconds
        self._key = self._read_key(parts.scheme)
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds), pool=None)
        try:
            self._client = httpx.Client(timeout=timeout, limits=limits)
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise UserError(f"The proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used: {self.clean(str(error))}") from None

    def ask(self, body: dict[str, Any]) -> Completion:
        """POST `body` once. Raise Passing or Refused."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        started = time.monotonic()
        data = bytearray()
        try:
            with self._client.stream("POST", self._url, json=body, headers=headers) as response:
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > LARGEST_BODY:
                        raise Passing(f"an answer of more than {LARGEST_BODY >> 20} MiB")
                    # httpx limits the wait for each piece; a server that drips must not hold a call for ever.
                    if time.monotonic() - started > self._seconds:
                        raise Passing(f"no complete answer in {self._seconds:g} s")
        except httpx.TimeoutException as error:
            raise Passing(f"no answer in {self._seconds:g} s", unbilled=isinstance(error, NEVER_SENT)) from None
        except httpx.TransportError as error:
            # Neither the request nor its headers may travel along with the error.
            raise Passing(self.clean(f"{type(error).__name__}: {error}"), unbilled=isinstance(error, NEVER_SENT)) from None
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise Passing(self.clean(f"{type(error).__name__}: {error}")) from None
        return self._sorted(response, bytes(data))

    def clean(self, text: str) -> str:
        """Return a server's `text` fit to be shown: one short line, printable, without the key."""
        line = " ".join(self.without_key(text).split())
        return "".join(letter for letter in line if letter.isprintable())[:SHOWN]

    def without_key(self, text: str) -> str:
        """Return `text` with the key blotted out, should a server have repeated it."""
        return text.replace(self._key, "[key]") if len(self._key) >= 8 else text

    def explain(self, refused: Refused, model: str) -> UserError:
        """Return the error that names the fix of a refusal."""
        message = f" ({refused.words})" if refused.words else ""
        if refused.status in (401, 403):
            if not self._key:
                return UserError(f"{self.shown} asks for a key{message}: put it into {self._variable or 'a variable'} and name that in "
                                 "teacher.api_key_variable.")  # fmt: skip
            return UserError(f"{self.shown} refuses the key in {self._variable}{message}: correct it, or its rights to {model}.")
        if refused.status == 404:
            return UserError(
                f"{self.shown} knows no model {model}, or no /chat/completions{message}: correct teacher.model, or teacher.base_url, which "
                "often ends in /v1."
            )
        if refused.status == 429 or refused.status == 402:
            return UserError(f"The account at {self.shown} has nothing left{message}: top it up, and what is answered is not asked again.")
        if 300 <= refused.status < 400:
            return UserError(f"{self.shown} is not the endpoint itself but sends elsewhere{message}: set teacher.base_url to that address.")
        return UserError(
            f"{self.shown} does not accept the request, status {refused.status}{message}: check teacher.model and its settings."
        )

    def _read_key(self, scheme: str) -> str:
        key = os.environ.get(self._variable, "").strip() if self._variable else ""
        if self._variable and not key and scheme == "https":
            raise UserError(f"{self.shown} needs a key: put it into {self._variable}, or set teacher.api_key_variable=null if it does not.")
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise UserError(f"The key in {self._variable} holds characters that no key has: set it again.")
        return key

    def _sorted(self, response: httpx.Response, data: bytes) -> Completion:
        status = response.status_code
        if status == 200:
            completion = completion_of(data)
            if completion is None:
                raise Passing(f"status 200 with something else than a chat completion: {self.clean(data[:SHOWN].decode(errors='replace'))}")
            return Completion(self.without_key(completion.text), completion.finish, completion.input_tokens, completion.output_tokens)
        words = self.clean(error_message(data))
        if 300 <= status < 400:
            words = self.clean(response.headers.get("location", "").partition("?")[0])
        if status == 400 and "content_filter" in words + data[:4096].decode(errors="replace"):
            return Completion("", "content_filter", 0, 0)
        if status == 429 and "insufficient_quota" not in data[:4096].decode(errors="replace"):
            raise Passing(f"status 429 {words}".strip(), seconds_asked(response.headers.get("retry-after")), unbilled=True)
        if status in (408, 425) or status >= 500:
            raise Passing(f"status {status} {words}".strip(), seconds_asked(response.headers.get("retry-after")))
        raise Refused(status, words)


def completion_of(data: bytes) -> Completion | None:
    """Return the completion in a response's body, None where it holds none."""
    try:
        body = json.loads(data)
        choice = body["choices"][0]
        message = choice["message"]
        content = message.get("content")
        if isinstance(content, list):  # In parts, of which reasoning is one.
            content = "".join(part["text"] for part in content if part.get("type") == "text")
        text = content or message.get("refusal") or ""
        usage = body.get("usage") or {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None
    if not isinstance(text, str):
        return None
    text = text.encode(errors="replace").decode()  # JSON may hold halves of surrogate pairs, which no file takes.
    prompt_tokens, completion_tokens = (count if type(count) is int and count >= 0 else None for count in counts)
    return Completion(text, str(choice.get("finish_reason") or "stop"), prompt_tokens, completion_tokens)


def error_message(data: bytes) -> str:
    """Return a server's own words about a failure."""
    text = data[:65536].decode(errors="replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(body, dict):
        error = body.get("error", body)
        if isinstance(error, dict):
            return str(error.get("message") or error.get("detail") or error)
        return str(error)
    return text


def seconds_asked(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header, given in seconds or as a date; None where it has neither."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if seconds == seconds else None
