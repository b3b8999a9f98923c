"""grpcio in a sandbox; it takes the proxy and the CA from the environment."""

import queue

import grpc
from steps import step

DEADLINE_SECONDS = 60

channel = grpc.secure_channel("grpc.test:443", grpc.ssl_channel_credentials())
placeholder = (("authorization", "Bearer placeholder"), ("x-sent", "by the sandbox"))

upper = channel.unary_unary("/test.Gate/Upper")
answer, call = upper.with_call(b"hello", timeout=DEADLINE_SECONDS, metadata=placeholder)
step(
    unary=answer.decode(),
    status=call.code().name,
    initial=dict(call.initial_metadata()).get("x-initial"),
    trailing=dict(call.trailing_metadata()).get("x-trailing"),
    trailing_bin=dict(call.trailing_metadata()).get("x-trailing-bin", b"").hex(),
)

# Each message is sent after the answer to the one before has come: a proxy that waits for the end
# of either side would wait for ever.
outbox = queue.Queue()
calls = channel.stream_stream("/test.Gate/Echo")(iter(outbox.get, None), timeout=DEADLINE_SECONDS)
for message in (b"one", b"two", b"three"):
    outbox.put(message)
    step(streamed=next(calls).decode())
outbox.put(None)
step(left=len(list(calls)), stream_status=calls.code().name)

count = channel.stream_unary("/test.Gate/Count")
pieces = (b"x" * 65536 for _ in range(256))
step(counted=count(pieces, timeout=DEADLINE_SECONDS).decode())


def failure(method):
    try:
        channel.unary_unary(method)(b"hello", timeout=DEADLINE_SECONDS)
    except grpc.RpcError as error:
        return {"status": error.code().name, "details": error.details()}


step(failed=failure("/test.Gate/Fail"))
step(denied=failure("/test.Gate/Forbidden"))
