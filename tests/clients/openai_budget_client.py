"""The OpenAI SDK at the end of a budget: what answers tell is spent, and what is no model's is free."""

import openai
from steps import step

client = openai.OpenAI(
    base_url="https://openai.test/v1", api_key="placeholder", max_retries=0
)
messages = [{"role": "user", "content": "Is the gate open?"}]


def ask(**more):
    return client.chat.completions.create(model="gated", messages=messages, **more)


def refused(name, call):
    try:
        call()
        step(**{name: "was allowed"})
    except openai.PermissionDeniedError as error:
        step(**{name: str(error)})


refused("batch", lambda: client.batches.create(
    input_file_id="f", endpoint="/v1/chat/completions", completion_window="24h"
))
step(whole=ask().usage.total_tokens)
for chunk in ask(stream=True, stream_options={"include_usage": True}):
    if chunk.usage:
        step(streamed=chunk.usage.total_tokens)
refused("third", ask)
refused("stream", lambda: list(ask(stream=True)))
step(models=[model.id for model in client.models.list()])
