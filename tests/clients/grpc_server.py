"""A gRPC upstream without generated code: requests and responses are bytes.

It prints its port, and then one JSON object for each call with all of its metadata.
"""

import json
import os
import sys
import threading
from concurrent import futures

import grpc

EXPECTED = os.environ["EXPECTED_AUTHORIZATION"]
printing = threading.Lock()


def report(line):
    with printing:
        print(line, flush=True)


def admit(context):
    """Refuses a call that does not carry the credential, once."""
    metadata = context.invocation_metadata()
    given = [value for key, value in metadata if key == "authorization"]
    if given != [EXPECTED]:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "the upstream got no valid credential")
    context.send_initial_metadata((("x-initial", "first"),))
    context.set_trailing_metadata((("x-trailing", "last"), ("x-trailing-bin", b"\x00\xff")))


def upper(request, context):
    admit(context)
    return request.upper()


def fail(request, context):
    admit(context)
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the gate is shut: ä")


def echo(requests, context):
    """Answers each message before it reads the next."""
    admit(context)
    for request in requests:
        yield request.upper()


def count(requests, context):
    admit(context)
    return str(sum(len(request) for request in requests)).encode()


METHODS = {
    "/test.Gate/Upper": grpc.unary_unary_rpc_method_handler(upper),
    "/test.Gate/Fail": grpc.unary_unary_rpc_method_handler(fail),
    "/test.Gate/Echo": grpc.stream_stream_rpc_method_handler(echo),
    "/test.Gate/Count": grpc.stream_unary_rpc_method_handler(count),
}


class Handlers(grpc.GenericRpcHandler):
    def service(self, call):
        report(
            json.dumps(
                {
                    "host": "grpc.test",
                    "method": call.method,
                    "metadata": [
                        [key, value if isinstance(value, str) else value.hex()]
                        for key, value in call.invocation_metadata
                    ],
                }
            )
        )
        return METHODS.get(call.method)


def main():
    certificate, key = (open(path, "rb").read() for path in sys.argv[1:3])
    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[Handlers()])
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    report(port)
    server.wait_for_termination()


main()
