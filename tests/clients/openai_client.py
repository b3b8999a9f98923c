"""The OpenAI SDK in a sandbox: it has a placeholder for a key and learns of the proxy from the
environment alone."""

import openai
from steps import step

client = openai.OpenAI(
    base_url="https://openai.test/v1", api_key="placeholder", max_retries=0
)

step(models=[model.id for model in client.models.list()])

messages = [{"role": "user", "content": "Is the gate open?"}]
answer = client.chat.completions.create(model="gated", messages=messages)
step(answer=answer.choices[0].message.content)

for chunk in client.chat.completions.create(model="gated", messages=messages, stream=True):
    if chunk.choices[0].delta.content:
        step(word=chunk.choices[0].delta.content)

try:
    client.embeddings.create(model="gated", input="not allowed")
except openai.PermissionDeniedError as error:
    step(denied=str(error))
