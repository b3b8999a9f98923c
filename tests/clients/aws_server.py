"""An AWS endpoint that serves only what is signed with its credential.

botocore, which AWS writes, makes the signature that is expected; what it cannot make (bodies in
signed chunks) is checked here as AWS documents it. It prints its port, and then one JSON object for
each request.
"""

import hashlib
import hmac
import http.server
import json
import os
import ssl
import sys
import threading

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SERVICE, REGION = os.environ["AWS_SERVICE"], os.environ["AWS_REGION"]
CREDENTIALS = Credentials("AKIDWORLD", os.environ["AWS_SECRET"], "session/token==")
EMPTY = hashlib.sha256(b"").hexdigest()
printing = threading.Lock()


class Refused(Exception):
    pass


def report(line):
    with printing:
        print(line, flush=True)


class Fixed:
    """A signer of botocore that does not put its own time on."""

    def _modify_request_before_signing(self, request):
        pass

    def _inject_signature_to_request(self, request, signature):
        request.signature = signature
        return request

    def add_auth(self, request):
        canonical = self.canonical_request(request)
        to_sign = self.string_to_sign(request, canonical)
        return self.signature(to_sign, request)


class FixedS3(Fixed, S3SigV4Auth):
    pass


class FixedPlain(Fixed, SigV4Auth):
    pass


def parsed(authorization):
    kind, _, rest = authorization.partition(" ")
    if kind != "AWS4-HMAC-SHA256":
        raise Refused("another algorithm")
    return dict(part.strip().split("=", 1) for part in rest.split(","))


def expected_signature(handler, body):
    given = parsed(handler.headers.get("authorization", ""))
    date = handler.headers["x-amz-date"]
    scope = f"{date[:8]}/{REGION}/{SERVICE}/aws4_request"
    if given["Credential"] != f"{CREDENTIALS.access_key}/{scope}":
        raise Refused("another credential or scope")
    if handler.headers["x-amz-security-token"] != CREDENTIALS.token:
        raise Refused("another session")
    names = given["SignedHeaders"].split(";")
    for needed in ["host", *(n.lower() for n in handler.headers if n.lower().startswith("x-amz-"))]:
        if needed not in names:
            raise Refused(f"{needed} is not signed")
    headers = {name: handler.headers[name] for name in names}
    url = f"https://{handler.headers['host']}{handler.path}"
    request = AWSRequest(method=handler.command, url=url, headers=headers, data=body)
    request.context["timestamp"] = date
    if "x-amz-content-sha256" not in headers:
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
        signer = Unstated(CREDENTIALS, SERVICE, REGION)
    else:
        signer = (FixedS3 if SERVICE == "s3" else FixedPlain)(CREDENTIALS, SERVICE, REGION)
    return given["Signature"], signer.add_auth(request), date, scope


class Unstated(FixedPlain):
    """The payload is hashed, and its hash is no header of the request."""

    def headers_to_sign(self, request):
        signed = super().headers_to_sign(request)
        del signed["x-amz-content-sha256"]
        return signed


def signing_key(date):
    key = ("AWS4" + CREDENTIALS.secret_key).encode()
    for part in (date[:8], REGION, SERVICE, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def unchunked(body, seed, date, scope):
    """The data of a body in signed chunks, each of which is checked."""
    key, previous, data, rest = signing_key(date), seed, b"", body
    while True:
        line, rest = rest.split(b"\r\n", 1)
        size, extension = line.split(b";chunk-signature=")
        chunk, rest = rest[: int(size, 16)], rest[int(size, 16) :]
        hashed = hashlib.sha256(chunk).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", date, scope, previous, EMPTY, hashed])
        previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        if extension.decode() != previous:
            raise Refused("a chunk is signed otherwise")
        if not rest.startswith(b"\r\n"):
            raise Refused("a chunk has no end")
        rest = rest[2:]
        data += chunk
        if not chunk:
            if rest:
                raise Refused("the body goes on")
            return data


def plain(body):
    """The data of a body in chunks that are not signed; trailers follow."""
    data, rest = b"", body
    while True:
        size, rest = rest.split(b"\r\n", 1)
        chunk, rest = rest[: int(size, 16)], rest[int(size, 16) :]
        if not chunk:
            return data
        data, rest = data + chunk, rest[2:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            if len(body) < length:
                raise ConnectionError
            return body
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self):
        try:
            body = self.body()
        except ConnectionError:
            # What does not come whole is no request.
            self.close_connection = True
            return
        data, problem = body, None
        try:
            given, expected, date, scope = expected_signature(self, body)
            if given != expected:
                raise Refused("another signature")
            stated = self.headers.get("x-amz-content-sha256", "")
            if stated == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
                data = unchunked(body, given, date, scope)
            elif stated == "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
                data = plain(body)
            elif len(stated) == 64 and stated != hashlib.sha256(body).hexdigest():
                raise Refused("another payload")
        except (Refused, KeyError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        report(
            json.dumps(
                {
                    "method": self.command,
                    "host": self.headers["host"],
                    "path": self.path,
                    "headers": [[name.lower(), value] for name, value in self.headers.items()],
                    "data_sha256": hashlib.sha256(data).hexdigest(),
                    "problem": problem,
                }
            )
        )
        content, kind = self.content(problem)
        self.send_response(403 if problem else 200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("etag", f'"{hashlib.md5(data).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def content(self, problem):
        if SERVICE != "s3":
            text = {"__type": "InvalidSignatureException"} if problem else {"TableNames": ["gate"]}
            return json.dumps(text).encode(), "application/x-amz-json-1.0"
        if problem:
            return b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "application/xml"
        if self.command != "GET":
            return b"", "application/xml"
        if "list-type=2" in self.path:
            return b"<ListBucketResult><Name>gate</Name></ListBucketResult>", "application/xml"
        return b"what is kept", "application/octet-stream"

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *args):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    report(server.server_address[1])
    server.serve_forever()


main()
